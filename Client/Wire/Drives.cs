namespace Librarian.Client.Wire;

/// <summary>Request to drives/initialise.</summary>
/// <param name="Name">Name of the drive and of its store.</param>
/// <param name="Path">Absolute directory on the site's host where the drive is mounted.</param>
/// <param name="Destination">Site that the drive travels to.</param>
/// <param name="FullFraction">Share of the drive that may be filled: above 0, at most 1.</param>
/// <param name="AllowDirectory">Whether the path may be a directory that is not a mount point.</param>
public sealed record DriveInitialiseRequest(
    string Name,
    string Path,
    string Destination,
    double FullFraction = 0.95,
    bool AllowDirectory = false
);

/// <summary>Request to drives/freeze and drives/manifest.</summary>
/// <param name="Name">Name of the drive.</param>
public sealed record DriveRequest(string Name);

/// <summary>Request to drives/recycle.</summary>
/// <param name="Name">Name of the drive.</param>
/// <param name="Lost">Whether to give the drive up as lost instead: everything that it carries is released.</param>
public sealed record DriveRecycleRequest(string Name, bool Lost = false);

/// <summary>Request to drives/list.</summary>
/// <param name="Name">Name of a drive, of this site or plugged in here; null lists all.</param>
public sealed record DriveListRequest(string? Name = null);

/// <summary>Response to a successful command about drives.</summary>
/// <param name="Message">What was done.</param>
public sealed record DriveDone(string Message);

/// <summary>A drive of this site.</summary>
/// <param name="Name">Name of the drive.</param>
/// <param name="DriveId">Identity on the drive marker.</param>
/// <param name="Destination">Site that the drive travels to.</param>
/// <param name="Path">Where it is mounted here.</param>
/// <param name="State">filling, full, in_transit, reusable, recycling or lost.</param>
/// <param name="Since">UTC time at which the drive entered that state.</param>
/// <param name="Trip">Number of the trip; 1 for the first.</param>
/// <param name="IsPlugged">Whether the drive is mounted now.</param>
/// <param name="Files">Files on the drive.</param>
/// <param name="Bytes">Total size of these files, in bytes.</param>
/// <param name="FreeBytes">Free space in bytes; -1 if the drive is not plugged in.</param>
/// <param name="Delivered">Files acknowledged by the destination.</param>
/// <param name="Open">Files with an unfinished transfer.</param>
/// <param name="Failed">Files that the destination did not take.</param>
/// <param name="ManifestSha256">SHA-256 of the manifest, once it is written.</param>
/// <param name="ManifestOnDrive">Whether the manifest is on the drive, so that the drive may be unplugged.</param>
/// <param name="Problem">What blocks the drive, or null.</param>
/// <param name="NextStep">What a person does next.</param>
public sealed record DriveStatus(
    string Name,
    Guid DriveId,
    string Destination,
    string Path,
    string State,
    DateTime Since,
    int Trip,
    bool IsPlugged,
    long Files,
    long Bytes,
    long FreeBytes,
    long Delivered,
    long Open,
    long Failed,
    string? ManifestSha256,
    bool ManifestOnDrive,
    string? Problem,
    string NextStep
);

/// <summary>An incoming drive: a peer's drive that was plugged in here, for one trip.</summary>
/// <param name="Name">Name of the drive at its site.</param>
/// <param name="DriveId">Identity on the drive marker.</param>
/// <param name="Trip">Number of the trip.</param>
/// <param name="Source">Site that filled the drive.</param>
/// <param name="Path">Where it is mounted here.</param>
/// <param name="State">ingesting or ingested.</param>
/// <param name="Since">UTC time at which the drive entered that state.</param>
/// <param name="Files">Entries of the manifest.</param>
/// <param name="Bytes">Total size of these entries, in bytes.</param>
/// <param name="FilesDone">Entries with an outcome.</param>
/// <param name="BytesDone">Total size of these entries, in bytes.</param>
/// <param name="Stored">Entries taken from the drive.</param>
/// <param name="AlreadyHere">Entries that this site already had.</param>
/// <param name="Failed">Entries not taken.</param>
/// <param name="Untold">Outcomes that the source has not been notified of.</param>
/// <param name="InstanceId">Orchestration instance of the ingest.</param>
/// <param name="Problem">What blocks the ingest, or null.</param>
/// <param name="NextStep">What a person does next.</param>
public sealed record DriveArrivalStatus(
    string Name,
    Guid DriveId,
    int Trip,
    string Source,
    string Path,
    string State,
    DateTime Since,
    long Files,
    long Bytes,
    long FilesDone,
    long BytesDone,
    long Stored,
    long AlreadyHere,
    long Failed,
    long Untold,
    string InstanceId,
    string? Problem,
    string NextStep
);

