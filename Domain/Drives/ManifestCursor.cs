namespace Librarian.Domain.Drives;

/// <summary>Reads the files of a manifest in pages: remember <see cref="Position"/>, and <see cref="Seek"/> to it later.</summary>
public interface IManifestCursor : IAsyncDisposable
{
    /// <summary>Byte offset of the next read.</summary>
    long Position { get; }

    /// <summary>Goes to an earlier position of a cursor on the same manifest.</summary>
    void Seek(long offset);

    /// <summary>The next file, skipping members that were not read; null at the end, also in repeated calls.</summary>
    /// <exception cref="InvalidDataException">The manifest is not the one that was checked.</exception>
    ValueTask<ManifestFile?> ReadFileAsync(CancellationToken cancellationToken);
}

/// <summary>Reads a manifest that <see cref="ManifestReader"/> has accepted, without checking it again.</summary>
public sealed class ManifestCursor : IManifestCursor
{
    private readonly LineCursor _lines;
    private long _membersLeft;

    private ManifestCursor(LineCursor lines, ManifestHeader header)
    {
        _lines = lines;
        Header = header;
    }

    /// <summary>The first line.</summary>
    public ManifestHeader Header { get; }

    /// <inheritdoc/>
    public long Position => _lines.Position;

    /// <summary>Opens a manifest; the position is that of the first file.</summary>
    /// <exception cref="InvalidDataException">There is no manifest, or it has no header.</exception>
    public static async Task<ManifestCursor> OpenAsync(string path, CancellationToken cancellationToken)
    {
        var (lines, header) = await LineCursor.OpenAsync(path, DriveJson.Default.ManifestHeader, cancellationToken);
        return new ManifestCursor(lines, header);
    }

    /// <inheritdoc/>
    /// <remarks>From a position among the members of a directory, the next file is the one after the directory.</remarks>
    public void Seek(long offset)
    {
        _membersLeft = 0;
        _lines.Seek(offset);
    }

    /// <inheritdoc/>
    public async ValueTask<ManifestFile?> ReadFileAsync(CancellationToken cancellationToken)
    {
        _membersLeft = 0;
        do
        {
            if (!await _lines.NextAsync(cancellationToken))
                return null;
        } while (_lines.CurrentStartsWith("{\"path\":"u8));

        var file = _lines.Parse(DriveJson.Default.ManifestFile);
        _membersLeft = file.Members ?? 0;
        return file;
    }

    /// <summary>The next member of the file read last; null after the last.</summary>
    /// <exception cref="InvalidDataException">The manifest is not the one that was checked.</exception>
    public async ValueTask<ManifestMember?> ReadMemberAsync(CancellationToken cancellationToken)
    {
        if (_membersLeft == 0)
            return null;
        if (!await _lines.NextAsync(cancellationToken))
            throw new InvalidDataException("The manifest ends among the members of a directory. Check it again.");
        _membersLeft--;
        return _lines.Parse(DriveJson.Default.ManifestMember);
    }

    /// <summary>Digest and totals of the last line; call it after <see cref="ReadFileAsync"/> has found no more files.</summary>
    /// <exception cref="InvalidDataException">The manifest is not the one that was checked.</exception>
    public ManifestSeal ReadSeal()
    {
        var end = _lines.ParseLast(DriveJson.Default.ManifestEnd);
        return new ManifestSeal(end.Sha256, new ManifestTotals(end.Files, end.Members, end.Bytes));
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _lines.DisposeAsync();
}
