using System.Text.Json.Serialization;

namespace Librarian.Domain.Drives;

/// <summary>Line 1 of a receipt: which trip of which drive it answers, and who says so (docs/formats/drive-v1.md "Receipt").</summary>
public sealed record ReceiptHeader
{
    /// <summary>What the first line of every receipt says it is.</summary>
    public const string FormatName = "librarian-receipt";

    /// <summary>The one version this code writes and reads.</summary>
    public const int FormatVersion = 1;

    /// <summary><see cref="FormatName"/>.</summary>
    [JsonInclude]
    internal string Format { get; init; } = FormatName;

    /// <summary><see cref="FormatVersion"/>.</summary>
    [JsonInclude]
    internal int Version { get; init; } = FormatVersion;

    /// <summary>Name of the site that ingested the drive.</summary>
    public required string Site { get; init; }

    /// <summary>Key the site claims; only a claim until compared with the key known for it.</summary>
    public required SitePublicKey SiteKey { get; init; }

    /// <summary>The drive.</summary>
    public required Guid DriveId { get; init; }

    /// <summary>The drive's name.</summary>
    public required string Drive { get; init; }

    /// <summary>Which trip of the drive.</summary>
    public required int Trip { get; init; }

    /// <summary>Name of the site that filled the drive.</summary>
    public required string Source { get; init; }

    /// <summary>Digest of the manifest that was ingested (<see cref="ManifestSeal.Sha256"/>).</summary>
    public required string ManifestSha256 { get; init; }

    /// <summary>UTC, microseconds.</summary>
    public required DateTime Created { get; init; }

    /// <summary>Lines between the first and the last.</summary>
    public required long Files { get; init; }
}

/// <summary>What became of a file at the destination.</summary>
[JsonConverter(typeof(ReceiptOutcomeConverter))]
public enum ReceiptOutcome
{
    /// <summary>Verified and catalogued there, also if it was there before.</summary>
    Stored,

    /// <summary>Not taken; the message says why.</summary>
    Failed,
}

/// <summary>The destination's decision about one delivery.</summary>
public sealed record ReceiptLine
{
    /// <summary>The source's number, from the manifest.</summary>
    public required long OutgoingTransferId { get; init; }

    /// <summary>Catalog name.</summary>
    public required string Name { get; init; }

    /// <summary>Checksum of the manifest, byte for byte.</summary>
    public required string Checksum { get; init; }

    /// <summary>The decision.</summary>
    public required ReceiptOutcome Outcome { get; init; }

    /// <summary>The destination's store, when stored.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? StoreId { get; init; }

    /// <summary>Why not, when failed.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Message { get; init; }
}

/// <summary>How a finished receipt ends.</summary>
/// <param name="Sha256">Digest of all bytes before the last line, lower-case hexadecimal.</param>
/// <param name="Files">Lines between the first and the last.</param>
public sealed record ReceiptSeal(string Sha256, long Files);
