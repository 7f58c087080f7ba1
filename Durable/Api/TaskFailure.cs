using System.Text.Json.Serialization;

namespace Librarian.Durable;

/// <summary>A failure as it is stored: names and texts, not live exceptions.</summary>
/// <param name="ErrorType">Full type name of the exception, or an engine code such as <c>NonDeterministicOrchestration</c>.</param>
/// <param name="ErrorMessage">Message.</param>
/// <param name="StackTrace">Stack trace, if there is one.</param>
/// <param name="InnerFailure">The inner exception's details.</param>
/// <param name="Properties">String entries of <see cref="Exception.Data"/>.</param>
public sealed record TaskFailureDetails(
    string ErrorType,
    string ErrorMessage,
    string? StackTrace,
    TaskFailureDetails? InnerFailure,
    IReadOnlyDictionary<string, string>? Properties = null)
{
    internal const int DeepestInnerFailure = 10;

    /// <summary>True for failures that no retry can cure (unknown task name, poison); retry policies stop at once.</summary>
    public bool IsNonRetriable { get; init; }

    /// <summary>Whether this failure (not an inner one) came from an exception of that type or a subtype that this process can load.</summary>
    public bool IsCausedBy<T>()
        where T : Exception
    {
        if (string.Equals(ErrorType, typeof(T).FullName, StringComparison.Ordinal) || typeof(T) == typeof(Exception)) return true;
        var type = AppDomain.CurrentDomain.GetAssemblies()
            .Select(assembly => assembly.IsDynamic ? null : assembly.GetType(ErrorType, throwOnError: false)).FirstOrDefault(found => found is not null);
        return type is not null && typeof(T).IsAssignableFrom(type);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{ErrorType}: {ErrorMessage}";

    /// <summary>Records an exception with its inner ones.</summary>
    public static TaskFailureDetails FromException(Exception exception)
    {
        ArgumentNullException.ThrowIfNull(exception);
        return FromException(exception, 0);
    }

    private static TaskFailureDetails FromException(Exception exception, int depth)
    {
        // The details of a failed call are the cause the orchestrator saw; keep them rather than the wrapper's own text only.
        var inner = exception is TaskFailedException failed ? failed.FailureDetails
            : exception.InnerException is { } cause && depth < DeepestInnerFailure ? FromException(cause, depth + 1) : null;
        Dictionary<string, string>? properties = null;
        foreach (System.Collections.DictionaryEntry entry in exception.Data)
        {
            if (entry is { Key: string key, Value: { } value }) (properties ??= new(StringComparer.Ordinal))[key] = value.ToString() ?? "";
        }

        return new(exception.GetType().FullName ?? exception.GetType().Name, exception.Message, exception.StackTrace, inner, properties);
    }
}

/// <summary>Thrown in an orchestrator when an activity or sub-orchestration failed.</summary>
public sealed class TaskFailedException : Exception
{
    /// <summary>Creates it.</summary>
    public TaskFailedException(string taskName, int taskId, TaskFailureDetails failureDetails)
        : base($"Task '{taskName}' (#{taskId}) failed with an unhandled exception: {failureDetails?.ErrorMessage}")
    {
        TaskName = taskName;
        TaskId = taskId;
        FailureDetails = failureDetails ?? throw new ArgumentNullException(nameof(failureDetails));
    }

    /// <summary>Name of the failed task.</summary>
    public string TaskName { get; }

    /// <summary>Its position in the orchestration.</summary>
    public int TaskId { get; }

    /// <summary>What happened.</summary>
    public TaskFailureDetails FailureDetails { get; }
}

/// <summary>A start was refused because an instance with that id exists in a dedupe status.</summary>
public sealed class OrchestrationAlreadyExistsException : InvalidOperationException
{
    /// <summary>Creates it.</summary>
    public OrchestrationAlreadyExistsException(string instanceId)
        : base($"OrchestrationAlreadyExists: instance '{instanceId}' exists and its status refuses a new start. It keeps running untouched; wait for it, terminate it, or use another id.") =>
        InstanceId = instanceId;

    /// <summary>The id.</summary>
    public string InstanceId { get; }
}

/// <summary>A serialized value is larger than <see cref="DurableTaskOptions.MaxPayloadBytes"/>.</summary>
public sealed class PayloadTooLargeException : InvalidOperationException
{
    /// <summary>Creates it.</summary>
    public PayloadTooLargeException(long bytes, long limit)
        : base($"PayloadTooLarge: the serialized value has {bytes} bytes, the limit is {limit}. Nothing was stored. Keep bulk data in the catalog and pass its id.")
    {
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(TaskFailureDetails))]
[JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class DurableJson : JsonSerializerContext;
