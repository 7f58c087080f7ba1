namespace Librarian.Domain.Configuration;

/// <summary>Settings of the site (configuration section <c>Site</c>); see docs/configuration.md.</summary>
public sealed class SiteOptions
{
    public const string Section = "Site";

    /// <summary>Unique name in the network; also the name of this site's accounts at its peers (docs/spec/wire.md#identity).</summary>
    public string Name { get; set; } = "";

    /// <summary>Name for people in <c>ping</c> answers; the default is <see cref="Name"/>.</summary>
    public string? DisplayedName { get; set; }

    /// <summary>Description for people in <c>ping</c> answers.</summary>
    public string Description { get; set; } = "No description set.";

    /// <summary>Address, with scheme, at which others reach this site; links in answers are built from it.</summary>
    public string PublicBaseUrl { get; set; } = "";

    /// <summary>Directory for the embedded database, keys and the lock file; never below the program's own directory.</summary>
    public string DataDirectory { get; set; } = "";

    /// <summary>PostgreSQL connection string; empty for the embedded SQLite file <c>catalog.db</c> in the data directory.</summary>
    public string Database { get; set; } = "";

    /// <summary>How long the start waits for a PostgreSQL server that is not reachable; zero: not at all.</summary>
    public TimeSpan DatabaseWait { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Allow a PostgreSQL server that may lose acknowledged commits (<c>fsync</c>, <c>full_page_writes</c> or <c>synchronous_commit</c>
    /// off); for tests.
    /// </summary>
    public bool AllowUnsafeDatabase { get; set; }

    /// <summary>First administrator's name.</summary>
    public string AdminUser { get; set; } = "admin";

    /// <summary>First administrator's password; generated and printed once when empty.</summary>
    public string? AdminPassword { get; set; }

    /// <summary>Fernet key for the credentials at peers; generated into the data directory when empty.</summary>
    public string? EncryptionKey { get; set; }

    /// <summary>Largest accepted upload, bytes (docs/spec/wire.md#upload-stage); clones are not limited.</summary>
    public long MaximalUploadSizeBytes { get; set; } = 50_000_000_000;

    /// <summary>
    /// Most bytes of unfinished uploads and clones that are reserved for one account below administrator; null: ten times
    /// <see cref="MaximalUploadSizeBytes"/>.
    /// </summary>
    public long? MaximalPromisedBytesPerAccount { get; set; }

    /// <summary>The limit in force: the setting or its default.</summary>
    public long ReservedBytesPerAccount =>
        MaximalPromisedBytesPerAccount ?? (MaximalUploadSizeBytes > long.MaxValue / 10 ? long.MaxValue : MaximalUploadSizeBytes * 10);

    /// <summary>Most results of one search (docs/spec/wire.md#searches).</summary>
    public int MaxSearchResults { get; set; } = 64;

    /// <summary>Threads that hash the members of one directory.</summary>
    public int ChecksumParallelism { get; set; } = 2;

    /// <summary>
    /// Files above 1 MiB that are read at the same time, for a checksum or a copy to a store; smaller files do not wait for them.
    /// </summary>
    public int IngestParallelism { get; set; } = 4;

    /// <summary>
    /// How long a recomputed checksum answers <c>validate/file</c> before the copy is read again (docs/spec/wire.md#checksum-cache).
    /// </summary>
    public TimeSpan ChecksumLifetime { get; set; } = TimeSpan.FromDays(1);

    /// <summary>
    /// Maximal age of a copy's last full read when somebody brings the file again: a younger read suffices if the copy is unchanged since.
    /// Zero: the copy is read each time.
    /// </summary>
    public TimeSpan ProbeReadAge { get; set; } = TimeSpan.FromDays(30);

    /// <summary>How long a peer may read its copies for <c>validate/file</c> before it counts as unreachable.</summary>
    public TimeSpan ValidationTimeout { get; set; } = TimeSpan.FromHours(1);

    /// <summary>How long a verified credential is remembered.</summary>
    public TimeSpan CredentialLifetime { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>
    /// Age without change after which an outgoing transfer is reviewed with its destination
    /// (docs/spec/wire.md#review-of-outgoing-transfers).
    /// </summary>
    public TimeSpan OutgoingReviewAge { get; set; } = TimeSpan.FromHours(6);

    /// <summary>
    /// Age without change after which an incoming transfer is reviewed with its source (docs/spec/wire.md#review-of-incoming-transfers);
    /// not shorter than the outgoing age.
    /// </summary>
    public TimeSpan IncomingReviewAge { get; set; } = TimeSpan.FromHours(24);

    /// <summary>How long a completed or terminated orchestration and its history are kept after its end; at least a minute.</summary>
    public TimeSpan FinishedInstanceRetention { get; set; } = TimeSpan.FromDays(30);

    /// <summary>
    /// How long a failed orchestration is kept after its end, to be inspected, rewound or restarted; not shorter than
    /// <see cref="FinishedInstanceRetention"/>.
    /// </summary>
    public TimeSpan FailedInstanceRetention { get; set; } = TimeSpan.FromDays(90);

    /// <summary>
    /// Serve the API description: <c>/api/v2/openapi.json</c>, and a page that shows it at <c>/docs</c>
    /// (docs/spec/wire.md#api-description).
    /// </summary>
    public bool ApiDocumentation { get; set; }

    /// <summary>
    /// Host names that share this site's file systems; offered to senders for direct copies. Default: this machine's name.
    /// </summary>
    public List<string> LocalHostnames { get; set; } = [];

    /// <summary>Stores, in the order in which uploads try them.</summary>
    public List<StoreOptions> Stores { get; set; } = [];

    /// <summary>Clone policies for peers.</summary>
    public List<PeerOptions> Peers { get; set; } = [];

    /// <summary>Transfer of data over HTTP.</summary>
    public DataPlaneOptions DataPlane { get; set; } = new();

    /// <summary>Settings for hand-carried drives.</summary>
    public DriveOptions Drives { get; set; } = new();

    /// <summary>Alerts to people.</summary>
    public AlertOptions Alerts { get; set; } = new();

    /// <summary>The engine that runs the workflows.</summary>
    public DurableOptions Durable { get; set; } = new();
}

/// <summary>Transfer of data over HTTP (<c>Site:DataPlane</c>; docs/spec/data-batches.md).</summary>
public sealed class DataPlaneOptions
{
    /// <summary>Whether data may also come over HTTP without TLS from other machines.</summary>
    public bool AllowInsecure { get; set; }
}

/// <summary>The engine that runs the workflows (<c>Site:Durable</c>).</summary>
public sealed class DurableOptions
{
    /// <summary>
    /// Address of an external Durable Task hub (gRPC) that serves this site alone; empty: the built-in engine in the catalog's database.
    /// </summary>
    public string Grpc { get; set; } = "";
}

/// <summary>Hand-carried drives (<c>Site:Drives</c>).</summary>
public sealed class DriveOptions
{
    /// <summary>Files copied to or from one drive at the same time, 1 to 64; 1 suits a single slow disk.</summary>
    public int Parallelism { get; set; } = 2;

    /// <summary>How often a waiting drive checks for new files.</summary>
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Where manifests and receipts are kept; the default is <c>drives</c> in the data directory.</summary>
    public string? ArchiveDirectory { get; set; }
}

/// <summary>Alerts to people (<c>Site:Alerts</c>).</summary>
public sealed class AlertOptions
{
    /// <summary>Addresses that get each alert; an alert is retried until every address has accepted it.</summary>
    public List<WebhookOptions> Webhooks { get; set; } = [];
}

/// <summary>One webhook (<c>Site:Alerts:Webhooks:n</c>).</summary>
public sealed class WebhookOptions
{
    /// <summary>Absolute http or https address; a secret, never logged.</summary>
    public string Url { get; set; } = "";

    /// <summary><c>slack</c>: <c>{"text":…}</c>; <c>json</c>: the alert's fields.</summary>
    public string Format { get; set; } = "slack";
}

/// <summary>One store (<c>Site:Stores:n</c>).</summary>
public sealed class StoreOptions
{
    /// <summary>Unique name.</summary>
    public string Name { get; set; } = "";

    /// <summary>Absolute directory for staging, where senders put data.</summary>
    public string StagingPath { get; set; } = "";

    /// <summary>Absolute directory of the committed files; if it is on the same file system as staging, an ingest only renames.</summary>
    public string StorePath { get; set; } = "";

    /// <summary>May receive uploads and clones.</summary>
    public bool Ingestable { get; set; } = true;

    /// <summary>
    /// Share of the file system that may be filled, 0 to 1 (upstream's <c>report_full_fraction</c>); at 0 the store accepts nothing new.
    /// </summary>
    public double FullFraction { get; set; } = 1.0;

    /// <summary>Make staging directories group-writable (0775), for senders under other accounts.</summary>
    public bool GroupWritableStaging { get; set; }

    /// <summary>Commit by copying, so that data belong to the site's own account, and verify the copy.</summary>
    public bool OwnAfterCommit { get; set; }

    /// <summary>Make committed files and directories read-only (0444/0555).</summary>
    public bool ReadOnlyAfterCommit { get; set; }
}

/// <summary>Clone policy for one peer (<c>Site:Peers:n</c>); its address and credentials are in the catalog (add-librarian).</summary>
public sealed class PeerOptions
{
    /// <summary>The peer's name.</summary>
    public string Name { get; set; } = "";

    /// <summary>Send it every file that it does not have.</summary>
    public bool Send { get; set; }

    /// <summary>Files per batch, 1 to 1024.</summary>
    public int BatchSize { get; set; } = 128;

    /// <summary>Batches under way at the same time, 1 to 64.</summary>
    public int MaxBatchesInFlight { get; set; } = 4;

    /// <summary>
    /// Absolute directories in which this peer may name staging locations for direct copies. The copy runs with this site's rights, so
    /// without this list direct copies to the peer are refused (upstream weakness W46).
    /// </summary>
    public List<string> LocalRoots { get; set; } = [];

    /// <summary>
    /// Public key that verifies the peer's manifests and receipts (<c>ed25519:BASE64</c>, printed there by <c>librarian drive key</c>);
    /// empty: the pinned one.
    /// </summary>
    public string PublicKey { get; set; } = "";
}
