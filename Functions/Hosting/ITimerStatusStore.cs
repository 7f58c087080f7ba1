namespace Librarian.Functions.Hosting;

/// <summary>
/// The recorded truth about one timer function, shared by all processes of a site. All times UTC. A process that runs the
/// function holds the lease: the row is due and nobody else may start it until <see cref="LeaseExpires"/>.
/// </summary>
public sealed record TimerStatus
{
    /// <summary>Schedule text that <see cref="Next"/> was computed from.</summary>
    public required string Schedule { get; init; }

    /// <summary>Start of the last run that ended, failed or not; null when there was none.</summary>
    public DateTimeOffset? Last { get; init; }

    /// <summary>Next occurrence to serve.</summary>
    public required DateTimeOffset Next { get; init; }

    /// <summary>When the schedule or the outcome of a run was last recorded.</summary>
    public required DateTimeOffset LastUpdated { get; init; }

    /// <summary>Process that runs the function now; null when none does.</summary>
    public string? LeaseOwner { get; init; }

    /// <summary>When others may take over from <see cref="LeaseOwner"/>.</summary>
    public DateTimeOffset? LeaseExpires { get; init; }

    /// <summary>Counts the writes of the row; the fence between processes.</summary>
    public long Version { get; init; }
}

/// <summary>
/// Keeps <see cref="TimerStatus"/> rows where every process of the site sees them. Both operations may throw when the store cannot
/// be reached; the loop then tries again later and nothing is lost.
/// </summary>
public interface ITimerStatusStore
{
    /// <summary>
    /// Whether no other process can write here while this one lives, as with an embedded database that is locked. Leases of others are then those
    /// of processes that have ended, and nobody waits for them to expire.
    /// </summary>
    bool IsOfThisProcessAlone { get; }

    /// <summary>The row of a function, or null when it has none yet.</summary>
    /// <param name="functionName">Name, compared without case.</param>
    /// <param name="cancellationToken">Gives up.</param>
    Task<TimerStatus?> GetAsync(string functionName, CancellationToken cancellationToken);

    /// <summary>
    /// Compare and swap in one atomic statement: writes all of <paramref name="status"/> only when the stored version is
    /// <paramref name="expectedVersion"/> (0: when there is no row yet), and sets the stored version to
    /// <paramref name="expectedVersion"/> + 1; <see cref="TimerStatus.Version"/> of the argument is ignored.
    /// </summary>
    /// <param name="functionName">Name, compared without case.</param>
    /// <param name="status">New content.</param>
    /// <param name="expectedVersion">Version the caller has seen.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>False when another process wrote first; nothing was written then.</returns>
    Task<bool> TrySaveAsync(string functionName, TimerStatus status, long expectedVersion, CancellationToken cancellationToken);
}
