namespace Librarian.Tests.Orchestrations.Architecture;

/// <summary>Tests that the projects depend on each other in one direction only (docs/architecture.md).</summary>
public class ProjectTests
{
    [Theory]
    [InlineData("Contracts", new string[0])]
    [InlineData("Client", new[] { "Contracts" })]
    [InlineData("Domain", new[] { "Contracts" })]
    [InlineData("Durable", new string[0])]
    [InlineData("Orchestrations", new[] { "Client", "Contracts", "Domain", "Durable" })]
    [InlineData("Functions", new[] { "Adopt", "Client", "Contracts", "Domain", "Durable", "Orchestrations" })]
    [InlineData("Adopt", new[] { "Contracts", "Domain" })]
    [InlineData("Migrations", new[] { "Domain" })]
    [InlineData("Cli", new[] { "Client", "Contracts" })]
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
