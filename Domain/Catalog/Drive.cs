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
