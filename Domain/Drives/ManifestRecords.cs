using System.Text.Json.Serialization;
using Librarian.Domain.Security;

namespace Librarian.Domain.Drives;

/// <summary>Line 1 of a manifest: drive, source, destination and totals (docs/formats/drive-v1.md "Manifest").</summary>
public sealed record ManifestHeader
{
    /// <summary>Format name in the first line of every manifest.</summary>
    public const string FormatName = "librarian-manifest";

    /// <summary>The only version that this code writes and reads.</summary>
    public const int FormatVersion = 1;

    /// <summary><see cref="FormatName"/>.</summary>
    [JsonInclude]
    internal string Format { get; init; } = FormatName;

    /// <summary><see cref="FormatVersion"/>.</summary>
    [JsonInclude]
    internal int Version { get; init; } = FormatVersion;

    /// <summary>Name of the site that filled the drive.</summary>
    public required string Site { get; init; }

    /// <summary>Key that the site claims; not trusted until it was compared with the key known for the site.</summary>
    public required SitePublicKey SiteKey { get; init; }

    /// <summary>The drive, as in its marker.</summary>
    public required Guid DriveId { get; init; }

    /// <summary>The drive's name.</summary>
    public required string Drive { get; init; }

    /// <summary>Trip of the drive; 1 is the first.</summary>
    public required int Trip { get; init; }

    /// <summary>Name of the site it travels to.</summary>
    public required string Destination { get; init; }

    /// <summary>UTC, with microseconds.</summary>
    public required DateTime Created { get; init; }

    /// <summary>Number of entries.</summary>
    public required long Files { get; init; }

    /// <summary>Number of regular files below <c>data/</c>.</summary>
    public required long Members { get; init; }

    /// <summary>Sum of their lengths, bytes.</summary>
    public required long Bytes { get; init; }
}

/// <summary>One file of the catalog on a drive.</summary>
public sealed record ManifestFile
{
    /// <summary>Catalog name, normalised; the data are <c>data/NAME</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Bytes; for a directory the sum over its members.</summary>
    public required long Size { get; init; }

    /// <summary>The catalog's checksum, byte for byte.</summary>
    public required string Checksum { get; init; }

    /// <summary>SHA-256 of the bytes, lower-case hexadecimal; null for a directory, and in a manifest of the Python Librarian.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Sha256 { get; init; }

    /// <summary>Number of files in a directory, which follow; null for a single file.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? Members { get; init; }

    /// <summary>UTC time of ingest at the source, with microseconds.</summary>
    public required DateTime CreateTime { get; init; }

    /// <summary>The uploader.</summary>
    public required string Uploader { get; init; }

    /// <summary>The sender to the source.</summary>
    public required string Source { get; init; }

    /// <summary>Whether maintenance may delete copies; 0 or 1.</summary>
    public required DeletionPolicy DeletionPolicy { get; init; }

    /// <summary>The source's id for the transfer; -1 when the destination is known to have the file.</summary>
    public required long OutgoingTransferId { get; init; }

    /// <summary>
    /// Why this entry of a manifest of the Python Librarian cannot be used; null when it can. The entry's file is not ingested.
    /// </summary>
    [JsonIgnore]
    public string? Problem { get; init; }
}

/// <summary>One file of a directory.</summary>
/// <param name="Path">Relative to the directory.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Sha256">Lower-case hexadecimal.</param>
public sealed record ManifestMember(string Path, long Size, string Sha256);

/// <summary>The totals of a manifest.</summary>
/// <param name="Files">Entries.</param>
/// <param name="Members">Regular files below <c>data/</c>; a single file counts one.</param>
/// <param name="Bytes">Sum of their lengths.</param>
public readonly record struct ManifestTotals(long Files, long Members, long Bytes);

/// <summary>Digest and totals of a finished manifest.</summary>
/// <param name="Sha256">Digest of all bytes before the last line, lower-case hexadecimal; the manifest's identity.</param>
/// <param name="Totals">What it lists.</param>
public sealed record ManifestSeal(string Sha256, ManifestTotals Totals);
