namespace Librarian.Durable;

/// <summary>What the engine runs as an orchestration. Derive from <see cref="TaskOrchestrator{TInput,TOutput}"/>.</summary>
public interface ITaskOrchestrator
{
    /// <summary>Type the start input is read as.</summary>
    Type InputType { get; }

    /// <summary>Type of the output.</summary>
    Type OutputType { get; }

    /// <summary>Runs the orchestration from its beginning; see <see cref="TaskOrchestrator{TInput,TOutput}.RunAsync"/>.</summary>
    Task<object?> RunAsync(TaskOrchestrationContext context, object? input);
}

/// <summary>
/// A durable workflow. Its code is re-executed from the start whenever it is rebuilt from history, so it must be
/// deterministic: time, identifiers and all I/O come from the context, and only tasks made by the context are awaited.
/// </summary>
/// <typeparam name="TInput">Input, serialized by the <see cref="DataConverter"/>.</typeparam>
/// <typeparam name="TOutput">Output, serialized by the <see cref="DataConverter"/>.</typeparam>
public abstract class TaskOrchestrator<TInput, TOutput> : ITaskOrchestrator
{
    Type ITaskOrchestrator.InputType => typeof(TInput);

    Type ITaskOrchestrator.OutputType => typeof(TOutput);

    async Task<object?> ITaskOrchestrator.RunAsync(TaskOrchestrationContext context, object? input) =>
        await RunAsync(context, input is null ? default! : (TInput)input);

    /// <summary>The workflow. An exception leaving it makes the instance Failed.</summary>
    /// <param name="context">The only door to the outside.</param>
    /// <param name="input">The start input; the default value when none was given.</param>
    public abstract Task<TOutput> RunAsync(TaskOrchestrationContext context, TInput input);
}
