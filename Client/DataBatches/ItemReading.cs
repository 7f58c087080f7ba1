namespace Librarian.Client.DataBatches;

/// <summary>Reads an item of a batch from start to end, once, and computes its checksum on the way.</summary>
/// <param name="item">The item.</param>
/// <param name="feed">Takes the bytes in order.</param>
internal sealed class ItemReading(BatchItem item, SegmentFeed feed) : IDisposable
{
    private const int BufferSize = 1 << 20;
    private const int FillSize = 64 << 10;

    private readonly ItemSums _sums = new(item);
    private readonly byte[] _buffer = new byte[(int)Math.Clamp(item.Size, FillSize, BufferSize)];
    private long _done;

    public void Dispose() => _sums.Dispose();

    /// <summary>
    /// Hands out exactly as many bytes as the item's layout says. If it cannot be read to its end, zeros take the place of what is missing,
    /// so that the other items of the batch stay where they are; the item's problem says that they are not its bytes.
    /// </summary>
    internal async Task<SentItem> ReadAsync(CancellationToken cancellationToken)
    {
        Exception? problem = null;
        try
        {
            await ReadMembersAsync(cancellationToken);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            problem = error;
        }

        var zeros = problem is null ? [] : new byte[FillSize];
        while (_done < item.Size)
        {
            var part = zeros.AsMemory(0, (int)Math.Min(zeros.Length, item.Size - _done));
            await feed.FillAsync(part, cancellationToken);
            _done += part.Length;
        }

        return problem is null ? new SentItem(item, _sums.Checksum(), _sums.TreeDigest(), null) : new SentItem(item, null, null, problem);
    }

    /// <exception cref="IOException">The source cannot be read, or has another size than when it was staged.</exception>
    private async Task ReadMembersAsync(CancellationToken cancellationToken)
    {
        await using var source = item.Open();
        foreach (var member in item.Members())
        {
            var left = member.Type == BatchMemberType.File ? member.Size : 0;
            if (left > item.Size - _done)
                throw new IOException("The source has become larger since it was staged.");
            while (left > 0)
            {
                var read = await source.ReadAsync(_buffer.AsMemory(0, (int)Math.Min(_buffer.Length, left)), cancellationToken);
                if (read == 0)
                    throw new IOException("The source has become smaller since it was listed.");
                _sums.Append(_buffer.AsSpan(0, read));
                await feed.WriteAsync(_buffer.AsMemory(0, read), cancellationToken);
                (left, _done) = (left - read, _done + read);
            }

            _sums.End(member);
        }

        if (_done < item.Size)
            throw new IOException("The source has become smaller since it was staged.");
    }
}
