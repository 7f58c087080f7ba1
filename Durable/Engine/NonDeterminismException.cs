namespace Librarian.Durable.Engine;

/// <summary>Replay did not do what history recorded, or orchestrator code left its flow of control.</summary>
internal sealed class NonDeterminismException(string message) : Exception(message)
{
    public const string ErrorType = "NonDeterministicOrchestration";

    public TaskFailureDetails ToDetails() => new(ErrorType, Message, null, null) { IsNonRetriable = true };
}
