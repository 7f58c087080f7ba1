namespace Librarian.Tests.Orchestrations.Architecture;

/// <summary>Tests that the projects depend on each other in one direction only (docs/architecture.md).</summary>
public class ProjectTests
{
    [Theory]
    [InlineData("Client", new string[0])]
    [InlineData("Domain", new string[0])]
    [InlineData("Durable", new string[0])]
    [InlineData("Orchestrations", new[] { "Client", "Domain", "Durable" })]
    [InlineData("Functions", new[] { "Adopt", "Client", "Domain", "Durable", "Orchestrations" })]
    [InlineData("Adopt", new[] { "Domain" })]
    [InlineData("Migrations", new[] { "Domain" })]
    [InlineData("Cli", new[] { "Client" })]
    public void Project_References_OnlyTheProjectsBelow(string project, string[] below)
    {
        using var module = Assemblies.Read(project);
        var references = module
            .AssemblyReferences.Select(a => a.Name)
            .Where(n => n.StartsWith("Librarian.", StringComparison.Ordinal) || n is "librarian" or "librarian-site")
            .Order(StringComparer.Ordinal);
        Assert.Equal(below.Select(p => $"Librarian.{p}"), references);
    }
}
