namespace Librarian.Domain.Catalog;

/// <summary>A transfer to this site: a client's upload or a peer's clone (table <c>incoming_transfers</c>).</summary>
public sealed class IncomingTransfer
{
    /// <summary>Row id; the peer's <c>destination_transfer_id</c>.</summary>
    public long Id { get; init; }

    public required TransferStatus Status { get; set; }

    /// <summary>The uploader; for clones the account of the sending peer (docs/spec/wire.md#identity).</summary>
    public required string Uploader { get; init; }

    /// <summary>Path inside the staging directory.</summary>
    public required string UploadName { get; init; }

    /// <summary>Sender: account name (uploads) or site name (clones).</summary>
    public required string Source { get; init; }

    /// <summary>Declared bytes.</summary>
    public required long TransferSize { get; init; }

    /// <summary>Declared checksum.</summary>
    public required string TransferChecksum { get; init; }

    /// <summary>Declared tree digest of a directory (docs/formats/tree-digest-v1.md); null when the sender sends none.</summary>
    public string? TreeDigest { get; init; }

    /// <summary>Store that holds the staging directory and will hold the file; null when no store was found.</summary>
    public long? StoreId { get; set; }

    /// <summary>Transfer manager that the sender used, as the sender reported it.</summary>
    public string? TransferManagerName { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>UTC; set when the transfer ends in any way.</summary>
    public DateTime? EndTime { get; set; }

    /// <summary>Name of the staging directory under the store's staging root.</summary>
    public string? StagingPath { get; set; }

    /// <summary>Final name in the store, normalised; becomes the file's name.</summary>
    public string? FileName { get; set; }

    /// <summary>The sender's OutgoingTransfer id; null for uploads.</summary>
    public long? SourceTransferId { get; init; }

    /// <summary>
    /// True from the moment at which the verified data may be moved into the store until the file is catalogued. In between nobody may fail
    /// or cancel the transfer, and at most one transfer per <see cref="FileName"/> may be in this state (partial unique index), so that
    /// two senders of one name cannot both win.
    /// </summary>
    public bool Committing { get; set; }

    /// <summary>
    /// Attempts of the callback that the source has answered with a fault of its own; null when no callback is due. Set in the transaction
    /// that ends the transfer, so that no crash loses a callback (docs/spec/wire.md#push-callback).
    /// </summary>
    public int? CallbackTries { get; set; }

    /// <summary>
    /// Set while a verification flushes the staged data and its result is not known. Linux reports a failed write-back once: a flush that
    /// succeeds after a crash proves nothing, so the data are then written anew instead of renamed.
    /// </summary>
    public bool FlushBegun { get; set; }

    /// <summary>Why it failed, for people.</summary>
    public string? FailureReason { get; set; }

    public StoreRecord? Store { get; init; }
}
