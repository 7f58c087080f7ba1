namespace Librarian.Domain.Catalog;

/// <summary>The last run of a timer function (table <c>timer_status</c>); all processes of the site schedule by it.</summary>
public sealed class TimerRecord
{
    /// <summary>Function name.</summary>
    public required string Name { get; init; }

    /// <summary>The schedule from which the times below were computed.</summary>
    public required string Schedule { get; set; }

    /// <summary>UTC time of the last occurrence that ran.</summary>
    public DateTime? LastRun { get; set; }

    /// <summary>UTC time at which it is next due.</summary>
    public required DateTime NextRun { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime LastUpdated { get; set; }

    /// <summary>The process that runs it now.</summary>
    public string? LeaseOwner { get; set; }

    /// <summary>UTC; after this time the owner counts as dead.</summary>
    public DateTime? LeaseUntil { get; set; }

    /// <summary>Increases with every change, so that two processes cannot both win one run.</summary>
    public required long Version { get; set; }
}
