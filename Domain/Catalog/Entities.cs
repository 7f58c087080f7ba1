namespace Librarian.Domain.Catalog;

/// <summary>States of a transfer between two sites (wire.md §7.1). Stored by upper-case name, sent as the number.</summary>
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

    /// <summary>Dead.</summary>
    Failed = 4,

    /// <summary>Dead, by request.</summary>
    Cancelled = 5,
}

/// <summary>Whether upkeep may ever delete an instance. Unknown text means <see cref="Disallowed"/> (wire.md §6.3.2).</summary>
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

    /// <summary>UTC time of ingest at this site, or the time that an administrator named for data that lay here already.</summary>
    public required DateTime CreateTime { get; init; }

    /// <summary>Bytes; for a directory the sum over its files (wire.md §4.4).</summary>
    public required long Size { get; init; }

    /// <summary>The declared checksum, byte for byte as submitted (wire.md §4.2).</summary>
    public required string Checksum { get; init; }

    /// <summary>Who uploaded it; for clones the account name of the pushing librarian.</summary>
    public required string Uploader { get; init; }

    /// <summary>Who sent it here: account name for uploads, source librarian's name for clones.</summary>
    public required string Source { get; init; }

    /// <summary>Local copies.</summary>
    public List<Instance> Instances { get; } = [];

    /// <summary>Known copies at neighbours.</summary>
    public List<RemoteInstance> RemoteInstances { get; } = [];
}

/// <summary>A copy on one of this site's stores (table <c>instances</c>).</summary>
public sealed class Instance
{
    /// <summary>Row id.</summary>
    public long Id { get; init; }

    /// <summary>Absolute path on the store.</summary>
    public required string Path { get; set; }

    /// <summary>The file it is a copy of.</summary>
    public required string FileName { get; init; }

    /// <summary>The store it lies on.</summary>
    public required long StoreId { get; init; }

    /// <summary>Whether upkeep may delete it.</summary>
    public required DeletionPolicy DeletionPolicy { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime CreatedTime { get; init; }

    /// <summary>False when the data are known to be away (drive in transit, deleted).</summary>
    public required bool Available { get; set; }

    /// <summary>Last recomputed checksum, always prefixed (wire.md §4.5).</summary>
    public string? CalculatedChecksum { get; set; }

    /// <summary>Last recomputed size, bytes.</summary>
    public long? CalculatedSize { get; set; }

    /// <summary>UTC time of that computation.</summary>
    public DateTime? ChecksumTime { get; set; }

    /// <summary>The file.</summary>
    public FileRecord? File { get; init; }

    /// <summary>The store.</summary>
    public StoreRecord? Store { get; init; }
}

/// <summary>Knowledge that a neighbour holds a verified copy (table <c>remote_instances</c>).</summary>
public sealed class RemoteInstance
{
    /// <summary>Row id.</summary>
    public long Id { get; init; }

    /// <summary>The file.</summary>
    public required string FileName { get; init; }

    /// <summary>The neighbour's own store id.</summary>
    public required long StoreId { get; init; }

    /// <summary>The neighbour.</summary>
    public required long LibrarianId { get; init; }

    /// <summary>UTC time at which we learnt of the copy.</summary>
    public required DateTime CopyTime { get; init; }

    /// <summary>Our own site name at that time.</summary>
    public required string Sender { get; init; }

    /// <summary>The neighbour's row.</summary>
    public PeerLibrarian? Librarian { get; init; }
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

    /// <summary>1 = local POSIX store (the only kind, upstream-behaviour.md §1.3).</summary>
    public int StoreType { get; init; } = 1;

    /// <summary>The configured paths, as a JSON document, for people and panels reading the database.</summary>
    public string StoreData { get; set; } = "{}";
}

/// <summary>Something being sent to this site: a client's upload or a neighbour's clone (table <c>incoming_transfers</c>).</summary>
public sealed class IncomingTransfer
{
    /// <summary>Row id; the peer's <c>destination_transfer_id</c>.</summary>
    public long Id { get; init; }

    /// <summary>State.</summary>
    public required TransferStatus Status { get; set; }

    /// <summary>Who uploads; for clones the account of the pushing librarian (wire.md §2.4).</summary>
    public required string Uploader { get; init; }

    /// <summary>Path inside the staging directory.</summary>
    public required string UploadName { get; init; }

    /// <summary>Sender: account name (uploads) or librarian name (clones).</summary>
    public required string Source { get; init; }

    /// <summary>Declared bytes.</summary>
    public required long TransferSize { get; init; }

    /// <summary>Declared checksum.</summary>
    public required string TransferChecksum { get; init; }

    /// <summary>Store that holds the staging directory and will hold the file; null while none was found.</summary>
    public long? StoreId { get; set; }

