using Librarian.Tests.TestKit;
using Microsoft.DurableTask.Client;

namespace Librarian.Tests.Durable.Reference;

public sealed class DifferencesOnPostgres(ReferenceEngine reference, OurEngineOnPostgres ours)
    : DifferentialTests(reference, ours),
        IClassFixture<OurEngineOnPostgres>;

public sealed class DifferencesOnSqlite(ReferenceEngine reference, OurEngineOnSqlite ours)
    : DifferentialTests(reference, ours),
        IClassFixture<OurEngineOnSqlite>;

/// <summary>
/// One scenario on Microsoft's engine and on ours. What they answer is equal, or stands in docs/durable-deviations.md with both answers and
/// the reason; what stands there and is equal again fails too.
/// </summary>
public abstract class DifferentialTests(ReferenceEngine reference, OurEngine ours)
{
    public static TheoryData<string> Names => [.. Scenarios.All.Keys];

    [Theory, MemberData(nameof(Names))]
    public async Task Scenario_OnBothEngines_AgreesOrIsADeclaredDeviation(string name)
    {
        var declared = Deviations.ByScenario.GetValueOrDefault(name);
        // Both wait most of the time.
        var asked = reference.AnswerAsync(name, declared?.Theirs);
        var answered = await AnswerAsync(ours.Client, name, declared?.Ours);
        var theirs = await asked;
        var (expectedOfTheirs, expected) = declared is null ? (theirs, theirs) : (declared.Theirs, declared.Ours);
        Assert.True(
            (theirs, answered) == (expectedOfTheirs, expected),
            $"Microsoft's engine answers `{theirs}`, ours `{answered}`; expected were `{expectedOfTheirs}` and `{expected}`."
        );
    }

    /// <summary>What an engine answers, be it an exception.</summary>
    internal static async Task<string> AnswerAsync(DurableTaskClient client, string name, string? expected)
    {
        try
        {
            return await Scenarios.AnswerAsync(client, name, expected).WaitAsync(Wait.Limit * 2);
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            return $"{failure.GetType().Name}: {failure.Message.Split('\n')[0]}";
        }
    }
}

/// <summary>The table itself.</summary>
public sealed class DeviationTableTests
{
    [Fact]
    public void Table_EveryRow_IsAScenarioThatDiffersAndHasAReason()
    {
        Assert.NotEmpty(Deviations.ByScenario);
        Assert.Empty(Deviations.ByScenario.Keys.Except(Scenarios.All.Keys));
        Assert.All(Deviations.ByScenario, row =>
        {
            Assert.NotEqual(row.Value.Theirs, row.Value.Ours);
            Assert.True(row.Value.Reason.Length > 20, row.Key);
        });
    }
}

/// <summary>A row of the checked table.</summary>
internal sealed record Deviation(string Theirs, string Ours, string Reason);

/// <summary>The first table of docs/durable-deviations.md.</summary>
internal static class Deviations
{
    public static IReadOnlyDictionary<string, Deviation> ByScenario { get; } =
        File.ReadLines(Path.Combine(AppContext.BaseDirectory, "durable-deviations.md"))
            .SkipWhile(line => !line.StartsWith("| `", StringComparison.Ordinal))
            .TakeWhile(line => line.StartsWith('|'))
            .Select(line => line.Trim('|').Split(" | ", StringSplitOptions.TrimEntries))
            .ToDictionary(
                cells => cells[0].Trim('`', ' '),
                cells => new Deviation(Text(cells[1]), Text(cells[2]), cells[3]),
                StringComparer.Ordinal
            );

    private static string Text(string cell) => cell.Trim('`');
}
