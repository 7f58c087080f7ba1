namespace Librarian.Domain.Catalog;

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
