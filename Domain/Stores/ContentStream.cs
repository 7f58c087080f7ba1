using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// The regular files of a directory as one stream (docs/spec/data.md#stream). A new position begins a new walk, so reading on is cheap and
/// a jump costs a status call per member before it.
/// </summary>
internal sealed class ContentStream : Stream
{
    private readonly PosixDirectory _directory;
    private ContentWalk? _walk;
    private FileStream? _file;
    private long _fileStart;
    private long _fileEnd;
    private long _position;

    /// <param name="directory">Stays open as long as the stream.</param>
    /// <exception cref="IOException">A member cannot be read.</exception>
    internal ContentStream(PosixDirectory directory)
    {
        _directory = directory;
        using var walk = new ContentWalk(directory);
        while (walk.MoveNext())
            Length += walk.Current.Size;
    }

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => true;

    /// <inheritdoc/>
    public override bool CanWrite => false;

    /// <inheritdoc/>
    public override long Length { get; }

    /// <inheritdoc/>
    public override long Position
    {
        get => _position;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _position = value;
        }
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) =>
        Position = origin switch
        {
            SeekOrigin.Begin => offset,
            SeekOrigin.Current => _position + offset,
            _ => Length + offset,
        };

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer)
    {
        if (buffer.IsEmpty || !Locate())
            return 0;
        return Advance(_file!.Read(buffer[..(int)Math.Min(buffer.Length, _fileEnd - _position)]));
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty || !Locate())
            return 0;
        return Advance(await _file!.ReadAsync(buffer[..(int)Math.Min(buffer.Length, _fileEnd - _position)], cancellationToken));
    }

    /// <inheritdoc/>
    public override void Flush() { }

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _file?.Dispose();
            _walk?.Dispose();
        }

        base.Dispose(disposing);
    }

    private int Advance(int read)
    {
        // The file was cut while it was read.
        if (read == 0)
            throw new IOException($"{_file!.Name} has become shorter than it was when its directory was listed.");
        _position += read;
        return read;
    }

    /// <summary>Opens the file at the position. Returns false at the end.</summary>
    private bool Locate()
    {
        if (_position >= Length)
            return false;
        if (_file is not null && _position >= _fileStart && _position < _fileEnd)
        {
            _file.Position = _position - _fileStart;
            return true;
        }

        _file?.Dispose();
        _file = null;
        if (_walk is null || _position < _fileEnd)
        {
            _walk?.Dispose();
            _walk = new ContentWalk(_directory);
            _fileEnd = 0;
        }

        while (_walk.MoveNext())
        {
            _fileStart = _fileEnd;
            _fileEnd += _walk.Current.Size;
            if (_position >= _fileEnd)
                continue;
            _file = _walk.OpenFile().ToStream();
            _file.Position = _position - _fileStart;
            return true;
        }

        throw new IOException($"Members of {_directory.Path} have vanished since it was listed.");
    }
}
