using System.Reflection;

namespace Librarian.Tests.Orchestrations;

/// <summary>The arrows between the rooms of the house: dependencies only downwards (docs/architecture.md).</summary>
public class RoomTests
{
    private static readonly string[] Rooms = ["Librarian.Client", "Librarian.Domain", "Librarian.Durable", "Librarian.Orchestrations", "librarian-site"];

    [Theory]
    [InlineData("Librarian.Client", new string[0])]
    [InlineData("Librarian.Domain", new string[0])]
    [InlineData("Librarian.Durable", new string[0])]
    [InlineData("Librarian.Orchestrations", new[] { "Librarian.Client", "Librarian.Domain", "Librarian.Durable" })]
    public void Room_References_OnlyTheRoomsBelow(string room, string[] allowed)
    {
        var references = Assembly.Load(room).GetReferencedAssemblies().Select(a => a.Name!).Where(Rooms.Contains).Order(StringComparer.Ordinal);
        Assert.Equal(allowed, references);
    }
}
