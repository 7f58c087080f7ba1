using System.Globalization;

namespace Librarian.Tests.Durable.Model;

/// <summary>What a step of a generated workflow does.</summary>
public enum StepKind
{
    /// <summary>
    /// Calls an activity that fails <see cref="Step.Failures"/> times, with <see cref="Step.Attempts"/> attempts an hour apart.
    /// </summary>
    Call,

    /// <summary>Several such calls at once.</summary>
    Fan,

    /// <summary>Writes one row in the transaction that completes the activity.</summary>
    Effect,

    /// <summary>Waits <see cref="Step.Hours"/>.</summary>
    Timer,

    /// <summary>Waits for the step's own event.</summary>
    Event,

    /// <summary>Waits for the step's own event, at most <see cref="Step.Hours"/>.</summary>
    Race,

    /// <summary>Runs <see cref="Step.Body"/> as a sub-orchestration.</summary>
    Child,

    /// <summary>Sets the custom status.</summary>
    Status,
}

/// <summary>A step; which members count depends on the kind.</summary>
/// <param name="Kind">What it does.</param>
/// <param name="Failures">How often each call fails before it succeeds.</param>
/// <param name="Attempts">Attempts the retry policy allows.</param>
/// <param name="Hours">Length of a timer.</param>
/// <param name="Caught">Whether the workflow goes on after a failure.</param>
/// <param name="Body">Steps of a child; calls of a fan-out.</param>
public sealed record Step(StepKind Kind, int Failures, int Attempts, int Hours, bool Caught, Step[] Body)
{
    public override string ToString() =>
        Kind switch
        {
            StepKind.Call => $"Call({Failures}/{Attempts}{(Caught ? ", caught" : "")})",
            StepKind.Fan or StepKind.Child =>
                $"{Kind}([{string.Join(", ", Body.Select(step => step.ToString()))}]{(Caught ? ", caught" : "")})",
            StepKind.Timer or StepKind.Race => $"{Kind}({Hours} h)",
            _ => Kind.ToString(),
        };
}

/// <summary>A generated workflow.</summary>
/// <param name="Steps">What each generation does.</param>
/// <param name="Generations">How often it continues as new, plus one.</param>
/// <param name="Path">Names the steps of this instance: events and calls are told apart by it.</param>
/// <param name="Sum">Result so far.</param>
public sealed record Workflow(Step[] Steps, int Generations, string Path, long Sum)
{
    public string PathOf(int step) => string.Create(CultureInfo.InvariantCulture, $"{Path}.{Generations}.{step}");
}

/// <summary>Input of the generated calls.</summary>
/// <param name="Path">Which call it is.</param>
/// <param name="Failures">How often it fails first.</param>
public sealed record CallInput(string Path, int Failures);

/// <summary>Interprets a generated workflow with the engine.</summary>
[DurableTask("workflow")]
public sealed class WorkflowOrchestrator : TaskOrchestrator<Workflow, long>
{
    public const int FailureValue = 7;
    public const int TimerValue = 11;

    public static TaskOptions Retries(Step step) => TaskOptions.FromRetryPolicy(new RetryPolicy(step.Attempts, TimeSpan.FromHours(1)));

    public override async Task<long> RunAsync(TaskOrchestrationContext context, Workflow input)
    {
        var sum = input.Sum;
        for (var index = 0; index < input.Steps.Length; index++)
        {
            var step = input.Steps[index];
            var path = input.PathOf(index);
            try
            {
                sum = unchecked((sum * 31) + await RunStepAsync(context, step, path));
            }
            catch (TaskFailedException) when (step.Caught)
            {
                sum = unchecked((sum * 31) + FailureValue);
            }
        }

        if (input.Generations > 1)
            context.ContinueAsNew(input with { Generations = input.Generations - 1, Sum = sum });
        return sum;
    }

    private static async Task<long> RunStepAsync(TaskOrchestrationContext context, Step step, string path)
    {
        switch (step.Kind)
        {
            case StepKind.Call:
                return await context.CallActivityAsync<long>("call", new CallInput(path, step.Failures), Retries(step));
            case StepKind.Fan:
                return (
                    await Task.WhenAll(
                        step.Body.Select(
                            (call, i) => context.CallActivityAsync<long>("call", new CallInput($"{path}.{i}", call.Failures), Retries(call))
                        )
                    )
                ).Sum();
            case StepKind.Effect:
                return await context.CallActivityAsync<long>("effect", path);
            case StepKind.Timer:
                await context.CreateTimer(TimeSpan.FromHours(step.Hours), CancellationToken.None);
                return TimerValue;
            case StepKind.Event:
                return await context.WaitForExternalEvent<long>(path);
            case StepKind.Race:
            {
                using var over = new CancellationTokenSource();
                var timer = context.CreateTimer(TimeSpan.FromHours(step.Hours), over.Token);
                var raised = context.WaitForExternalEvent<long>(path, over.Token);
                var first = await Task.WhenAny(timer, raised);
                var value = first == raised ? await raised : TimerValue;
#pragma warning disable CA1849 // An orchestrator must not leave its own flow of control; the asynchronous form does.
                over.Cancel();
#pragma warning restore CA1849
                return value;
            }

            case StepKind.Child:
                return await context.CallSubOrchestratorAsync<long>("workflow", new Workflow(step.Body, 1, path, 0));
            default:
                context.SetCustomStatus(path);
                return 1;
        }
    }
}

/// <summary>Fails as often as it is told; counted outside the engine.</summary>
public sealed class CallActivity(CallLog log) : TaskActivity<CallInput, long>
{
    public override Task<long> RunAsync(TaskActivityContext context, CallInput input) =>
        log.Note(input.Path, context.OperationId) > input.Failures
            ? Task.FromResult(ValueOf(input.Path))
            : throw new InvalidOperationException("as told");

    public static long ValueOf(string path) => path.Aggregate(17L, static (value, character) => ((value * 31) + character) % 1_000_003);
}

/// <summary>Which operations ran for each call. A repeated delivery of an operation gives the same answer as before.</summary>
public sealed class CallLog
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, List<string>> _calls = new(StringComparer.Ordinal);

    /// <summary>The number of this operation among those of its call, from 1.</summary>
    public int Note(string path, string operation)
    {
        lock (_gate)
        {
            if (!_calls.TryGetValue(path, out var operations))
                _calls.Add(path, operations = []);
            if (!operations.Contains(operation))
                operations.Add(operation);
            return operations.IndexOf(operation) + 1;
        }
    }

    /// <summary>Operations for each call whose path begins so.</summary>
    public Dictionary<string, int> Of(string prefix)
    {
        lock (_gate)
            return _calls
                .Where(call => call.Key.StartsWith(prefix + ".", StringComparison.Ordinal))
                .ToDictionary(call => call.Key, call => call.Value.Count, StringComparer.Ordinal);
    }
}

/// <summary>Writes one row in the transaction of its completion.</summary>
public sealed class RowActivity : TransactionalActivity<string, long>
{
    public override async Task<long> RunAsync(TransactionalActivityContext context, string input)
    {
        await using var command = context.Connection.CreateCommand();
        command.Transaction = context.Transaction;
        command.CommandText = "insert into effect(path) values (@path)";
        var path = command.CreateParameter();
        (path.ParameterName, path.Value) = ("path", input);
        command.Parameters.Add(path);
        return await command.ExecuteNonQueryAsync();
    }
}
