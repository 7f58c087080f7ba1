using System.ComponentModel.DataAnnotations;

namespace Librarian.Durable;

/// <summary>Settings of the engine, validated at start.</summary>
public sealed class DurableTaskOptions
{
    /// <summary>Name of this machine or site; workers that restart under the same name take over from their dead predecessor at once.</summary>
    [Required, MinLength(1)]
    public string NodeName { get; set; } = Environment.MachineName;

    /// <summary>Concurrent activities of the default queue in this process.</summary>
    [Range(1, 10_000)]
    public int MaxConcurrentActivities { get; set; } = 64;

    /// <summary>Named queues this process serves, each with its concurrency limit (1 or more).</summary>
    public IDictionary<string, int> Queues { get; } = new Dictionary<string, int>(StringComparer.Ordinal);

    /// <summary>Instances that may have a turn in progress or stay in memory while their activities run.</summary>
    [Range(1, 100_000)]
    public int MaxResidentInstances { get; set; } = 500;

    /// <summary>How long a busy instance stays in memory without a message.</summary>
    public TimeSpan ResidentIdleTime { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// How long an activity may run in the memory of its instance's worker without a row of its own. Those that took less than a fifth of it the last time
    /// begin that way, which saves most of a short step's cost; one that goes on for longer gets its row then. Should the worker die before, the activity is
    /// delivered again as any other. Zero: every activity has a row from the beginning.
    /// </summary>
    public TimeSpan LocalActivityTime { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>A worker whose lease has passed is dead to the others.</summary>
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromSeconds(12);

    /// <summary>Time between heartbeats.</summary>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>A worker stops its work this long before its unconfirmed lease would end.</summary>
    public TimeSpan LeaseMargin { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>
    /// PostgreSQL: wake other processes by NOTIFY and be woken by LISTEN. False where a pooler between does not pass them on (PgBouncer in
    /// transaction mode): work of other processes is then found by polling.
    /// </summary>
    public bool UseNotifications { get; set; } = true;

    /// <summary>How often the tables are looked at when no signal arrives.</summary>
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often orphaned and unknown rows are looked for.</summary>
    public TimeSpan SweepInterval { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a stopping worker waits for running activities after cancelling them.</summary>
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Deliveries without success (worker died, turn failed) after which an instance or activity fails as poison.</summary>
    [Range(1, 1_000)]
    public int MaxDeliveries { get; set; } = 10;

    /// <summary>First back-off after a failed turn; doubles up to five minutes.</summary>
    public TimeSpan FirstBackoff { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest serialized input, output or event, in bytes of UTF-8.</summary>
    [Range(1024, 64 * 1024 * 1024)]
    public int MaxPayloadBytes { get; set; } = 256 * 1024;

    /// <summary>Versions this worker takes.</summary>
    public VersioningOptions Versioning { get; } = new();

    /// <summary>False: this process only starts and queries; it runs nothing.</summary>
    public bool RunWorker { get; set; } = true;

    /// <summary>True: create or update the dt_ tables when the worker starts.</summary>
    public bool CreateSchemaAtStart { get; set; } = true;
}
