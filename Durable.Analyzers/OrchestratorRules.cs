using Microsoft.CodeAnalysis;

namespace Librarian.Durable.Analyzers;

/// <summary>The analyzer's rules; README.md lists them in a table.</summary>
public static class OrchestratorRules
{
    /// <summary>Orchestrator code reads a clock.</summary>
    public static readonly DiagnosticDescriptor Clock = Rule(
        "LDUR0001",
        "Clock in orchestrator code",
        "'{0}' differs in every replay; use context.CurrentUtcDateTime"
    );

    /// <summary>Orchestrator code makes a random value.</summary>
    public static readonly DiagnosticDescriptor Randomness = Rule(
        "LDUR0002",
        "Random value in orchestrator code",
        "'{0}' differs in every replay; use context.NewGuid(), or get the value from an activity"
    );

    /// <summary>Orchestrator code waits by a wall clock.</summary>
    public static readonly DiagnosticDescriptor WallClockWait = Rule(
        "LDUR0003",
        "Wall-clock wait in orchestrator code",
        "'{0}' waits by a clock that is not recorded; use context.CreateTimer, or WaitForExternalEvent with a time-out"
    );

    /// <summary>Orchestrator code continues on another thread.</summary>
    public static readonly DiagnosticDescriptor OtherThread = Rule(
        "LDUR0004",
        "Orchestrator code leaves its flow of control",
        "'{0}' goes on outside the orchestrator's flow of control; "
            + "await tasks of the context, cancel with Cancel(), or move the work to an activity"
    );

    /// <summary>Orchestrator code does I/O or reads its environment.</summary>
    public static readonly DiagnosticDescriptor OutsideWorld = Rule(
        "LDUR0005",
        "I/O in orchestrator code",
        "'{0}' reaches outside the orchestration and is repeated by every replay; move it to an activity"
    );

    /// <summary>Orchestrator code blocks its thread.</summary>
    public static readonly DiagnosticDescriptor Blocking = Rule(
        "LDUR0006",
        "Blocking wait in orchestrator code",
        "'{0}' blocks the turn, and the task it waits for can only complete in a later turn; use await"
    );

    /// <summary>Orchestrator code uses state that outlives the execution.</summary>
    public static readonly DiagnosticDescriptor SharedState = Rule(
        "LDUR0007",
        "Mutable static field in orchestrator code",
        "'{0}' may have another value in a replay; pass the value as input, or get it from an activity"
    );

    private static DiagnosticDescriptor Rule(string id, string title, string message) =>
        new(id, title, message, "Determinism", DiagnosticSeverity.Warning, isEnabledByDefault: true);
}
