namespace Librarian.Durable.Engine;

/// <summary>A replay differed from the recorded history, or orchestrator code left its flow of control.</summary>
internal sealed class NonDeterminismException(string message) : Exception(message)
{
    public const string ErrorType = "NonDeterministicOrchestration";

    public TaskFailureDetails ToDetails() => new EngineFailure(ErrorType, Message) { IsNonRetriable = true };
}
