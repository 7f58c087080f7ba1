namespace Librarian.Domain.Catalog;

/// <summary>A transfer from this site to a peer (table <c>outgoing_transfers</c>).</summary>
public sealed class OutgoingTransfer
{
    /// <summary>Row id; the peer's <c>source_transfer_id</c>.</summary>
    public long Id { get; init; }

    public required TransferStatus Status { get; set; }

    /// <summary>Name of the destination site.</summary>
    public required string Destination { get; init; }

    /// <summary>Bytes.</summary>
    public required long TransferSize { get; init; }

    /// <summary>The file's checksum.</summary>
    public required string TransferChecksum { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>UTC; set when the transfer ends in any way.</summary>
    public DateTime? EndTime { get; set; }

    public required string FileName { get; init; }

    /// <summary>The local copy it is read from; null once that copy's row is gone (upstream weakness W12).</summary>
    public long? CopyId { get; set; }

    /// <summary>The destination's IncomingTransfer id, once it has accepted.</summary>
    public long? RemoteTransferId { get; set; }

    /// <summary>Transfer manager that carries it.</summary>
    public string? TransferManagerName { get; set; }

    /// <summary>The batch it belongs to.</summary>
    public long? SendQueueId { get; set; }

    /// <summary>Absolute path of the last read, for people; the next read uses <see cref="CopyId"/>.</summary>
    public string? SourcePath { get; set; }

    /// <summary>Absolute path written at the destination, as the destination named it.</summary>
    public string? DestPath { get; set; }

    /// <summary>Why it failed, for people.</summary>
    public string? FailureReason { get; set; }

    /// <summary>UTC; after an end without success the file is not offered to that destination again before this time.</summary>
    public DateTime? RetryAfter { get; set; }

    public FileRecord? File { get; init; }

    public FileCopy? Copy { get; init; }
}
