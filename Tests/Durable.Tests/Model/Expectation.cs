namespace Librarian.Tests.Durable.Model;

/// <summary>What somebody does to a workflow from outside.</summary>
public enum ActionKind
{
    Raise,
    Suspend,
    Resume,
    Terminate,
    Restart,
}

/// <summary>An action and its moment.</summary>
/// <param name="Kind">What is done.</param>
/// <param name="Hours">Hours after the start. Never a whole number, as those of timers are.</param>
/// <param name="Event">Name of the event raised.</param>
public sealed record OutsideAction(ActionKind Kind, double Hours, string Event = "")
{
    public override string ToString() => $"{Kind}@{Hours:0.####}h{(Event.Length > 0 ? "(" + Event + ")" : "")}";
}

/// <summary>
/// The right outcome of a workflow, computed on a number line of hours without engine, history or replay: steps take no time, waits end
/// at known moments, what ends during a suspension is seen at its end, and everything after a termination never happens.
/// </summary>
public sealed class Expectation
{
    private readonly IReadOnlyList<OutsideAction> _actions;
    private readonly double _end;

    public Expectation(Workflow workflow, IReadOnlyList<OutsideAction> actions)
    {
        _actions = actions;
        _end = actions
            .Where(action => action.Kind == ActionKind.Terminate)
            .Select(action => action.Hours)
            .DefaultIfEmpty(double.PositiveInfinity)
            .Min();
        var (time, sum, failed) = (Seen(0), workflow.Sum, false);
        for (var left = workflow.Generations; left > 0 && !failed; left--)
            (time, sum, failed) = Run(workflow with { Generations = left }, time, sum, isRoot: true);
        Status =
            time >= _end ? OrchestrationRuntimeStatus.Terminated
            : failed ? OrchestrationRuntimeStatus.Failed
            : OrchestrationRuntimeStatus.Completed;
        Sum = sum;
    }

    public OrchestrationRuntimeStatus Status { get; }

    public long Sum { get; }

    public string? CustomStatus { get; private set; }

    /// <summary>Operations of each call: one for each attempt.</summary>
    public Dictionary<string, int> Calls { get; } = new(StringComparer.Ordinal);

    public List<string> Effects { get; } = [];

    private (double Time, long Sum, bool Failed) Run(Workflow workflow, double time, long sum, bool isRoot)
    {
        for (var index = 0; index < workflow.Steps.Length; index++)
        {
            var step = workflow.Steps[index];
            (time, var value, var failed) = RunStep(step, workflow.PathOf(index), time, isRoot);
            if (failed && !step.Caught)
                return (time, sum, true);
            sum = unchecked((sum * 31) + (failed ? WorkflowOrchestrator.FailureValue : value));
        }

        return (time, sum, false);
    }

    private (double Time, long Value, bool Failed) RunStep(Step step, string path, double time, bool isRoot)
    {
        switch (step.Kind)
        {
            case StepKind.Call:
                return Call(step, path, time, isRoot);
            case StepKind.Fan:
                var calls = step.Body.Select((call, i) => Call(call, $"{path}.{i}", time, isRoot)).ToList();
                return (
                    calls.Select(call => call.Time).Append(time).Max(),
                    calls.Sum(call => call.Value),
                    calls.Exists(call => call.Failed)
                );
            case StepKind.Effect:
                if (time < _end)
                    Effects.Add(path);
                return (Seen(time, isRoot), 1, false);
            case StepKind.Timer:
                return (Seen(time + step.Hours, isRoot), WorkflowOrchestrator.TimerValue, false);
            case StepKind.Event:
                return (Seen(Math.Max(time, RaisedAt(path))), EventValue(path), false);
            case StepKind.Race:
                var (due, raised) = (time + step.Hours, Math.Max(time, RaisedAt(path)));
                return raised < due ? (Seen(raised), EventValue(path), false) : (Seen(due), WorkflowOrchestrator.TimerValue, false);
            case StepKind.Child:
                // A child is not suspended with its parent; only its end waits for the resume.
                var (ended, sum, failed) = Run(new(step.Body, 1, path, 0), time, 0, isRoot: false);
                return (Seen(ended, isRoot), sum, failed);
            default:
                if (isRoot && time < _end)
                    CustomStatus = path;
                return (time, 1, false);
        }
    }

    private (double Time, long Value, bool Failed) Call(Step step, string path, double time, bool isRoot)
    {
        for (var attempt = 1; ; attempt++)
        {
            if (time < _end)
                Calls[path] = attempt;
            time = Seen(time, isRoot);
            if (attempt > step.Failures)
                return (time, CallActivity.ValueOf(path), false);
            if (attempt == step.Attempts)
                return (time, 0, true);
            time = Seen(time + 1, isRoot);
        }
    }

    public static long EventValue(string path) => CallActivity.ValueOf(path) + 1;

    private double RaisedAt(string path) => _actions.First(action => action.Kind == ActionKind.Raise && action.Event == path).Hours;

    /// <summary>When the workflow sees what happened at that moment.</summary>
    private double Seen(double time, bool isRoot = true)
    {
        if (!isRoot)
            return time;
        double? suspendedAt = null;
        foreach (var action in _actions)
        {
            if (action.Kind == ActionKind.Suspend)
                suspendedAt ??= action.Hours;
            if (action.Kind != ActionKind.Resume || suspendedAt is not { } from)
                continue;
            if (time >= from && time < action.Hours)
                return action.Hours;
            suspendedAt = null;
        }

        return time;
    }
}
