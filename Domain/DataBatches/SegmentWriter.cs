using Librarian.Domain.Posix;

namespace Librarian.Domain.DataBatches;

/// <summary>
/// Writes consecutive bytes of a batch to the files to which they belong. Bytes of transfers that take none any more are dropped, so that
/// they do not hold up the others.
/// </summary>
internal sealed class SegmentWriter : IDisposable
{
    /// <summary>Above this number of files, one flush of the file system is cheaper than one for each.</summary>
    private const int MaxFlushedOneByOne = 4;

    private readonly StagedTree _tree;
    private readonly IEnumerator<BatchFile> _files;
    private readonly List<PosixFile> _written = [];
    private PosixFile? _file;
    private BatchFile _at;
    private long _position;
    private bool _hasFile;
    private bool _flushesAll;

    /// <param name="tree">Where the files are; this object closes it.</param>
    /// <param name="layout">The layout of the batch.</param>
    /// <param name="position">Position in the batch of the first byte to write.</param>
    internal SegmentWriter(StagedTree tree, BatchLayout layout, long position)
    {
        (_tree, _position) = (tree, position);
        _files = layout.FilesFrom(position).GetEnumerator();
    }

    public void Dispose()
    {
        _file?.Dispose();
        foreach (var file in _written)
            file.Dispose();
        _files.Dispose();
        _tree.Dispose();
    }

    /// <summary>Writes the next bytes.</summary>
    /// <exception cref="PosixException">The disk refused; some of the bytes may have been written.</exception>
    internal void Write(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            if (!_hasFile || _position >= _at.Start + _at.Size)
                Next();
            var part = bytes[..(int)Math.Min(bytes.Length, _at.Start + _at.Size - _position)];
            _file?.WriteAt(part, _position - _at.Start);
            _position += part.Length;
            bytes = bytes[part.Length..];
        }
    }

    /// <summary>Makes everything that was written survive a power cut.</summary>
    /// <exception cref="PosixException">Nothing of it may be relied on.</exception>
    internal void Sync()
    {
        if (_flushesAll)
        {
            _tree.SyncFileSystem();
            return;
        }

        foreach (var file in _written)
            file.Sync();
        _file?.Sync();
    }

    private void Next()
    {
        Keep();
        if (!_files.MoveNext())
            throw new InvalidOperationException("The segment reaches beyond the batch.");
        (_at, _hasFile) = (_files.Current, true);
        _file = _tree.OpenFile(_at, out var isNew);
        // The new entry has to be flushed too, and that of its directory.
        _flushesAll |= isNew;
    }

    private void Keep()
    {
        if (_file is null)
            return;
        if (!_flushesAll && _written.Count < MaxFlushedOneByOne)
        {
            _written.Add(_file);
        }
        else
        {
            _flushesAll = true;
            _file.Dispose();
        }

        _file = null;
    }
}
