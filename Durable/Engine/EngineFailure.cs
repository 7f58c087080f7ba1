using System.Collections;
using CoreFailure = DurableTask.Core.FailureDetails;
using CoreTaskFailedException = DurableTask.Core.Exceptions.TaskFailedException;

namespace Librarian.Durable.Engine;

/// <summary>A failure that the engine made or read, with details that <see cref="TaskFailureDetails"/> lacks.</summary>
internal sealed record EngineFailure(
    string ErrorType,
    string ErrorMessage,
    string? StackTrace = null,
    TaskFailureDetails? InnerFailure = null,
    IDictionary<string, object?>? Properties = null
) : TaskFailureDetails(ErrorType, ErrorMessage, StackTrace, InnerFailure, Properties)
{
    /// <summary>How many nested exceptions are kept.</summary>
    public const int DeepestInnerFailure = 10;

    /// <summary>Whether no retry can succeed (poison, a version that no worker runs); retry policies stop at once.</summary>
    public bool IsNonRetriable { get; init; }

    public static bool IsFinal(TaskFailureDetails failure) => failure is EngineFailure { IsNonRetriable: true };

    /// <summary>Records an exception with its inner exceptions and the entries of its <see cref="Exception.Data"/>.</summary>
    public static EngineFailure Of(Exception exception, int depth = 0)
    {
        // The orchestrator saw the details of the failed call as the cause, so they are kept, and not only the wrapper's text.
        TaskFailureDetails? inner =
            exception is TaskFailedException failed ? failed.FailureDetails
            : exception.InnerException is { } cause && depth < DeepestInnerFailure ? Of(cause, depth + 1)
            : null;
        Dictionary<string, object?>? properties = null;
        foreach (DictionaryEntry entry in exception.Data)
        {
            if (entry is { Key: string key, Value: { } value })
                (properties ??= new(StringComparer.Ordinal))[key] = value.ToString() ?? "";
        }

        return new(exception.GetType().FullName ?? exception.GetType().Name, exception.Message, exception.StackTrace, inner, properties);
    }

    /// <summary>
    /// Makes the exception that <see cref="RetryPolicy.Handle"/> expects: it reads the details from an exception of DurableTask.Core and
    /// rejects other types.
    /// </summary>
    public static Exception ForPolicy(TaskFailedException failure) =>
        new CoreTaskFailedException(failure.TaskId, failure.TaskId, failure.TaskName, "", failure.FailureDetails.ErrorMessage, null!)
        {
            FailureDetails = ToCore(failure.FailureDetails),
        };

    public static CoreFailure ToCore(TaskFailureDetails details) =>
        new(
            details.ErrorType,
            details.ErrorMessage,
            details.StackTrace,
            details.InnerFailure is { } inner ? ToCore(inner) : null,
            IsFinal(details),
            details.Properties
        );

    // The compiler would generate one that lists all members.
    public override string ToString() => $"{ErrorType}: {ErrorMessage}";
}
