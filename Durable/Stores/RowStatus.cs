namespace Librarian.Durable.Stores;

/// <summary>
/// The numbers of <see cref="OrchestrationRuntimeStatus"/> in the <c>status</c> column of an instance, and the sets of them that statements
/// ask for.
/// </summary>
internal static class RowStatus
{
    public const int Running = (int)OrchestrationRuntimeStatus.Running;
    public const int Completed = (int)OrchestrationRuntimeStatus.Completed;
    public const int Failed = (int)OrchestrationRuntimeStatus.Failed;
    public const int Terminated = (int)OrchestrationRuntimeStatus.Terminated;
    public const int Pending = (int)OrchestrationRuntimeStatus.Pending;
    public const int Suspended = (int)OrchestrationRuntimeStatus.Suspended;

    /// <summary>Statuses of instances that have ended.</summary>
    public static readonly long[] Ended = [Completed, Failed, Terminated];

    /// <summary>As <see cref="Ended"/>, as SQL.</summary>
    public static readonly string Final = $"({Completed},{Failed},{Terminated})";

    /// <summary>Statuses that still accept messages, as SQL.</summary>
    public static readonly string Active = $"({Running},{Pending},{Suspended})";

    /// <summary>Statuses in which an instance takes every message, as SQL: a suspended one keeps most of them for later.</summary>
    public static readonly string TakesMessages = $"({Running},{Pending})";

    /// <summary>
    /// Statuses in which an activity's result is stored, as SQL: the active ones and Failed. A rewind finds it there; if it were dropped,
    /// the activity's work would be repeated, perhaps including an effect that is already committed.
    /// </summary>
    public static readonly string TakesResults = $"({Running},{Failed},{Pending},{Suspended})";
}
