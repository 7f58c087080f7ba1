namespace Librarian.Durable.Engine;

/// <summary>
/// What a failed execution goes on from when it is rewound: its history without the turn that failed it and without the failures that led
/// there, and the other inputs of that turn, which is run again.
/// </summary>
/// <remarks>
/// A failure that the orchestrator went on from (it caught it, retried, compensated: decisions recorded later depend on it) cannot be taken
/// out without contradicting the history. So of the failures before the last turn the longest run at the end is taken out with
/// which replay still makes exactly the recorded decisions. The longest is found by bisection: taking out fewer is always possible where
/// taking out more is.
/// </remarks>
/// <param name="Kept">The history to keep, gapless.</param>
/// <param name="Inputs">What the failed turn had been given, without failures.</param>
/// <param name="Execution">Rebuilt from <paramref name="Kept"/>.</param>
/// <param name="Mismatch">Set when even the unchanged history contradicts the code.</param>
internal sealed record RewindPlan(IReadOnlyList<HistoryEvent> Kept, IReadOnlyList<HistoryEvent> Inputs, OrchestrationExecution Execution, NonDeterminismException? Mismatch)
{
    public static RewindPlan Make(IReadOnlyList<HistoryEvent> history, Func<OrchestrationExecution> create)
    {
        var last = history.Count - 1;
        while (last > 0 && history[last].Kind != EventKind.OrchestratorStarted) last--;
        var inputs = history.Skip(last + 1).Where(entry => IsInput(entry.Kind)).ToList();
        var earlier = history.Take(last).ToList();
        var failures = Enumerable.Range(0, earlier.Count).Where(index => IsFailure(earlier[index].Kind)).ToList();
        (int Low, int High) = (0, failures.Count);
        while (Low < High)
        {
            var middle = (Low + High + 1) / 2;
            if (create().Replay(Without(middle)) is null) Low = middle;
            else High = middle - 1;
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

    private static bool IsInput(EventKind kind) => kind is EventKind.ExecutionStarted or EventKind.TaskCompleted or EventKind.TimerFired
        or EventKind.SubOrchestrationCompleted or EventKind.EventRaised or EventKind.ExecutionSuspended or EventKind.ExecutionResumed or EventKind.ExecutionRewound;
}