/// <summary>Response of drives/list.</summary>
/// <param name="Drives">This site's drives, by name.</param>
/// <param name="Arrivals">Incoming drives, newest first, at most 200.</param>
public sealed record DriveListResponse(IReadOnlyList<DriveStatus> Drives, IReadOnlyList<DriveArrivalStatus> Arrivals);

/// <summary>Request to drives/ingest.</summary>
/// <param name="Path">Absolute directory on the site's host where the drive is mounted.</param>
/// <param name="AcceptKey">Fingerprint of the source's key, which an administrator has compared.</param>
/// <param name="UpstreamManifest">Absolute path of a Python Librarian's manifest.</param>
/// <param name="StoreRoot">Directory of the files on a Python Librarian's drive.</param>
/// <param name="Unsigned">Whether an unsigned manifest is acceptable.</param>
public sealed record DriveIngestRequest(
    string Path,
    string? AcceptKey = null,
    string? UpstreamManifest = null,
    string? StoreRoot = null,
    bool Unsigned = false
);

/// <summary>Response of drives/ingest.</summary>
/// <param name="Message">What was started.</param>
/// <param name="Name">Name of the drive at its site.</param>
/// <param name="DriveId">Identity of the drive.</param>
/// <param name="Trip">Number of the trip.</param>
/// <param name="InstanceId">Orchestration instance of the ingest.</param>
public sealed record DriveIngestResponse(string Message, string Name, Guid DriveId, int Trip, string InstanceId);

/// <summary>Request to drives/arrival_files.</summary>
/// <param name="DriveId">Identity of the drive.</param>
/// <param name="Trip">Number of the trip.</param>
/// <param name="Outcome">stored, already_here or failed; null lists all.</param>
/// <param name="After">Id of the last file of the previous page; 0 for the first page.</param>
/// <param name="MaxResults">Maximum number of files, 1 to 1000.</param>
public sealed record DriveArrivalFilesRequest(Guid DriveId, int Trip, string? Outcome = "failed", long After = 0, int MaxResults = 100);

/// <summary>Outcome of one file of an incoming drive.</summary>
/// <param name="Id">Id for paging.</param>
/// <param name="Name">Name of the file.</param>
/// <param name="Outcome">stored, already_here or failed.</param>
/// <param name="Message">Why the file was not taken.</param>
/// <param name="Refusal">Why the source refused the notification.</param>
public sealed record DriveArrivalFileStatus(long Id, string Name, string Outcome, string? Message, string? Refusal);

/// <summary>Request to drives/receipt.</summary>
/// <param name="DriveId">Identity of the drive.</param>
/// <param name="Trip">Number of the trip.</param>
public sealed record DriveReceiptRequest(Guid DriveId, int Trip);

/// <summary>Response of drives/key.</summary>
/// <param name="Site">This site's name.</param>
/// <param name="PublicKey">Public key as <c>ed25519:BASE64</c>.</param>
/// <param name="Fingerprint">Fingerprint of the key, which two people compare.</param>
public sealed record SiteKeyResponse(string Site, string PublicKey, string Fingerprint);

/// <summary>Request to drives/delivered: a destination notifies the source of the outcomes of its files.</summary>
/// <param name="DriveId">Identity of the drive.</param>
/// <param name="Trip">Number of the trip.</param>
/// <param name="Deliveries">Outcomes, at most 1000.</param>
public sealed record DeliveriesRequest(Guid DriveId, int Trip, IReadOnlyList<DeliveryReport> Deliveries);

/// <summary>Outcome of one file of a drive.</summary>
/// <param name="SourceTransferId">The source's transfer id, from the manifest.</param>
/// <param name="Name">Name of the file, from the manifest.</param>
/// <param name="Checksum">Checksum of the file, from the manifest.</param>
/// <param name="Stored">Whether the destination has verified and catalogued the file.</param>
/// <param name="StoreId">Id of the destination's store, if the file is stored.</param>
/// <param name="Message">Why the file was not stored.</param>
public sealed record DeliveryReport(
    long SourceTransferId,
    string Name,
    string Checksum,
    bool Stored,
    long? StoreId = null,
    string? Message = null
);

/// <summary>Response of drives/delivered.</summary>
/// <param name="Recorded">Number of outcomes that were recorded.</param>
/// <param name="Refused">Outcomes that were not recorded.</param>
public sealed record DeliveriesResponse(int Recorded, IReadOnlyList<DeliveryRefusal> Refused);

/// <summary>An outcome that the source did not record.</summary>
/// <param name="SourceTransferId">As in the request.</param>
/// <param name="Reason">Why it was not recorded.</param>
public sealed record DeliveryRefusal(long SourceTransferId, string Reason);
