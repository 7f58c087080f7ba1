using System.Reflection;
using System.Text.RegularExpressions;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Weaknesses;

/// <summary>The table of upstream's weaknesses in docs/compatibility.md is complete and names tests that exist.</summary>
[Quick]
public sealed partial class WeaknessTableTests
{
    private static readonly int[] Numbers = [.. Enumerable.Range(1, 34), .. Enumerable.Range(40, 10)];
    private static readonly string Repository = FindRepository();

    [Fact]
    public void Table_EveryWeakness_HasOneRowWithATestOrTheReasonWhyItIsOpen()
    {
        var rows = Rows();
        Assert.Equal(Numbers, rows.Select(r => r.Number));
        foreach (var row in rows)
        {
            Assert.True(row.Tests.Count > 0 || row.Open.Length > 20, $"W{row.Number:00} has neither a test nor a reason");
            Assert.True(row.Upstream.Length > 10, $"W{row.Number:00} does not say what it is");
        }
    }

    [Fact]
    public void Table_EveryTestNamed_Exists()
    {
        var missing = Rows()
            .SelectMany(r => r.Tests.Select(t => (r.Number, Test: t)))
            .Where(t => !Exists(t.Test))
            .Select(t => $"W{t.Number:00}: {t.Test}");
        Assert.Empty(missing);
    }

    [Fact]
    public void Table_EveryTestOfAWeakness_IsNamedInItsRow()
    {
        var named = Rows()
            .SelectMany(r => r.Tests.Select(t => (r.Number, Method: t[(t.IndexOf('.', StringComparison.Ordinal) + 1)..])))
            .ToHashSet();
        var forgotten = Directory
            .EnumerateFiles(Path.Combine(Repository, "Tests"), "*.cs", SearchOption.AllDirectories)
            .SelectMany(f => TestOfAWeakness().Matches(File.ReadAllText(f)))
            .Select(m => (Number: int.Parse(m.Groups["number"].Value), Method: m.Groups["method"].Value))
            .Where(t => !named.Contains(t))
            .Select(t => t.Method);
        Assert.Empty(forgotten);
    }

    /// <summary>Rows are <c>| W01 | what upstream does | what is so here | tests | open: why |</c>.</summary>
    private static List<(int Number, string Upstream, IReadOnlyList<string> Tests, string Open)> Rows() =>
        [
            .. File.ReadLines(Path.Combine(Repository, "docs/compatibility.md"))
                .Select(line => line.Split('|', StringSplitOptions.TrimEntries))
                .Where(cells => cells.Length >= 2 && WeaknessNumber().IsMatch(cells[1]))
                .Select(cells =>
                {
                    Assert.True(cells.Length == 7, $"{cells[1]} has not five columns");
                    return (
                        int.Parse(cells[1][1..]),
                        cells[2],
                        (IReadOnlyList<string>)[.. TestName().Matches(cells[4]).Select(m => m.Groups["test"].Value)],
                        cells[5]
                    );
                }),
        ];

    /// <summary>Of this assembly by reflection, of other test projects in their sources.</summary>
    private static bool Exists(string test)
    {
        var (type, method) = (
            test[..test.IndexOf('.', StringComparison.Ordinal)],
            test[(test.IndexOf('.', StringComparison.Ordinal) + 1)..]
        );
        if (
            typeof(WeaknessTableTests)
                .Assembly.GetTypes()
                .Where(t => t.Name == type)
                .Any(t => t.GetMethod(method)?.GetCustomAttribute<FactAttribute>() is not null)
        )
            return true;
        return Directory
            .EnumerateFiles(Path.Combine(Repository, "Tests"), "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains("/Functions.Tests/", StringComparison.Ordinal))
            .Select(File.ReadAllText)
            .Any(source =>
                Regex.IsMatch(source, $@"class {Regex.Escape(type)}\b", RegexOptions.None, TimeSpan.FromSeconds(5))
                && Regex.IsMatch(
                    source,
                    $@"\[(Fact|Theory)[^\n]*\]\s*(\[[^\n]*\]\s*)*public (async Task|Task|void) {Regex.Escape(method)}\(",
                    RegexOptions.None,
                    TimeSpan.FromSeconds(5)
                )
            );
    }

    private static string FindRepository()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Librarian.Functions.sln")))
            directory = directory.Parent;
        return directory?.FullName ?? throw new InvalidOperationException("The repository root was not found above the tests.");
    }

    [GeneratedRegex("^W[0-9]{2}$", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex WeaknessNumber();

    [GeneratedRegex("`(?<test>[A-Za-z0-9]+\\.[A-Za-z0-9_]+)`", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex TestName();

    [GeneratedRegex(
        "public (?:async )?(?:Task|void) (?<method>W(?<number>[0-9]{2})_\\w+)\\(",
        RegexOptions.None,
        matchTimeoutMilliseconds: 1000
    )]
    private static partial Regex TestOfAWeakness();
}
