using Microsoft.CodeAnalysis;

namespace Librarian.Durable.Analyzers;

/// <summary>The rules; README.md has them as a table.</summary>
public static class OrchestratorRules
{
    /// <summary>Reads a clock.</summary>
    public static readonly DiagnosticDescriptor Clock = Rule("DURABLE0001", "Clock in orchestrator code",
        "'{0}' differs in every replay; use context.CurrentUtcDateTime");

    /// <summary>Makes a random value.</summary>
    public static readonly DiagnosticDescriptor Randomness = Rule("DURABLE0002", "Random value in orchestrator code",
        "'{0}' differs in every replay; use context.NewGuid(), or get the value from an activity");

    /// <summary>Waits by a wall clock.</summary>
    public static readonly DiagnosticDescriptor WallClockWait = Rule("DURABLE0003", "Wall-clock wait in orchestrator code",
        "'{0}' waits by a clock that is not recorded; use context.CreateTimer, or WaitForExternalEvent with a time-out");

    /// <summary>Goes on on another thread.</summary>
    public static readonly DiagnosticDescriptor OtherThread = Rule("DURABLE0004", "Orchestrator code leaves its flow of control",
        "'{0}' goes on outside the orchestrator's flow of control; await tasks of the context, cancel with Cancel(), or move the work to an activity");

    /// <summary>Does I/O or reads the environment.</summary>
    public static readonly DiagnosticDescriptor OutsideWorld = Rule("DURABLE0005", "I/O in orchestrator code",
        "'{0}' reaches outside the orchestration and is repeated by every replay; move it to an activity");

    /// <summary>Blocks the thread.</summary>
    public static readonly DiagnosticDescriptor Blocking = Rule("DURABLE0006", "Blocking wait in orchestrator code",
        "'{0}' blocks the turn, and the task it waits for can only complete in a later turn; use await");

    /// <summary>Uses state that outlives the execution.</summary>
    public static readonly DiagnosticDescriptor SharedState = Rule("DURABLE0007", "Mutable static field in orchestrator code",
        "'{0}' may have another value in a replay; pass the value as input, or get it from an activity");

    private static DiagnosticDescriptor Rule(string id, string title, string message) =>
        new(id, title, message, "Determinism", DiagnosticSeverity.Warning, isEnabledByDefault: true);
}
