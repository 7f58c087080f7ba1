using System.Collections;
using System.Text.Json;
using System.Text.Json.Serialization;
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

/// <summary>The form in which tables and recorded histories store a failure.</summary>
internal sealed record FailureText(
    string ErrorType,
    string ErrorMessage,
    string? StackTrace,
    FailureText? InnerFailure,
    Dictionary<string, string>? Properties = null,
    bool IsNonRetriable = false
)
{
    public static FailureText Of(TaskFailureDetails failure) =>
        new(
            failure.ErrorType,
            failure.ErrorMessage,
            failure.StackTrace,
            failure.InnerFailure is { } inner ? Of(inner) : null,
            failure.Properties?.ToDictionary(pair => pair.Key, pair => pair.Value?.ToString() ?? "", StringComparer.Ordinal),
            EngineFailure.IsFinal(failure)
        );

    public EngineFailure ToFailure() =>
        new(
            TodaysName(ErrorType),
            ErrorMessage,
            StackTrace,
            InnerFailure?.ToFailure(),
            Properties?.ToDictionary(pair => pair.Key, object? (pair) => pair.Value, StringComparer.Ordinal)
        )
        {
            IsNonRetriable = IsNonRetriable,
        };

    /// <summary>
    /// Before the engine used Microsoft's types it had its own exceptions (docs/adr/0007-microsoft-durabletask.md), and stored failures
    /// still name them. An orchestrator that checks the cause of a failure must get the same answer in every replay.
    /// </summary>
    private static string TodaysName(string errorType) =>
        errorType switch
        {
            "Librarian.Durable.TaskFailedException" => typeof(TaskFailedException).FullName!,
            "Librarian.Durable.OrchestrationAlreadyExistsException" => typeof(OrchestrationAlreadyExistsException).FullName!,
            _ => errorType,
        };
}

/// <summary>Reads and writes failures in their stored form; serializing Microsoft's record directly would lose details.</summary>
internal sealed class FailureJsonConverter : JsonConverter<TaskFailureDetails>
{
    public override TaskFailureDetails? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        JsonSerializer.Deserialize(ref reader, DurableJson.Default.FailureText)?.ToFailure();

    public override void Write(Utf8JsonWriter writer, TaskFailureDetails value, JsonSerializerOptions options) =>
        JsonSerializer.Serialize(writer, FailureText.Of(value), DurableJson.Default.FailureText);
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault
)]
[JsonSerializable(typeof(FailureText))]
[JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class DurableJson : JsonSerializerContext;
