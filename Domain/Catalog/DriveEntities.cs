namespace Librarian.Domain.Catalog;

/// <summary>State of a drive of this site (docs/drives.md). Stored by upper-case name.</summary>
public enum DriveState
{
    /// <summary>Takes files, or waits: for new ones, or until an earlier drive for the destination is full.</summary>
    Filling,

    /// <summary>None of the waiting files fits any more; an administrator was asked to write its manifest and carry it.</summary>
    Full,

    /// <summary>Frozen: its manifest is (being) written, its files count as not available, and it travels.</summary>
    InTransit,

    /// <summary>Every transfer has been decided; the drive may be wiped and filled again.</summary>
    Reusable,

    /// <summary>Being wiped for its next trip.</summary>
    Recycling,

    /// <summary>Written off; its files have been released for other drives.</summary>
    Lost,
}

/// <summary>A hand-carried drive of this site (table <c>drives</c>); its files are on the store <see cref="StoreId"/>.</summary>
public sealed class Drive
{
    public long Id { get; init; }

    /// <summary>Identity on the medium (in its marker file).</summary>
    public required Guid DriveId { get; set; }

    /// <summary>Unique name; also the store's.</summary>
    public required string Name { get; init; }

    /// <summary>The store's row.</summary>
    public required long StoreId { get; set; }

    /// <summary>Absolute directory where it is mounted here.</summary>
    public required string MountPath { get; set; }

    /// <summary>Site it travels to.</summary>
    public required string Destination { get; set; }

    /// <summary>Share of it that may be filled, above 0 to 1.</summary>
    public required double FullFraction { get; set; }

    public required DriveState State { get; set; }

    /// <summary>UTC; when it entered this state.</summary>
    public required DateTime StateSince { get; set; }

    /// <summary>1 for the first trip.</summary>
    public required int Trip { get; set; }

    /// <summary>UTC time of the freeze; the manifest's time of creation.</summary>
    public DateTime? ManifestTime { get; set; }

    /// <summary>Digest of the manifest once it is in the archive.</summary>
    public string? ManifestSha256 { get; set; }

    /// <summary>Whether the manifest and the pages about it are on the drive.</summary>
    public bool ManifestOnDrive { get; set; }

    /// <summary>The obstacle to progress, for people; null when there is none.</summary>
    public string? Problem { get; set; }
}

/// <summary>State of a file on its way onto a drive. Stored by upper-case name.</summary>
public enum DriveContentState
{
    /// <summary>Reserved for this drive; being copied.</summary>
    Copying,

    /// <summary>On the drive, verified.</summary>
    Stored,

    /// <summary>Could not be copied to the drive; offered again after <see cref="DriveContent.RetryAfter"/>.</summary>
    Failed,

    /// <summary>It travelled, and the destination did not accept it; offered again to the next drive.</summary>
    Undelivered,
}

/// <summary>A file on a drive's present trip (table <c>drive_contents</c>).</summary>
public sealed class DriveContent
{
    /// <summary>Row id; the order of the manifest.</summary>
    public long Id { get; init; }

    /// <summary>The drive's row.</summary>
    public required long DriveRow { get; init; }

    public required string FileName { get; init; }

    /// <summary>The drive's destination, so that one index keeps a file to one drive per destination.</summary>
    public required string Destination { get; init; }

    public required DriveContentState State { get; set; }

    /// <summary>Names the copy while it is being made.</summary>
    public required Guid AdditionId { get; set; }

    /// <summary>Bytes.</summary>
    public required long Size { get; init; }

    /// <summary>SHA-256 of a single file; null for a directory.</summary>
    public string? Sha256 { get; set; }

    /// <summary>Number of regular files in it; 1 for a single file.</summary>
    public long Members { get; set; }

    /// <summary>Transfer opened for it when the drive was frozen; null when the destination was known to have the file.</summary>
    public long? OutgoingTransferId { get; set; }

    /// <summary>UTC; after a failure it is not tried again before this time.</summary>
    public DateTime? RetryAfter { get; set; }

    /// <summary>Failures in a row.</summary>
    public int Failures { get; set; }
}