    /// <summary>Provider the sender used, as it told us.</summary>
    public string? TransferManagerName { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>UTC; set when the transfer ends in any way.</summary>
    public DateTime? EndTime { get; set; }

    /// <summary>Name of the staging directory under the store's staging root.</summary>
    public string? StagingPath { get; set; }

    /// <summary>Final name in the store, normalised; becomes the file's name.</summary>
    public string? StorePath { get; set; }

    /// <summary>The sender's OutgoingTransfer id; null for uploads.</summary>
    public long? SourceTransferId { get; init; }

    /// <summary>
    /// True from the moment the verified data may be moved into the store until the file is catalogued: nobody may fail
    /// or cancel the transfer in between, and at most one transfer per <see cref="StorePath"/> may be in that window
    /// (partial unique index), so that two senders of one name cannot both win.
    /// </summary>
    public bool Placing { get; set; }

    /// <summary>
    /// Tries to tell the source how the transfer has ended that the source has answered with a fault of its own; null when it need not be told, or
    /// has been. Set in the transaction that ends the transfer, so that no crash loses a callback (wire.md §9.1 step 6).
    /// </summary>
    public int? CallbackTries { get; set; }

    /// <summary>Why it failed, for people.</summary>
    public string? FailureReason { get; set; }

    /// <summary>The store.</summary>
    public StoreRecord? Store { get; init; }
}

/// <summary>Something this site pushes to a neighbour (table <c>outgoing_transfers</c>).</summary>
public sealed class OutgoingTransfer
{
    /// <summary>Row id; the peer's <c>source_transfer_id</c>.</summary>
    public long Id { get; init; }

    /// <summary>State.</summary>
    public required TransferStatus Status { get; set; }

    /// <summary>Name of the destination librarian.</summary>
    public required string Destination { get; init; }

    /// <summary>Bytes.</summary>
    public required long TransferSize { get; init; }

    /// <summary>The file's checksum string.</summary>
    public required string TransferChecksum { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>UTC; set when the transfer ends in any way.</summary>
    public DateTime? EndTime { get; set; }

    /// <summary>The file sent.</summary>
    public required string FileName { get; init; }

    /// <summary>The local copy it is read from; null once that instance's row is gone (upstream W12).</summary>
    public long? InstanceId { get; set; }

    /// <summary>The destination's IncomingTransfer id, once it has agreed.</summary>
    public long? RemoteTransferId { get; set; }

    /// <summary>Transfer manager that carries it.</summary>
    public string? TransferManagerName { get; set; }

    /// <summary>The batch it belongs to.</summary>
    public long? SendQueueId { get; set; }

    /// <summary>Absolute path read here.</summary>
    public string? SourcePath { get; set; }

    /// <summary>Absolute path written at the destination, as the destination named it.</summary>
    public string? DestPath { get; set; }

    /// <summary>Why it failed, for people.</summary>
    public string? FailureReason { get; set; }

    /// <summary>UTC; after an end without success the file is not offered to that destination again before this time.</summary>
    public DateTime? RetryAfter { get; set; }

    /// <summary>The file.</summary>
    public FileRecord? File { get; init; }

    /// <summary>The instance.</summary>
    public Instance? Instance { get; init; }
}

/// <summary>A copy from one local store to another (table <c>clone_transfers</c>).</summary>
public sealed class CloneTransfer
{
    /// <summary>Row id.</summary>
    public long Id { get; init; }

    /// <summary>State.</summary>
    public required TransferStatus Status { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>UTC.</summary>
    public DateTime? EndTime { get; set; }

    /// <summary>Store read.</summary>
    public required long SourceStoreId { get; init; }

    /// <summary>Store written.</summary>
    public required long DestinationStoreId { get; init; }

    /// <summary>Transfer manager that carried it.</summary>
    public string? TransferManagerName { get; set; }

    /// <summary>Instance read; null once its row is gone.</summary>
    public long? SourceInstanceId { get; set; }

    /// <summary>Instance made.</summary>
    public long? DestinationInstanceId { get; set; }
}

/// <summary>A neighbour (table <c>librarians</c>).</summary>
public sealed class PeerLibrarian
{
    /// <summary>Row id.</summary>
    public long Id { get; init; }

    /// <summary>Its configured name; also the name of its account here (wire.md §2.4).</summary>
    public required string Name { get; init; }

    /// <summary>Scheme, host and optional path prefix; no port.</summary>
    public required string Url { get; set; }

    /// <summary>TCP port.</summary>
    public required int Port { get; set; }

    /// <summary>Fernet token over <c>user:password</c> of our account there (wire.md §2.4).</summary>
    public required string Authenticator { get; set; }

