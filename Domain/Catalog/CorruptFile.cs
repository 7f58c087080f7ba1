namespace Librarian.Domain.Catalog;

/// <summary>
/// A copy that is suspected to be corrupt, or missing (table <c>corrupt_files</c>); the row survives the file's own row on purpose.
/// </summary>
public sealed class CorruptFile
{
    public long Id { get; init; }

    public required string FileName { get; init; }

    /// <summary>Source of the file.</summary>
    public required string FileSource { get; init; }

    /// <summary>The copy.</summary>
    public required long CopyId { get; init; }

    /// <summary>Absolute path at which it was last read, for people.</summary>
    public required string CopyPath { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime CorruptTime { get; init; }

    /// <summary>Wrong size found, bytes.</summary>
    public required long Size { get; set; }

    /// <summary>Wrong checksum found; <see cref="Missing"/> when nothing was found.</summary>
    public required string Checksum { get; set; }

    /// <summary>Value of <see cref="Checksum"/> for a copy that is missing from its store although the store was mounted.</summary>
    public const string Missing = "missing";

    /// <summary>How often it was found.</summary>
    public int Count { get; set; }

    /// <summary>Whether a replacement was requested.</summary>
    public bool ReplacementRequested { get; set; }

    /// <summary>The transfer that brings the replacement.</summary>
    public long? IncomingTransferId { get; set; }
}