/// <summary>A member of a directory on a drive (table <c>drive_members</c>).</summary>
public sealed class DriveMember
{
    /// <summary>The directory (<see cref="DriveContent.Id"/>).</summary>
    public required long ContentId { get; init; }

    /// <summary>Relative to the directory.</summary>
    public required string Path { get; init; }

    /// <summary>Bytes.</summary>
    public required long Size { get; init; }

    /// <summary>Lower-case hexadecimal.</summary>
    public required string Sha256 { get; init; }
}

/// <summary>Progress of the ingest of an incoming drive. Stored by upper-case name.</summary>
public enum IncomingDriveState
{
    /// <summary>Files are being read and verified.</summary>
    Ingesting,

    /// <summary>Every file of the manifest has been decided.</summary>
    Ingested,
}

/// <summary>A drive of a peer that was plugged in here (table <c>drive_arrivals</c>), one row for each of its trips.</summary>
public sealed class IncomingDrive
{
    public long Id { get; init; }

    public required Guid DriveId { get; init; }

    public required int Trip { get; init; }

    /// <summary>The drive's name at its site.</summary>
    public required string Name { get; init; }

    /// <summary>Site that filled it.</summary>
    public required string Source { get; init; }

    /// <summary>Absolute directory where it is mounted here.</summary>
    public required string MountPath { get; set; }

    /// <summary>Absolute directory of the files.</summary>
    public required string DataPath { get; set; }

    /// <summary>True for a drive of a Python Librarian: no marker, no signature.</summary>
    public required bool IsUpstream { get; init; }

    /// <summary>Identity of the manifest.</summary>
    public required string ManifestSha256 { get; init; }

    public required IncomingDriveState State { get; set; }

    /// <summary>UTC; when it entered this state.</summary>
    public required DateTime StateSince { get; set; }

    /// <summary>Entries in the manifest.</summary>
    public required long Files { get; init; }

    /// <summary>Bytes of these entries.</summary>
    public required long Bytes { get; init; }

    /// <summary>Byte offset in the archived manifest up to which entries are decided.</summary>
    public long Position { get; set; }

    /// <summary>Entries decided.</summary>
    public long FilesDone { get; set; }

    /// <summary>Bytes of those entries that are stored here.</summary>
    public long BytesDone { get; set; }

    /// <summary>The obstacle to progress, for people; null when there is none.</summary>
    public string? Problem { get; set; }
}

/// <summary>Outcome of an entry of a manifest. Stored by upper-case name.</summary>
public enum DriveFileOutcome
{
    /// <summary>Copied from the drive, verified and catalogued.</summary>
    Stored,

    /// <summary>Was here already, with the same content.</summary>
    AlreadyHere,

    /// <summary>Not accepted; the message says why.</summary>
    Failed,
}

/// <summary>The decision about one file of an incoming drive (table <c>drive_arrival_files</c>).</summary>
public sealed class IncomingDriveFile
{
    public long Id { get; init; }

    /// <summary>The incoming drive.</summary>
    public required long IncomingDriveId { get; init; }

    public required string FileName { get; init; }

    /// <summary>Checksum of the manifest.</summary>
    public required string Checksum { get; init; }

    /// <summary>The source's transfer; -1 when there is none.</summary>
    public required long OutgoingTransferId { get; init; }

    public required DriveFileOutcome Outcome { get; set; }

    /// <summary>This site's store, when the file is here.</summary>
    public long? StoreId { get; set; }

    /// <summary>For people.</summary>
    public string? Message { get; set; }

    /// <summary>The source was notified of it, or need not be.</summary>
    public bool Reported { get; set; }

    /// <summary>Why the source refused the notification.</summary>
    public string? Refusal { get; set; }
}

/// <summary>The public key that verifies another site's signatures (table <c>site_keys</c>).</summary>
public sealed class PinnedSiteKey
{
    /// <summary>The other site.</summary>
    public required string Site { get; init; }

    /// <summary>Text of its public key.</summary>
    public required string PublicKey { get; set; }

    /// <summary>UTC; when it was accepted.</summary>
    public required DateTime PinnedTime { get; set; }

    /// <summary><c>fetched</c> over an authenticated connection, or <c>accepted</c> by an administrator.</summary>
    public required string How { get; set; }
}
