using System.Reflection;

namespace Librarian.Tests.Orchestrations;

/// <summary>Tests that the projects depend on each other in one direction only (docs/architecture.md).</summary>
public class LayoutTests
{
    private static readonly string[] Projects =
    [
        "Librarian.Client",
        "Librarian.Domain",
        "Librarian.Durable",
        "Librarian.Orchestrations",
        "librarian-site",
    ];

    [Theory]
    [InlineData("Librarian.Client", new string[0])]
    [InlineData("Librarian.Domain", new string[0])]
    [InlineData("Librarian.Durable", new string[0])]
    [InlineData("Librarian.Orchestrations", new[] { "Librarian.Client", "Librarian.Domain", "Librarian.Durable" })]
    public void Room_References_OnlyTheRoomsBelow(string room, string[] allowed)
    {
        var references = Assembly
            .Load(room)
            .GetReferencedAssemblies()
            .Select(a => a.Name!)
            .Where(Projects.Contains)
            .Order(StringComparer.Ordinal);
        Assert.Equal(allowed, references);
    }
}
