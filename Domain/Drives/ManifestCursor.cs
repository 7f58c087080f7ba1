namespace Librarian.Domain.Drives;

/// <summary>Reads the files of a manifest in pages: remember <see cref="Position"/>, come back and <see cref="Seek"/>.</summary>
public interface IManifestCursor : IAsyncDisposable
{
    /// <summary>Byte offset of what is read next.</summary>
    long Position { get; }

    /// <summary>Goes to a position a cursor of the same manifest had.</summary>
    void Seek(long offset);

    /// <summary>The next file, passing over members that were not read; null at the end.</summary>
    /// <exception cref="InvalidDataException">The manifest is not the one that was checked.</exception>
    ValueTask<ManifestFile?> ReadFileAsync(CancellationToken cancellationToken);
}

/// <summary>Walks through a manifest that <see cref="ManifestReader"/> has accepted, without checking it again.</summary>
public sealed class ManifestCursor : IManifestCursor
{
    private ManifestCursor(ManifestHeader header) => Header = header;

    /// <summary>The first line.</summary>
    public ManifestHeader Header { get; }

    /// <inheritdoc/>
    public long Position => throw new NotSupportedException("Written next.");

    /// <summary>Opens a manifest; the position is that of the first file.</summary>
    /// <exception cref="InvalidDataException">It has no header.</exception>
    public static Task<ManifestCursor> OpenAsync(string path, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <inheritdoc/>
    public void Seek(long offset) => throw new NotSupportedException("Written next.");

    /// <inheritdoc/>
    public ValueTask<ManifestFile?> ReadFileAsync(CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>The next member of the file read last; null after the last.</summary>
    /// <exception cref="InvalidDataException">The manifest is not the one that was checked.</exception>
    public ValueTask<ManifestMember?> ReadMemberAsync(CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => throw new NotSupportedException("Written next.");
}
