namespace Librarian.Domain.Catalog;

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
