namespace Librarian.Domain.Catalog;

/// <summary>
/// States of a transfer between two sites (docs/spec/wire.md#transfer-states). Stored by upper-case name, sent as the number.
/// </summary>
public enum TransferStatus
{
    /// <summary>Agreed; no bytes expected yet.</summary>
    Initiated = 0,

    /// <summary>Bytes are moving or queued.</summary>
    Ongoing = 1,

    /// <summary>Bytes are complete in the staging area and may be ingested.</summary>
    Staged = 2,

    /// <summary>Ingested, or (outgoing) acknowledged by the destination.</summary>
    Completed = 3,

    /// <summary>Ended without success.</summary>
    Failed = 4,

    /// <summary>Ended without success, by request.</summary>
    Cancelled = 5,
}

/// <summary>
/// Whether maintenance may ever delete a copy. Unknown text means <see cref="Disallowed"/> (docs/spec/wire.md#deletion-policy).
/// </summary>
public enum DeletionPolicy
{
    /// <summary>Never delete.</summary>
    Disallowed = 0,

    /// <summary>May be deleted once enough verified copies exist elsewhere.</summary>
    Allowed = 1,
}

/// <summary>One immutable, uniquely named file of the network (table <c>files</c>); a directory counts as one file.</summary>
public sealed class FileRecord
{
    /// <summary>Unique, normalised, relative POSIX path; at most 256 characters.</summary>
    public required string Name { get; init; }

    /// <summary>UTC time of ingest at this site, or the time that an administrator named for data that were in the store already.</summary>
    public required DateTime CreateTime { get; init; }

    /// <summary>Bytes; for a directory the sum over its files (docs/spec/wire.md#size).</summary>
    public required long Size { get; init; }

    /// <summary>The declared checksum, byte for byte as submitted (docs/spec/wire.md#checksum-kept-verbatim).</summary>
    public required string Checksum { get; init; }

    /// <summary>The uploader; for clones the account name of the sending peer.</summary>
    public required string Uploader { get; init; }

    /// <summary>The sender: account name for uploads, the source site's name for clones.</summary>
    public required string Source { get; init; }

    /// <summary>
    /// Tree digest of a directory; null for a single file and where it was never computed. The checksum of a directory leaves the names out
    /// (docs/spec/wire.md#directory-checksum), so it cannot decide alone whether two directories are equal.
    /// </summary>
    public string? TreeDigest { get; set; }

    /// <summary>Local copies.</summary>
    public List<FileCopy> Copies { get; } = [];

    /// <summary>Known copies at peers.</summary>
    public List<RemoteCopy> RemoteCopies { get; } = [];
}

/// <summary>A copy on one of this site's stores (table <c>instances</c>).</summary>
public sealed class FileCopy
{
    public long Id { get; init; }

    /// <summary>
    /// Path inside its store, in the normal form of <see cref="Stores.FileName"/>, because a store may move. Absolute only where an older
    /// release recorded a path outside the store; such a copy is neither read nor sent.
    /// </summary>
    public required string Path { get; set; }

    /// <summary>The file it is a copy of.</summary>
    public required string FileName { get; init; }

    /// <summary>The store it is on.</summary>
    public required long StoreId { get; init; }

    /// <summary>Whether maintenance may delete it.</summary>
    public required DeletionPolicy DeletionPolicy { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime CreatedTime { get; init; }

    /// <summary>False when the data are known to be away (drive in transit, deleted).</summary>
    public required bool Available { get; set; }

    /// <summary>Last recomputed checksum, always prefixed (docs/spec/wire.md#checksum-cache).</summary>
    public string? CalculatedChecksum { get; set; }

    /// <summary>Last recomputed size, bytes.</summary>
    public long? CalculatedSize { get; set; }

    /// <summary>UTC time of that computation.</summary>
    public DateTime? ChecksumTime { get; set; }

    /// <summary>
    /// Fingerprint of the copy (type, size and modification time of its entries) when it was last read and matched; null when unknown. As
    /// long as a probe finds the same fingerprint, the copy has not been touched.
    /// </summary>
    public string? Fingerprint { get; set; }

    /// <summary>
    /// UTC time at which this site last read the whole copy, at ingest or later, and it matched the catalog; null when unknown.
    /// </summary>
    public DateTime? VerifiedTime { get; set; }

    public FileRecord? File { get; init; }

    public StoreRecord? Store { get; init; }
}

/// <summary>Knowledge that a peer holds a verified copy (table <c>remote_instances</c>).</summary>
public sealed class RemoteCopy
{
    public long Id { get; init; }

