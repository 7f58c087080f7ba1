namespace Librarian.Client.Wire;

/// <summary>Request of drives/initialise.</summary>
/// <param name="Name">Name of the drive and of its store.</param>
/// <param name="Path">Absolute directory on the site's machine at which it is mounted.</param>
/// <param name="Destination">Site it travels to.</param>
/// <param name="FullFraction">Share that may be filled, above 0 to 1.</param>
/// <param name="AllowDirectory">The path need not be a mount point.</param>
public sealed record DriveInitialiseRequest(string Name, string Path, string Destination, double FullFraction = 0.95, bool AllowDirectory = false);

/// <summary>Request of drives/freeze and drives/manifest.</summary>
/// <param name="Name">The drive.</param>
public sealed record DriveRequest(string Name);

/// <summary>Request of drives/recycle.</summary>
/// <param name="Name">The drive.</param>
/// <param name="Lost">Give it up instead: everything it carries is released.</param>
public sealed record DriveRecycleRequest(string Name, bool Lost = false);

/// <summary>Request of drives/list.</summary>
/// <param name="Name">Only the drive of this name, of this site or plugged in here; null: all.</param>
public sealed record DriveListRequest(string? Name = null);

/// <summary>Success of a command about drives.</summary>
/// <param name="Message">What was done.</param>
public sealed record DriveDone(string Message);

/// <summary>A drive of this site.</summary>
/// <param name="Name">Name.</param>
/// <param name="DriveId">Identity on the medium.</param>
/// <param name="Destination">Where it goes.</param>
/// <param name="Path">Where it is mounted here.</param>
/// <param name="State">filling, full, in_transit, reusable, recycling or lost.</param>
/// <param name="Since">UTC time of that state.</param>
/// <param name="Trip">1 for the first.</param>
/// <param name="IsPlugged">Mounted now.</param>
/// <param name="Files">Files on it.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="FreeBytes">Room left; -1 when not plugged.</param>
/// <param name="Delivered">Files acknowledged by the destination.</param>
/// <param name="Open">Files on their way.</param>
/// <param name="Failed">Files the destination did not take.</param>
/// <param name="ManifestSha256">Identity of the manifest, once written.</param>
/// <param name="ManifestOnDrive">The manifest is on the drive: it may be unplugged.</param>
/// <param name="Problem">What is in the way.</param>
/// <param name="NextStep">What to do next.</param>
public sealed record DriveStatus(
    string Name, Guid DriveId, string Destination, string Path, string State, DateTime Since, int Trip, bool IsPlugged, long Files, long Bytes, long FreeBytes,
    long Delivered, long Open, long Failed, string? ManifestSha256, bool ManifestOnDrive, string? Problem, string NextStep);

/// <summary>A drive of another site that was plugged in here.</summary>
/// <param name="Name">Its name there.</param>
/// <param name="DriveId">Identity.</param>
/// <param name="Trip">Its trip.</param>
/// <param name="Source">Site that filled it.</param>
/// <param name="Path">Where it is mounted here.</param>
/// <param name="State">ingesting or ingested.</param>
/// <param name="Since">UTC time of that state.</param>
/// <param name="Files">Entries of its manifest.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="FilesDone">Entries decided.</param>
/// <param name="BytesDone">Their bytes.</param>
/// <param name="Stored">Taken from the drive.</param>
/// <param name="AlreadyHere">Were here.</param>
/// <param name="Failed">Not taken.</param>
/// <param name="Untold">Decisions the source has not heard of.</param>
/// <param name="InstanceId">Orchestration of the ingest.</param>
/// <param name="Problem">What is in the way.</param>
/// <param name="NextStep">What to do next.</param>
public sealed record DriveArrivalStatus(
    string Name, Guid DriveId, int Trip, string Source, string Path, string State, DateTime Since, long Files, long Bytes, long FilesDone, long BytesDone,
    long Stored, long AlreadyHere, long Failed, long Untold, string InstanceId, string? Problem, string NextStep);

/// <summary>Answer of drives/list.</summary>
/// <param name="Drives">This site's drives by name.</param>
/// <param name="Arrivals">Other sites' drives that were plugged in here, newest first, at most 200.</param>
public sealed record DriveListResponse(IReadOnlyList<DriveStatus> Drives, IReadOnlyList<DriveArrivalStatus> Arrivals);

