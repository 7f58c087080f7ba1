namespace Librarian.Client;

/// <summary>A response is longer than its limit.</summary>
internal sealed class AnswerTooLongException(long limit) : Exception($"It has more than {limit} bytes. The rest was not read.");

/// <summary>
/// Reads another stream up to a limit, counted after decompression, and throws <see cref="AnswerTooLongException"/> beyond it.
/// </summary>
internal sealed class LimitedStream(Stream inner, long limit) : Stream
{
    private long _taken;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        Count(await inner.ReadAsync(buffer, cancellationToken));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => Count(inner.Read(buffer, offset, count));

    public override void Flush() => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    private int Count(int read)
    {
        _taken += read;
        return _taken <= limit ? read : throw new AnswerTooLongException(limit);
    }
}
