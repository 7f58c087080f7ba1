using Librarian.Client.DataBatches;
using Microsoft.Win32.SafeHandles;

namespace Librarian.Client.Uploads;

/// <summary>The files of a source, one after the other, read once from start to end.</summary>
/// <exception cref="SourceChangedException">A file has another size than when it was listed.</exception>
internal sealed class SourceStream(SourceTree tree, IEnumerable<BatchMember> members) : Stream
{
    private readonly IEnumerator<BatchMember> _members = members.Where(static m => m.Type == BatchMemberType.File).GetEnumerator();
    private SafeFileHandle? _file;
    private long _position;

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => false;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) =>
        ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            if (_file is null)
            {
                if (!_members.MoveNext())
                    return 0;
                (_file, _position) = (tree.Open(_members.Current.Path), 0);
                // Checked before the first byte and, by the end of the file, after the last one.
                Check(_members.Current, RandomAccess.GetLength(_file));
            }

            var read = await RandomAccess.ReadAsync(_file, buffer, _position, cancellationToken);
            _position += read;
            if (read > 0)
                return read;
            Check(_members.Current, _position);
            _file.Dispose();
            _file = null;
        }
    }

    /// <inheritdoc/>
    public override void Flush() { }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

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
            _members.Dispose();
        }

        base.Dispose(disposing);
    }

    private void Check(in BatchMember member, long size)
    {
        if (size != member.Size)
            throw new SourceChangedException(tree.Absolute(member.Path));
    }
}
