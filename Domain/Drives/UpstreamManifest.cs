using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

/// <summary>Summary of a manifest of the Python Librarian.</summary>
/// <param name="LibrarianName">The site that wrote it.</param>
/// <param name="StoreName">Its store.</param>
/// <param name="Files">Entries.</param>
/// <param name="Bytes">Sum of their sizes.</param>
/// <param name="Sha256">Digest of the whole file, lower-case hexadecimal: its identity, since it has no seal.</param>
/// <param name="Unusable">Number of entries that cannot be used; their files are not ingested, the others are.</param>
public sealed record UpstreamHeader(string LibrarianName, string StoreName, long Files, long Bytes, string Sha256, long Unusable = 0);

/// <summary>Result of reading a whole upstream manifest; codes as for <see cref="ManifestCheck"/>, as far as they can occur.</summary>
public sealed record UpstreamCheck
{
    /// <summary>
    /// Whether it can be read to its end; entries that cannot be used are skipped one by one. Nothing proves that it is genuine.
    /// </summary>
    [MemberNotNullWhen(true, nameof(Header))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool Accepted => Refusal is null;

    /// <summary>Its contents.</summary>
    public UpstreamHeader? Header { get; init; }

    /// <summary>Why it is not used.</summary>
    public DriveRefusal? Refusal { get; init; }
}

/// <summary>
/// The manifest of the Python Librarian 5.0 (docs/formats/drive-v1.md "manifest.upstream.json", docs/spec/wire.md#store-manifest), of any
/// length in bounded memory.
/// </summary>
public static class UpstreamManifest
{
    /// <summary>The manifest's name in the root of a drive.</summary>
    public const string FileName = "manifest.upstream.json";

    private const string Remedy =
        "Nothing was taken from the drive and nothing was changed. "
        + "Have the source write its manifest again (librarian get-store-manifest).";

    /// <summary>Reads the manifest once from start to end.</summary>
    public static async Task<UpstreamCheck> CheckAsync(Stream stream, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(stream);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        try
        {
            return await new UpstreamDocument(new JsonValueStream(stream, hash), hash).CheckAsync(cancellationToken);
        }
        catch (JsonStreamException failure)
        {
            return Refuse(failure.Kind, $"The upstream manifest cannot be read to its end: {failure.Message}.");
        }
    }

    /// <summary>The same for a file; <c>manifest.missing</c> when there is none.</summary>
    public static async Task<UpstreamCheck> CheckAsync(string path, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            var stream = DriveFile.TryOpenRead(path);
            if (stream is null)
                return Refuse("missing", $"There is no upstream manifest '{path}'. Another directory may be mounted here.");
            await using (stream)
                return await CheckAsync(stream, cancellationToken);
        }
        catch (Exception failure) when (DriveFile.IsReadFailure(failure))
        {
            return Refuse(
                "unreadable",
                $"The upstream manifest '{path}' cannot be read: {failure.Message}. The drive may be failing; copy what it still gives."
            );
        }
    }

    /// <summary>Writes the part of a manifest that the Python Librarian needs, from the cursor's position to the end.</summary>
    public static async Task WriteAsync(ManifestCursor manifest, Stream stream, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        ArgumentNullException.ThrowIfNull(stream);
        await using var writer = new UpstreamWriter(stream, manifest.Header);
        while (await manifest.ReadFileAsync(cancellationToken) is { } file)
            await writer.WriteAsync(file, cancellationToken);
        await writer.EndAsync(cancellationToken);
    }

    internal static UpstreamCheck Refuse(string kind, string what) =>
        new() { Refusal = new DriveRefusal($"manifest.{kind}", $"{what} {Remedy}") };
}
