using System.Reflection;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable.Conformance;

/// <summary>The list of scenarios is complete: each number has tests, and they run on both databases.</summary>
[Quick]
public sealed class ConformanceListTests
{
    private const int Last = 104;

    /// <summary>Scenarios that one database cannot show, with the reason.</summary>
    private static readonly Dictionary<int, string> PostgresOnly = new()
    {
        [94] = "a lease matters only where another worker could take over; SQLite has one process",
        [95] = "as 94",
        [96] = "a zombie needs a second worker",
        [98] = "SQLite has no server that could crash alone",
        [99] = "a lost answer needs a connection to a server",
        [100] = "as 99",
    };

    [Fact]
    public void Scenarios_AllNumbers_HaveTestsOnBothDatabases()
    {
        var found = typeof(ConformanceListTests)
            .Assembly.GetTypes()
            .Where(type => type is { IsClass: true, IsAbstract: false })
            .SelectMany(type =>
                type.GetMethods()
                    .SelectMany(method =>
                        method
                            .GetCustomAttributes<ScenarioAttribute>()
                            .Select(scenario =>
                                (
                                    scenario.Number,
                                    scenario.Name,
                                    Postgres: !type.Name.EndsWith("OnSqlite", StringComparison.Ordinal),
                                    Sqlite: !type.Name.EndsWith("OnPostgres", StringComparison.Ordinal)
                                )
                            )
                    )
            )
            .ToList();
        var problems = new List<string>();
        for (var number = 1; number <= Last; number++)
        {
            var tests = found.Where(test => test.Number == number).ToList();
            if (tests.Count == 0)
                problems.Add($"{number} has no test");
            else if (!tests.Exists(test => test.Postgres))
                problems.Add($"{number} {tests[0].Name} does not run on PostgreSQL");
            else if (!tests.Exists(test => test.Sqlite) && !PostgresOnly.ContainsKey(number))
                problems.Add($"{number} {tests[0].Name} does not run on SQLite");
            if (tests.Select(test => test.Name).Distinct().Count() > 1)
                problems.Add($"{number} has two names: {string.Join(", ", tests.Select(test => test.Name).Distinct())}");
        }

        Assert.True(problems.Count == 0, string.Join("; ", problems));
        Assert.DoesNotContain(found, test => test.Number is < 1 or > Last);
    }
}
