using Xunit.v3;

namespace Librarian.Tests.TestKit;

/// <summary>
/// Puts a test or all tests of a class into the quick tier, which <c>./test --quick</c> runs: they need neither a database server, nor a
/// site or a worker in a process of its own, nor root. Tests/Directory.Build.props does the same for whole projects.
/// </summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
public sealed class QuickAttribute : Attribute, ITraitAttribute
{
    public IReadOnlyCollection<KeyValuePair<string, string>> GetTraits() => [new(QuickTier.Trait, QuickTier.Value)];
}

/// <summary>Keeps the quick tier honest.</summary>
public static class QuickTier
{
    internal const string Trait = "Tier";

    internal const string Value = "Quick";

    /// <summary>
    /// Called by what a quick test must not use, in every run: a test that has come to need it fails there, and not only on the machine of
    /// somebody who has no PostgreSQL or is not root.
    /// </summary>
    public static void Refuse(string what)
    {
        var context = TestContext.Current;
        var traits = context.TestCase?.Traits ?? context.TestClass?.Traits ?? context.TestAssembly?.Traits;
        if (traits is not null && traits.TryGetValue(Trait, out var tiers) && tiers.Contains(Value))
            throw new InvalidOperationException(
                $"{context.TestCase?.TestCaseDisplayName ?? context.TestClass?.TestClassName} is of the quick tier, and uses {what}. "
                    + "Take [Quick] away, or do without."
            );
    }
}
