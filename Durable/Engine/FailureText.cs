namespace Librarian.Durable.Engine;

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
