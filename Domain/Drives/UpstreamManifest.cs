using System.Diagnostics.CodeAnalysis;

namespace Librarian.Domain.Drives;

/// <summary>What a manifest of the Python Librarian says about itself.</summary>
/// <param name="LibrarianName">The site that wrote it.</param>
/// <param name="StoreName">Its store.</param>
/// <param name="Files">Entries.</param>
/// <param name="Bytes">Sum of their sizes.</param>
/// <param name="Sha256">Digest of the whole file, lower-case hexadecimal: its identity, since it has no seal of its own.</param>
public sealed record UpstreamHeader(string LibrarianName, string StoreName, long Files, long Bytes, string Sha256);

/// <summary>What reading a whole upstream manifest found; codes as for <see cref="ManifestCheck"/>, as far as they can occur.</summary>
public sealed record UpstreamCheck
{
    /// <summary>Whether it can be read and every name stays inside the store. Nothing says that it is genuine.</summary>
    [MemberNotNullWhen(true, nameof(Header))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool Accepted => Refusal is null;

    /// <summary>What it holds.</summary>
    public UpstreamHeader? Header { get; init; }

    /// <summary>Why it is not used.</summary>
    public DriveRefusal? Refusal { get; init; }
}

/// <summary>The manifest of the Python Librarian 5.0 (docs/formats/drive-v1.md "manifest.upstream.json", wire.md §6.10.4), of any length in bounded memory.</summary>
public static class UpstreamManifest
{
    /// <summary>Its name in the root of a drive.</summary>
    public const string FileName = "manifest.upstream.json";

    /// <summary>Reads the manifest once from start to end.</summary>
    public static Task<UpstreamCheck> CheckAsync(Stream stream, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>The same for a file; <c>manifest.missing</c> when there is none.</summary>
    public static Task<UpstreamCheck> CheckAsync(string path, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>Writes what the Python Librarian needs of a manifest.</summary>
    public static Task WriteAsync(ManifestCursor manifest, Stream stream, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");
}

/// <summary>Walks through an upstream manifest that <see cref="UpstreamManifest"/> has accepted. Its files have neither SHA-256 nor members.</summary>
public sealed class UpstreamCursor : IManifestCursor
{
    private UpstreamCursor()
    {
    }

    /// <inheritdoc/>
    public long Position => throw new NotSupportedException("Written next.");

    /// <summary>Opens a manifest; the position is that of the first file.</summary>
    /// <exception cref="InvalidDataException">It is not such a manifest.</exception>
    public static Task<UpstreamCursor> OpenAsync(string path, CancellationToken cancellationToken) => throw new NotSupportedException(nameof(UpstreamCursor) + new UpstreamCursor().Position);

    /// <inheritdoc/>
    public void Seek(long offset) => throw new NotSupportedException("Written next.");

    /// <inheritdoc/>
    public ValueTask<ManifestFile?> ReadFileAsync(CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => throw new NotSupportedException("Written next.");
}
