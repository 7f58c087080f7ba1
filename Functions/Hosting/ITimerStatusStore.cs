namespace Librarian.Functions.Hosting;

/// <summary>
/// The record of one timer function, shared by all processes of a site. All times are UTC. The process that runs the function holds the
/// lease: the row is due, and nobody else may start the function until <see cref="LeaseExpires"/>.
/// </summary>
public sealed record TimerStatus
{
    /// <summary>Schedule text from which <see cref="Next"/> was computed.</summary>
    public required string Schedule { get; init; }

    /// <summary>Start of the last run that ended, failed or not; null if there was none.</summary>
    public DateTimeOffset? Last { get; init; }

    /// <summary>Next occurrence to run.</summary>
    public required DateTimeOffset Next { get; init; }

    /// <summary>When the schedule or the outcome of a run was last recorded.</summary>
    public required DateTimeOffset LastUpdated { get; init; }

    /// <summary>Process that runs the function now; null if none does.</summary>
    public string? LeaseOwner { get; init; }

    /// <summary>Time from which others may take over from <see cref="LeaseOwner"/>.</summary>
    public DateTimeOffset? LeaseExpires { get; init; }

    /// <summary>Number of writes of the row. A process that has read an older version cannot write.</summary>
    public long Version { get; init; }
}

/// <summary>
/// Keeps <see cref="TimerStatus"/> rows where every process of the site sees them. Both operations may throw if the store cannot be
/// reached; the loop then tries again later, and nothing is lost.
/// </summary>
public interface ITimerStatusStore
{
    /// <summary>
    /// Whether no other process can write here while this one lives, as with an embedded database that is locked. The leases of others then
    /// belong to processes that have ended, and nobody waits for them to expire.
    /// </summary>
    bool IsOfThisProcessAlone { get; }

    /// <summary>Returns the row of a function, or null if it has none yet.</summary>
    /// <param name="functionName">Name, compared without case.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    Task<TimerStatus?> GetAsync(string functionName, CancellationToken cancellationToken);

    /// <summary>
    /// Compares and swaps in one atomic statement: writes all of <paramref name="status"/> only if the stored version is
    /// <paramref name="expectedVersion"/> (0: if there is no row yet), and sets the stored version to <paramref name="expectedVersion"/> +
    /// 1. <see cref="TimerStatus.Version"/> of the argument is ignored.
    /// </summary>
    /// <param name="functionName">Name, compared without case.</param>
    /// <param name="status">New content.</param>
    /// <param name="expectedVersion">Version that the caller has read.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>False if another process wrote first; nothing was written then.</returns>
    Task<bool> TrySaveAsync(string functionName, TimerStatus status, long expectedVersion, CancellationToken cancellationToken);
}