    public required string FileName { get; init; }

    /// <summary>The peer's own store id.</summary>
    public required long StoreId { get; init; }

    /// <summary>The peer's row.</summary>
    public required long PeerId { get; init; }

    /// <summary>UTC time at which this site learnt of the copy.</summary>
    public required DateTime CopyTime { get; init; }

    /// <summary>This site's name at that time.</summary>
    public required string Sender { get; init; }

    /// <summary>
    /// UTC time since which the copy is in doubt, because the peer's catalog has gone back in time; null while it counts.
    /// </summary>
    public DateTime? UnconfirmedSince { get; set; }

    public Peer? Peer { get; init; }
}

/// <summary>A store of this site (table <c>store_metadata</c>); paths and flags come from the configuration at each start.</summary>
public sealed class StoreRecord
{
    /// <summary>Row id; peers know stores by it.</summary>
    public long Id { get; init; }

    /// <summary>Unique name.</summary>
    public required string Name { get; init; }

    /// <summary>May receive uploads and clones directly.</summary>
    public required bool Ingestable { get; set; }

    /// <summary>Switched on by the administrator.</summary>
    public required bool Enabled { get; set; }

    /// <summary>1 = local POSIX store (the only kind, docs/spec/upstream.md#store-types).</summary>
    public int StoreType { get; init; } = 1;

    /// <summary>The configured paths, as a JSON document, for people and dashboards that read the database.</summary>
    public string StoreData { get; set; } = "{}";
}

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

    /// <summary>The local copy it is read from; null once that copy's row is gone (upstream W12).</summary>
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

/// <summary>A copy from one local store to another (table <c>clone_transfers</c>).</summary>
public sealed class CloneTransfer
{
    public long Id { get; init; }

    public required TransferStatus Status { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>UTC.</summary>
    public DateTime? EndTime { get; set; }

    /// <summary>The store that is read.</summary>
    public required long SourceStoreId { get; init; }

    /// <summary>The store that is written.</summary>
    public required long DestinationStoreId { get; init; }

    /// <summary>Transfer manager that carried it.</summary>
    public string? TransferManagerName { get; set; }

    /// <summary>The copy that is read; null once its row is gone.</summary>
    public long? SourceCopyId { get; set; }

    /// <summary>The new copy.</summary>
    public long? DestinationCopyId { get; set; }
}

/// <summary>A peer (table <c>librarians</c>).</summary>
public sealed class Peer
{
    public long Id { get; init; }

    /// <summary>Its configured name; also the name of its account here (docs/spec/wire.md#identity).</summary>
    public required string Name { get; init; }

    /// <summary>Scheme, host and optional path prefix; no port.</summary>
    public required string Url { get; set; }

    /// <summary>TCP port.</summary>
    public required int Port { get; set; }

    /// <summary>Fernet token over <c>user:password</c> of this site's account there (docs/spec/wire.md#identity).</summary>
    public required string Authenticator { get; set; }

