namespace Librarian.Domain.Configuration;

/// <summary>Everything a site needs to know about itself (configuration section <c>Site</c>); see docs/configuration.md.</summary>
public sealed class SiteOptions
{
    /// <summary>Name of the configuration section.</summary>
    public const string Section = "Site";

    /// <summary>Unique name in the network; also the name of this site's accounts at its neighbours (wire.md §2.4).</summary>
    public string Name { get; set; } = "";

    /// <summary>Human name in <c>ping</c> answers; the default is <see cref="Name"/>.</summary>
    public string? DisplayedName { get; set; }

    /// <summary>Human description in <c>ping</c> answers.</summary>
    public string Description { get; set; } = "No description set.";

    /// <summary>Address under which others reach this site, with scheme; links in answers are built from it.</summary>
    public string PublicBaseUrl { get; set; } = "";

    /// <summary>Directory for the embedded database, keys and the lock file; never below the program's own directory.</summary>
    public string DataDirectory { get; set; } = "";

    /// <summary>PostgreSQL connection string; empty for the embedded SQLite file <c>catalog.db</c> in the data directory.</summary>
    public string Database { get; set; } = "";

    /// <summary>First administrator's name.</summary>
    public string AdminUser { get; set; } = "admin";

    /// <summary>First administrator's password; generated and printed once when empty.</summary>
    public string? AdminPassword { get; set; }

    /// <summary>Fernet key for neighbours' credentials; generated into the data directory when empty.</summary>
    public string? EncryptionKey { get; set; }

    /// <summary>Largest upload accepted, bytes (wire.md §6.3.1); clones are not limited.</summary>
    public long MaximalUploadSizeBytes { get; set; } = 50_000_000_000;

    /// <summary>Most results of one search (wire.md §6.4).</summary>
    public int MaxSearchResults { get; set; } = 64;

    /// <summary>Threads that hash the members of one directory.</summary>
    public int ChecksumParallelism { get; set; } = 2;

    /// <summary>Files of more than 1 MiB that are read at the same time, for their checksum or to be copied into their store; smaller ones do not wait for them.</summary>
    public int IngestParallelism { get; set; } = 4;

    /// <summary>How long a recomputed checksum answers <c>validate/file</c> before the copy is read again (wire.md §4.5).</summary>
    public TimeSpan ChecksumLifetime { get; set; } = TimeSpan.FromDays(1);

    /// <summary>How long a neighbour may take to read its copies for <c>validate/file</c> before it counts as unreachable.</summary>
    public TimeSpan ValidationTimeout { get; set; } = TimeSpan.FromHours(1);

    /// <summary>How long a verified credential is remembered.</summary>
    public TimeSpan CredentialLifetime { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>An outgoing transfer untouched for this long is reviewed with its destination (wire.md §9.3).</summary>
    public TimeSpan OutgoingReviewAge { get; set; } = TimeSpan.FromHours(6);

    /// <summary>An incoming transfer untouched for this long is reviewed with its source (wire.md §9.4); longer than the outgoing age.</summary>
    public TimeSpan IncomingReviewAge { get; set; } = TimeSpan.FromHours(24);

    /// <summary>How long a completed or terminated orchestration is kept after its end, with its history; at least a minute.</summary>
    public TimeSpan FinishedInstanceRetention { get; set; } = TimeSpan.FromDays(30);

    /// <summary>How long a failed orchestration is kept after its end, so that it can be looked at, rewound or restarted; not shorter than <see cref="FinishedInstanceRetention"/>.</summary>
    public TimeSpan FailedInstanceRetention { get; set; } = TimeSpan.FromDays(90);

    /// <summary>Serve the description of the API: <c>/api/v2/openapi.json</c>, and a page to read it at <c>/docs</c> (wire.md §1.3).</summary>
    public bool ApiDocumentation { get; set; }

    /// <summary>Host names whose file systems are this site's; offered to senders for direct copies. Default: this machine's name.</summary>
    public List<string> LocalHostnames { get; set; } = [];

    /// <summary>Stores, in the order in which uploads try them.</summary>
    public List<StoreOptions> Stores { get; set; } = [];

    /// <summary>What to do with neighbours.</summary>
    public List<PeerOptions> Peers { get; set; } = [];

    /// <summary>How hand-carried drives are treated.</summary>
    public DriveOptions Drives { get; set; } = new();

    /// <summary>Who is told when a person is needed.</summary>
    public AlertOptions Alerts { get; set; } = new();
}

/// <summary>Hand-carried drives (<c>Site:Drives</c>).</summary>
public sealed class DriveOptions
{
    /// <summary>Files copied to or from one drive at the same time, 1 to 64; 1 suits a single slow disk.</summary>
    public int Parallelism { get; set; } = 2;

    /// <summary>How often a drive that waits looks for new files.</summary>
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Where manifests and receipts are kept; the default is <c>drives</c> in the data directory.</summary>
    public string? ArchiveDirectory { get; set; }
}

/// <summary>Alerts to people (<c>Site:Alerts</c>).</summary>
public sealed class AlertOptions
{
    /// <summary>Addresses that get each alert; an alert is retried until each has taken it.</summary>
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

    /// <summary>Absolute directory where senders put data.</summary>
    public string StagingPath { get; set; } = "";

    /// <summary>Absolute directory of the stored files; on the same file system as staging an ingest is a rename.</summary>
    public string StorePath { get; set; } = "";

    /// <summary>May receive uploads and clones.</summary>
    public bool Ingestable { get; set; } = true;

    /// <summary>Share of the file system that may be filled, 0 to 1 (upstream's <c>report_full_fraction</c>).</summary>
    public double FullFraction { get; set; } = 1.0;

    /// <summary>Staging directories are made group-writable (0775) for senders under other accounts.</summary>
    public bool GroupWritableStaging { get; set; }

    /// <summary>Stored data are copied so that they belong to the site's own account, and verified again after the copy.</summary>
    public bool OwnAfterCommit { get; set; }

    /// <summary>Stored files and directories are made read-only (0444/0555).</summary>
    public bool ReadOnlyAfterCommit { get; set; }
}

/// <summary>One neighbour's clone policy (<c>Site:Peers:n</c>); its address and credentials are in the catalog (add-librarian).</summary>
public sealed class PeerOptions
{
    /// <summary>The neighbour's name.</summary>
    public string Name { get; set; } = "";

    /// <summary>Send it every file that it does not have.</summary>
    public bool Send { get; set; }

    /// <summary>Files per batch, 1 to 1024.</summary>
    public int BatchSize { get; set; } = 128;

    /// <summary>Batches on their way at the same time, 1 to 64.</summary>
    public int MaxBatchesInFlight { get; set; } = 4;

    /// <summary>
    /// Absolute directories under which this neighbour may name staging locations for direct copies; the copy runs with our
    /// rights, so without this list direct copies to the neighbour are refused (upstream W46).
    /// </summary>
    public List<string> LocalRoots { get; set; } = [];

    /// <summary>Key by which the neighbour's manifests and receipts are recognised (<c>ed25519:BASE64</c>, printed there by <c>librarian drive key</c>); empty: the pinned one.</summary>
    public string PublicKey { get; set; } = "";
}
