namespace Librarian.Domain.Catalog;

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
