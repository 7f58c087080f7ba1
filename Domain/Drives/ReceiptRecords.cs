using System.Text.Json.Serialization;
using Librarian.Domain.Security;

namespace Librarian.Domain.Drives;

/// <summary>Line 1 of a receipt: the drive and trip that it answers, and the reporting site (docs/formats/drive-v1.md "Receipt").</summary>
public sealed record ReceiptHeader
{
    /// <summary>Format name in the first line of every receipt.</summary>
    public const string FormatName = "librarian-receipt";

    /// <summary>The only version that this code writes and reads.</summary>
    public const int FormatVersion = 1;

    /// <summary><see cref="FormatName"/>.</summary>
    [JsonInclude]
    internal string Format { get; init; } = FormatName;

    /// <summary><see cref="FormatVersion"/>.</summary>
    [JsonInclude]
    internal int Version { get; init; } = FormatVersion;

    /// <summary>Name of the site that ingested the drive.</summary>
    public required string Site { get; init; }

    /// <summary>Key that the site claims; not trusted until it was compared with the key known for the site.</summary>
    public required SitePublicKey SiteKey { get; init; }

    /// <summary>The drive.</summary>
    public required Guid DriveId { get; init; }

    /// <summary>The drive's name.</summary>
    public required string Drive { get; init; }

    /// <summary>Trip of the drive.</summary>
    public required int Trip { get; init; }

    /// <summary>Name of the site that filled the drive.</summary>
    public required string Source { get; init; }

    /// <summary>Digest of the manifest that was ingested (<see cref="ManifestSeal.Sha256"/>).</summary>
    public required string ManifestSha256 { get; init; }

    /// <summary>UTC, with microseconds.</summary>
    public required DateTime Created { get; init; }

    /// <summary>Number of lines between the first and the last.</summary>
    public required long Files { get; init; }
}

/// <summary>Outcome of a file at the destination.</summary>
[JsonConverter(typeof(ReceiptOutcomeConverter))]
public enum ReceiptOutcome
{
    /// <summary>Verified and catalogued there, possibly before the drive came.</summary>
    Stored,

    /// <summary>Not accepted; the message says why.</summary>
    Failed,
}

/// <summary>The destination's decision about one file.</summary>
public sealed record ReceiptLine
{
    /// <summary>The source's transfer id, from the manifest.</summary>
    public required long OutgoingTransferId { get; init; }

    /// <summary>Catalog name.</summary>
    public required string Name { get; init; }

    /// <summary>Checksum of the manifest, byte for byte.</summary>
    public required string Checksum { get; init; }

    public required ReceiptOutcome Outcome { get; init; }

    /// <summary>The destination's store, if stored.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public long? StoreId { get; init; }

    /// <summary>The reason, if failed.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Message { get; init; }
}

/// <summary>Digest and count of a finished receipt.</summary>
/// <param name="Sha256">Digest of all bytes before the last line, lower-case hexadecimal.</param>
/// <param name="Files">Number of lines between the first and the last.</param>
public sealed record ReceiptSeal(string Sha256, long Files);
