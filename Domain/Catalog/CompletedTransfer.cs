namespace Librarian.Domain.Catalog;

/// <summary>Performance record of a finished batch (table <c>completed_transfers</c>).</summary>
public sealed class CompletedTransfer
{
    /// <summary>The batch (<see cref="SendQueueItem.Id"/>).</summary>
    public required long Id { get; init; }

    /// <summary>The transfer manager's own task id.</summary>
    public required string TaskId { get; init; }

    /// <summary>The source, in the transfer manager's terms.</summary>
    public required string SourceEndpointId { get; init; }

    /// <summary>The destination, in the transfer manager's terms.</summary>
    public required string DestinationEndpointId { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime EndTime { get; init; }

    /// <summary>Seconds.</summary>
    public required double DurationSeconds { get; init; }

    /// <summary>Bytes.</summary>
    public required long BytesTransferred { get; init; }

    /// <summary>Bits per second.</summary>
    public required double EffectiveBandwidthBps { get; init; }
}
