using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Domain.Security;

namespace Librarian.Domain.Formats;

/// <summary>
/// The drive marker (docs/formats/drive-v1.md "Marker"). A directory without a readable marker is not a drive, and one with another marker
/// is not this drive: nothing is read from it or written to it.
/// </summary>
public sealed record DriveMarker
{
    /// <summary>The marker's name in the root of a drive.</summary>
    public const string FileName = "LIBRARIAN-DRIVE.json";

    /// <summary>Format name in every marker.</summary>
    public const string FormatName = "librarian-drive";

    /// <summary>The only version that this code writes and reads.</summary>
    public const int FormatVersion = 1;

    private const int MaxLength = 64 * 1024;

    /// <summary><see cref="FormatName"/>.</summary>
    [JsonInclude]
    internal string Format { get; init; } = FormatName;

    /// <summary><see cref="FormatVersion"/>.</summary>
    [JsonInclude]
    internal int Version { get; init; } = FormatVersion;

    /// <summary>The drive's permanent identity.</summary>
    public required Guid DriveId { get; init; }

    /// <summary>The drive's name, for people.</summary>
    public required string Name { get; init; }

    /// <summary>Name of the site that owns and fills the drive.</summary>
    public required string Site { get; init; }

    /// <summary>That site's public key.</summary>
    public required SitePublicKey SiteKey { get; init; }

    /// <summary>Name of the site it travels to.</summary>
    public required string Destination { get; init; }

    /// <summary>1 for the first trip, one more each time the drive is recycled.</summary>
    public required int Trip { get; init; }

    /// <summary>UTC time of this trip's start, with microseconds.</summary>
    public required DateTime Initialised { get; init; }

    /// <summary>
    /// Reads the marker in the directory <paramref name="root"/>; null when there is none, or it is unreadable, above 64 KiB, or of another
    /// format or version.
    /// </summary>
    public static DriveMarker? TryRead(string root)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        try
        {
            using var file = DriveFile.TryOpenRead(root, FileName);
            if (file is null)
                return null;
            var bytes = new byte[MaxLength + 1];
            var length = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            return length <= MaxLength ? Parse(bytes.AsSpan(0, length)) : null;
        }
        catch (Exception failure) when (DriveFile.IsReadFailure(failure))
        {
            return null;
        }
    }

    /// <summary>The same without blocking the caller's thread, because a medium may be slow.</summary>
    public static Task<DriveMarker?> TryReadAsync(string root, CancellationToken cancellationToken) =>
        Task.Run(() => TryRead(root), cancellationToken);

    /// <summary>Writes the marker whole or not at all; it is on disk when the task ends.</summary>
    /// <exception cref="InvalidOperationException">No reader would accept it.</exception>
    /// <exception cref="IOException">The drive is full, failing or read-only.</exception>
    public async Task WriteAsync(string root, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        if (Problem() is { } problem)
            throw new InvalidOperationException($"Not written as a marker: {problem}.");
        await using var file = DriveFile.Create(root, FileName);
        await using (var json = new Utf8JsonWriter(file.Stream, FormatJson.Indented))
            JsonSerializer.Serialize(json, this, MarkerJson.Default.DriveMarker);
        file.Stream.WriteByte((byte)'\n');
        await file.CommitAsync(cancellationToken);
    }

    private static DriveMarker? Parse(ReadOnlySpan<byte> bytes) =>
        FormatJson.Parse(bytes, MarkerJson.Default.FormatLine) is { Format: FormatName, Version: FormatVersion }
        && FormatJson.Parse(bytes, MarkerJson.Default.DriveMarker) is { } marker
        && marker.Problem() is null
            ? marker
            : null;

    /// <summary>Why no reader accepts the marker, as half a sentence; null if readers accept it.</summary>
    private string? Problem() =>
        FormatText.Problem("name", Name)
        ?? FormatText.Problem("site", Site)
        ?? FormatText.Problem("destination", Destination)
        ?? (Trip < 1 ? "the trip is less than 1" : null);
}

/// <summary>JSON of markers. Unknown keys are ignored, missing or repeated ones refused.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    AllowDuplicateProperties = false,
    Converters = [typeof(DriveTimeConverter)]
)]
[JsonSerializable(typeof(FormatLine))]
[JsonSerializable(typeof(DriveMarker))]
internal sealed partial class MarkerJson : JsonSerializerContext;