    /// <summary>Whether we send to it.</summary>
    public required bool TransfersEnabled { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime LastSeen { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime LastHeard { get; set; }

    /// <summary>UTC since when it has had no room for any file (413); null while it takes files.</summary>
    public DateTime? FullSince { get; set; }
}

/// <summary>A batch handed to a transfer manager (table <c>send_queue</c>); one SendClone orchestration drives it.</summary>
public sealed class SendQueueItem
{
    /// <summary>Row id.</summary>
    public long Id { get; init; }

    /// <summary>Higher first.</summary>
    public int Priority { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime CreatedTime { get; init; }

    /// <summary>Copy attempts that failed.</summary>
    public int Retries { get; set; }

    /// <summary>Destination librarian's name.</summary>
    public required string Destination { get; init; }

    /// <summary>Handed to the transfer manager.</summary>
    public bool Consumed { get; set; }

    /// <summary>UTC.</summary>
    public DateTime? ConsumedTime { get; set; }

    /// <summary>Every transfer of the batch has ended.</summary>
    public bool Completed { get; set; }

    /// <summary>UTC.</summary>
    public DateTime? CompletedTime { get; set; }

    /// <summary>The batch was given up.</summary>
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

    /// <summary>Where from, in the manager's terms.</summary>
    public required string SourceEndpointId { get; init; }

    /// <summary>Where to, in the manager's terms.</summary>
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

/// <summary>A suspected corrupt instance (table <c>corrupt_files</c>); survives the file's own row on purpose.</summary>
public sealed class CorruptFile
{
    /// <summary>Row id.</summary>
    public long Id { get; init; }

    /// <summary>File name.</summary>
    public required string FileName { get; init; }

    /// <summary>Where the file came from.</summary>
    public required string FileSource { get; init; }

    /// <summary>Instance id.</summary>
    public required long InstanceId { get; init; }

    /// <summary>Absolute path.</summary>
    public required string InstancePath { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime CorruptTime { get; init; }

    /// <summary>Wrong size found, bytes.</summary>
    public required long Size { get; set; }

    /// <summary>Wrong checksum found.</summary>
    public required string Checksum { get; set; }

    /// <summary>Times seen.</summary>
    public int Count { get; set; }

    /// <summary>A replacement has been asked for.</summary>
    public bool ReplacementRequested { get; set; }

    /// <summary>The transfer that brings it.</summary>
    public long? IncomingTransferId { get; set; }
}

/// <summary>How grave a recorded error is (wire.md §3).</summary>
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

/// <summary>What a recorded error is about (wire.md §3).</summary>
public enum ErrorCategory
{
    /// <summary>A copy does not match its checksum.</summary>
    DataIntegrity,

    /// <summary>A copy cannot be reached.</summary>
    DataAvailability,

    /// <summary>The site is configured wrongly.</summary>
    Configuration,

    /// <summary>A store has no room.</summary>
    StoreFull,

    /// <summary>A defect of the software.</summary>
    Programming,

    /// <summary>Another site cannot be reached.</summary>
    LibrarianNetworkAvailability,

    /// <summary>A transfer failed.</summary>
    Transfer,
}

/// <summary>An entry of the error log (table <c>errors</c>; wire.md §6.4.2).</summary>
public sealed class ErrorRecord
{
    /// <summary>Row id.</summary>
    public long Id { get; init; }

    /// <summary>How grave; stored in lower case.</summary>
    public required ErrorSeverity Severity { get; init; }

    /// <summary>What it is about; stored in lower case with underscores.</summary>
    public required ErrorCategory Category { get; init; }

    /// <summary>What happened.</summary>
    public required string Message { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime RaisedTime { get; init; }

    /// <summary>UTC.</summary>
    public DateTime? ClearedTime { get; set; }

    /// <summary>Dealt with.</summary>
    public bool Cleared { get; set; }

    /// <summary>What raised it and about what, such as <c>ingest obs/1.bin</c>; with the category it tells whether two errors are the same.</summary>
    public string? Caller { get; init; }
}

/// <summary>An account (table <c>users</c>).</summary>
public sealed class User
{
    /// <summary>Unique name; ASCII, no colon.</summary>
    public required string Username { get; init; }

    /// <summary>Argon2id hash of the password as a PHC string.</summary>
    public required string AuthToken { get; set; }

    /// <summary>Level by name (wire.md §2.2): NONE, READONLY, CALLBACK, READAPPEND, READWRITE, ADMIN.</summary>
    public required Accounts.AuthLevel AuthLevel { get; set; }
}

/// <summary>When a timer function last ran (table <c>timer_status</c>); the schedule's truth for every process of the site.</summary>
public sealed class TimerRecord
{
    /// <summary>Function name.</summary>
    public required string Name { get; init; }

    /// <summary>The schedule the times below were computed from.</summary>
    public required string Schedule { get; set; }

    /// <summary>UTC occurrence that ran last.</summary>
    public DateTime? LastRun { get; set; }

    /// <summary>UTC time at which it is next due.</summary>
    public required DateTime NextRun { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime LastUpdated { get; set; }

    /// <summary>Process that is running it now.</summary>
    public string? LeaseOwner { get; set; }

    /// <summary>UTC; after this the owner counts as dead.</summary>
    public DateTime? LeaseUntil { get; set; }

    /// <summary>Increases with every change; two processes cannot both win one run.</summary>
    public required long Version { get; set; }
}

/// <summary>The site that a catalog belongs to (table <c>site</c>, one row), so that no other site works on it by mistake.</summary>
public sealed class SiteRecord
{
    /// <summary>The site's configured name at its first start.</summary>
    public required string Name { get; init; }
}
