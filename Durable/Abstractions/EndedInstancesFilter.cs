namespace Librarian.Durable;

/// <summary>Selects finished instances to purge, also by the time at which they ended.</summary>
public sealed record EndedInstancesFilter : PurgeInstancesFilter
{
    /// <summary>Ended at or before this time (UTC); null: any time.</summary>
    public DateTimeOffset? CompletedTo { get; init; }
}