/// <summary>Request of drives/ingest.</summary>
/// <param name="Path">Absolute directory on the site's machine at which the drive is mounted.</param>
/// <param name="AcceptKey">Fingerprint of the source's key that an administrator has compared.</param>
/// <param name="UpstreamManifest">Absolute path of a Python Librarian's manifest.</param>
/// <param name="StoreRoot">For such a drive, directory of the files.</param>
/// <param name="Unsigned">An unsigned manifest is acceptable.</param>
public sealed record DriveIngestRequest(string Path, string? AcceptKey = null, string? UpstreamManifest = null, string? StoreRoot = null, bool Unsigned = false);

/// <summary>Answer of drives/ingest.</summary>
/// <param name="Message">What was begun.</param>
/// <param name="Name">The drive's name at its site.</param>
/// <param name="DriveId">Identity of the drive.</param>
/// <param name="Trip">Its trip.</param>
/// <param name="InstanceId">Orchestration of the ingest.</param>
public sealed record DriveIngestResponse(string Message, string Name, Guid DriveId, int Trip, string InstanceId);

/// <summary>Request of drives/arrival_files.</summary>
/// <param name="DriveId">The drive.</param>
/// <param name="Trip">Its trip.</param>
/// <param name="Outcome">stored, already_here or failed; null: all.</param>
/// <param name="After">Id of the last one of the page before; 0 for the first.</param>
/// <param name="MaxResults">1 to 1000.</param>
public sealed record DriveArrivalFilesRequest(Guid DriveId, int Trip, string? Outcome = "failed", long After = 0, int MaxResults = 100);

/// <summary>What became of one file of a drive.</summary>
/// <param name="Id">For paging.</param>
/// <param name="Name">File.</param>
/// <param name="Outcome">stored, already_here or failed.</param>
/// <param name="Message">Why it was not taken.</param>
/// <param name="Refusal">Why the source did not want to hear it.</param>
public sealed record DriveArrivalFileStatus(long Id, string Name, string Outcome, string? Message, string? Refusal);

/// <summary>Request of drives/receipt.</summary>
/// <param name="DriveId">The drive.</param>
/// <param name="Trip">Its trip.</param>
public sealed record DriveReceiptRequest(Guid DriveId, int Trip);

/// <summary>Answer of drives/key.</summary>
/// <param name="Site">This site's name.</param>
/// <param name="PublicKey"><c>ed25519:BASE64</c>.</param>
/// <param name="Fingerprint">What two people compare.</param>
public sealed record SiteKeyResponse(string Site, string PublicKey, string Fingerprint);

/// <summary>Request of drives/delivered: a destination tells the source what became of its files.</summary>
/// <param name="DriveId">The drive.</param>
/// <param name="Trip">Its trip.</param>
/// <param name="Deliveries">At most 1000.</param>
public sealed record DeliveriesRequest(Guid DriveId, int Trip, IReadOnlyList<DeliveryReport> Deliveries);

/// <summary>One file.</summary>
/// <param name="SourceTransferId">The source's number, from the manifest.</param>
/// <param name="Name">The file, as the manifest says.</param>
/// <param name="Checksum">Its checksum, as the manifest says.</param>
/// <param name="Stored">Verified and catalogued at the destination.</param>
/// <param name="StoreId">The destination's store, when stored.</param>
/// <param name="Message">Why not.</param>
public sealed record DeliveryReport(long SourceTransferId, string Name, string Checksum, bool Stored, long? StoreId = null, string? Message = null);

/// <summary>Answer of drives/delivered.</summary>
/// <param name="Recorded">How many were recorded.</param>
/// <param name="Refused">Those that were not.</param>
public sealed record DeliveriesResponse(int Recorded, IReadOnlyList<DeliveryRefusal> Refused);

/// <summary>A delivery that was not recorded.</summary>
/// <param name="SourceTransferId">As told.</param>
/// <param name="Reason">Why.</param>
public sealed record DeliveryRefusal(long SourceTransferId, string Reason);
