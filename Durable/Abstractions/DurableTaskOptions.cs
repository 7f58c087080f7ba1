using System.ComponentModel.DataAnnotations;

namespace Librarian.Durable;

/// <summary>Settings of the engine, validated when the host starts.</summary>
public sealed class DurableTaskOptions
{
    /// <summary>
    /// Name of this machine or site. A worker that restarts under the same name takes over its dead predecessor's work at once.
    /// </summary>
    [Required, MinLength(1)]
    public string NodeName { get; set; } = Environment.MachineName;

    /// <summary>Maximum number of concurrent activities of the default queue in this process.</summary>
    [Range(1, 10_000)]
    public int MaxConcurrentActivities { get; set; } = 64;

    /// <summary>Named queues that this process serves, each with its concurrency limit (1 or more).</summary>
    public IDictionary<string, int> Queues { get; } = new Dictionary<string, int>(StringComparer.Ordinal);

    /// <summary>Maximum number of instances that have a turn in progress or stay in memory while their activities run.</summary>
    [Range(1, 100_000)]
    public int MaxResidentInstances { get; set; } = 500;

    /// <summary>How long an instance that waits for activities or children stays in memory without a message.</summary>
    public TimeSpan ResidentIdleTime { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a lease lasts without renewal; other workers treat a worker with an expired lease as dead.</summary>
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromSeconds(12);

    /// <summary>Time between two renewals of the lease.</summary>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>How long before the end of an unconfirmed lease a worker stops its work.</summary>
    public TimeSpan LeaseMargin { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>
    /// PostgreSQL only: whether processes wake each other by NOTIFY and LISTEN. Set it to false behind a pooler that does not pass
    /// notifications on (PgBouncer in transaction mode); polling then finds the work of other processes.
    /// </summary>
    public bool UseNotifications { get; set; } = true;

    /// <summary>How often the tables are polled when no signal arrives.</summary>
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often the worker looks for orphaned and unknown rows.</summary>
    public TimeSpan SweepInterval { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a stopping worker waits for running activities after it has cancelled them.</summary>
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Deliveries without success (the worker died, the turn failed) after which an instance or activity fails as poison.
    /// </summary>
    [Range(1, 1_000)]
    public int MaxDeliveries { get; set; } = 10;

    /// <summary>Back-off after the first failed turn; it doubles up to five minutes.</summary>
    public TimeSpan FirstBackoff { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Maximum size of a serialized input, output or event, in bytes of UTF-8.</summary>
    [Range(1024, 64 * 1024 * 1024)]
    public int MaxPayloadBytes { get; set; } = 256 * 1024;

    /// <summary>Whether this process runs a worker; false: it only starts and queries orchestrations.</summary>
    public bool RunWorker { get; set; } = true;

    /// <summary>Whether the dt_ tables are created or updated when the host starts.</summary>
    public bool CreateSchemaAtStart { get; set; } = true;
}
