namespace Librarian.Durable.Engine;

/// <summary>
/// The starting point for the rewind of a failed execution: its history without the turn that failed it and without the failures that led
/// to it, and that turn's other inputs. The turn runs again.
/// </summary>
/// <remarks>
/// A failure that the orchestrator handled (it caught it, retried or compensated, and later recorded decisions depend on it) cannot be
/// removed without contradicting the history. Therefore the plan removes the longest run of failures at the end, before the last turn, with
/// which a replay still makes exactly the recorded decisions. Bisection finds it: if removing some failures is possible, removing fewer is
/// too.
/// </remarks>
/// <param name="Kept">The history to keep, without gaps.</param>
/// <param name="Inputs">The inputs of the failed turn, without failures.</param>
/// <param name="Execution">The execution rebuilt from <paramref name="Kept"/>.</param>
/// <param name="Mismatch">Set if even the unchanged history contradicts the code.</param>
internal sealed record RewindPlan(
    IReadOnlyList<HistoryEvent> Kept,
    IReadOnlyList<HistoryEvent> Inputs,
    OrchestrationExecution Execution,
    NonDeterminismException? Mismatch
)
{
    public static RewindPlan Make(IReadOnlyList<HistoryEvent> history, Func<OrchestrationExecution> create)
    {
        var last = history.Count - 1;
        while (last > 0 && history[last].Kind != EventKind.OrchestratorStarted)
            last--;
        var inputs = history.Skip(last + 1).Where(entry => IsInput(entry.Kind)).ToList();
        var earlier = history.Take(last).ToList();
        var failures = Enumerable.Range(0, earlier.Count).Where(index => IsFailure(earlier[index].Kind)).ToList();
        (int Low, int High) = (0, failures.Count);
        while (Low < High)
        {
            var middle = (Low + High + 1) / 2;
            if (create().Replay(Without(middle)) is null)
                Low = middle;
            else
                High = middle - 1;
        }

        var kept = Without(Low);
        var execution = create();
        return new(kept, inputs, execution, execution.Replay(kept));

        List<HistoryEvent> Without(int count)
        {
            var removed = failures.TakeLast(count).ToHashSet();
            return [.. earlier.Where((_, index) => !removed.Contains(index))];
        }
    }

    private static bool IsFailure(EventKind kind) => kind is EventKind.TaskFailed or EventKind.SubOrchestrationFailed;

    private static bool IsInput(EventKind kind) =>
        kind
            is EventKind.ExecutionStarted
                or EventKind.TaskCompleted
                or EventKind.TimerFired
                or EventKind.SubOrchestrationCompleted
                or EventKind.EventRaised
                or EventKind.ExecutionSuspended
                or EventKind.ExecutionResumed
                or EventKind.ExecutionRewound;
}
