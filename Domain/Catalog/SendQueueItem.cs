namespace Librarian.Domain.Catalog;

/// <summary>A batch for a transfer manager (table <c>send_queue</c>); one SendClone orchestration drives it.</summary>
public sealed class SendQueueItem
{
    public long Id { get; init; }

    /// <summary>Higher first.</summary>
    public int Priority { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime CreatedTime { get; init; }

    /// <summary>Copy attempts that failed.</summary>
    public int Retries { get; set; }

    /// <summary>Name of the destination site.</summary>
    public required string Destination { get; init; }

    /// <summary>Whether it was handed to the transfer manager.</summary>
    public bool Consumed { get; set; }

    /// <summary>UTC.</summary>
    public DateTime? ConsumedTime { get; set; }

    /// <summary>Whether every transfer of the batch has ended.</summary>
    public bool Completed { get; set; }

    /// <summary>UTC.</summary>
    public DateTime? CompletedTime { get; set; }

    /// <summary>Whether the batch was abandoned.</summary>
    public bool Failed { get; set; }

    /// <summary>Id of the orchestration that drives the batch.</summary>
    public string? OrchestrationId { get; set; }
}
