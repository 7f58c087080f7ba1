namespace Librarian.Tests.Orchestrations.Architecture;

/// <summary>Tests that the features (folders) of each project use each other in one direction only (docs/architecture.md).</summary>
public class FeatureTests
{
    [Theory]
    [MemberData(nameof(Assemblies.Projects), MemberType = typeof(Assemblies))]
    public void Features_OfAProject_HaveNoCycle(string project)
    {
        using var module = Assemblies.Read(project);
        var uses = FeatureUses.Read(module, $"Librarian.{project}");
        Assert.NotEmpty(uses);
        var cycles = FeatureUses.Cycles(uses);
        Assert.True(cycles.Count == 0, $"Features of {project} use each other in a cycle:\n{string.Join('\n', cycles)}");
    }

    [Fact]
    public void Features_ThatUseEachOtherInMethods_AreNamedWithTheirClasses()
    {
        using var module = Mono.Cecil.ModuleDefinition.ReadModule(typeof(FeatureTests).Assembly.Location);
        var uses = FeatureUses.Read(module, typeof(FeatureTests).Namespace + ".MadeUp");
        Assert.Equal(
            ["Reading -> Writing: Reading.Reader uses Writing.Writer", "Writing -> Reading: Writing.Writer uses Reading.Reader"],
            FeatureUses.Cycles(uses)
        );
        Assert.Contains(new FeatureUse("Writing", "Paper", "Writing.Writer", "Paper.Sheet"), uses);
    }
}