    /// <summary>Whether this site sends to it.</summary>
    public required bool TransfersEnabled { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime LastSeen { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime LastHeard { get; set; }

    /// <summary>UTC time since which it has had no space for any file (413); null while it accepts files.</summary>
    public DateTime? FullSince { get; set; }

    /// <summary>Id of its catalog, from its last headers; null when it has never sent any (a Python site).</summary>
    public string? CatalogId { get; set; }

    /// <summary>The states of its catalog that this site still reports to it, as <see cref="Peers.SeenCatalogs"/> writes them.</summary>
    public string? CatalogSeen { get; set; }
}

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

/// <summary>
/// A copy that is suspected to be corrupt, or missing (table <c>corrupt_files</c>); the row survives the file's own row on purpose.
/// </summary>
public sealed class CorruptFile
{
    public long Id { get; init; }

    public required string FileName { get; init; }

    /// <summary>Source of the file.</summary>
    public required string FileSource { get; init; }

    /// <summary>The copy.</summary>
    public required long CopyId { get; init; }

    /// <summary>Absolute path at which it was last read, for people.</summary>
    public required string CopyPath { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime CorruptTime { get; init; }

    /// <summary>Wrong size found, bytes.</summary>
    public required long Size { get; set; }

    /// <summary>Wrong checksum found; <see cref="Missing"/> when nothing was found.</summary>
    public required string Checksum { get; set; }

    /// <summary>Value of <see cref="Checksum"/> for a copy that is missing from its store although the store was mounted.</summary>
    public const string Missing = "missing";

    /// <summary>How often it was found.</summary>
    public int Count { get; set; }

    /// <summary>Whether a replacement was requested.</summary>
    public bool ReplacementRequested { get; set; }

    /// <summary>The transfer that brings the replacement.</summary>
    public long? IncomingTransferId { get; set; }
}

/// <summary>Severity of a recorded error (docs/spec/wire.md#enums).</summary>
public enum ErrorSeverity
{
    /// <summary>Data or service is at risk now.</summary>
    Critical,

    /// <summary>Something failed and needs attention.</summary>
    Error,

    /// <summary>Something is off but work goes on.</summary>
    Warning,

    /// <summary>For the record.</summary>
    Info,
}

/// <summary>Category of a recorded error (docs/spec/wire.md#enums).</summary>
public enum ErrorCategory
{
    /// <summary>A copy does not match its checksum.</summary>
    DataIntegrity,

    /// <summary>A copy cannot be reached.</summary>
    DataAvailability,

    /// <summary>The site is configured wrongly.</summary>
    Configuration,

    /// <summary>A store is full.</summary>
    StoreFull,

    /// <summary>A defect of the software.</summary>
    Programming,

    /// <summary>A peer cannot be reached.</summary>
    LibrarianNetworkAvailability,

    /// <summary>A transfer failed.</summary>
    Transfer,
}

/// <summary>An entry of the error log (table <c>errors</c>; docs/spec/wire.md#search-error).</summary>
public sealed class ErrorRecord
{
    public long Id { get; init; }

    /// <summary>How grave; stored in lower case.</summary>
    public required ErrorSeverity Severity { get; init; }

    /// <summary>What it is about; stored in lower case with underscores.</summary>
    public required ErrorCategory Category { get; init; }

    public required string Message { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime RaisedTime { get; init; }

    /// <summary>UTC.</summary>
    public DateTime? ClearedTime { get; set; }

    public bool Cleared { get; set; }

    /// <summary>What raised it and about what, such as <c>ingest obs/1.bin</c>; category and caller are the error key.</summary>
    public string? Caller { get; init; }
}

/// <summary>An account (table <c>users</c>).</summary>
public sealed class User
{
    /// <summary>Unique name; ASCII, no colon.</summary>
    public required string Username { get; init; }

    /// <summary>Argon2id hash of the password as a PHC string.</summary>
    public required string AuthToken { get; set; }

    /// <summary>Level by name (docs/spec/wire.md#levels): NONE, READONLY, CALLBACK, READAPPEND, READWRITE, ADMIN.</summary>
    public required AuthLevel AuthLevel { get; set; }
}

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

/// <summary>The site that a catalog belongs to (table <c>site</c>, one row), so that no other site works on it by mistake.</summary>
public sealed class SiteRecord
{
    /// <summary>The site's configured name at its first start.</summary>
    public required string Name { get; init; }

    /// <summary>
    /// Id of this catalog, a UUID; null before the first start of a release that uses it. A catalog that was restored from a backup gets a
    /// new one, so that peers confirm again what they count on.
    /// </summary>
    public string? CatalogId { get; set; }
}

/// <summary>
/// One start of a process on this catalog (table <c>catalog_incarnations</c>). Peers remember the last incarnation and counter that they
/// have seen; a catalog that no longer knows them was restored from a backup.
/// </summary>
public sealed class CatalogIncarnation
{
    /// <summary>UUID, created at the start.</summary>
    public required string Id { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime StartedTime { get; init; }

    /// <summary>Only grows; committed before a peer sees the new value.</summary>
    public long Counter { get; set; }
}
