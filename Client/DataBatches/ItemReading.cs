namespace Librarian.Client.DataBatches;

/// <summary>Reads the items of a batch from start to end, each once, and computes their checksums on the way.</summary>
internal static class ItemReading
{
    /// <summary>
    /// Reads an item and hands out exactly as many bytes as its layout says. If it cannot be read to its end, zeros take the place of
    /// what is missing, so that the other items of the batch stay where they are; the item's problem says that they are not its bytes.
    /// </summary>
    /// <param name="item">The item.</param>
    /// <param name="feed">Takes the bytes in order.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    internal static async Task<SentItem> ReadAsync(BatchItem item, SegmentFeed feed, CancellationToken cancellationToken)
    {
        using var sums = new ItemSums(item);
        long done = 0;
        var problem = await TryReadAsync();
        var zeros = new byte[64 << 10];
        while (done < item.Size)
        {
            var part = zeros.AsMemory(0, (int)Math.Min(zeros.Length, item.Size - done));
            await feed.FillAsync(part, cancellationToken);
            done += part.Length;
        }

        return problem is null ? new SentItem(item, sums.Checksum(), sums.TreeDigest(), null) : new SentItem(item, null, null, problem);

        async Task<Exception?> TryReadAsync()
        {
            Stream source;
            var buffer = new byte[(int)Math.Clamp(item.Size, 4096, 1 << 20)];
            try
            {
                source = item.Open();
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                return error;
            }

            await using var opened = source;
            using var members = item.Members().GetEnumerator();
            while (true)
            {
                try
                {
                    if (!members.MoveNext())
                        return done == item.Size ? null : new IOException("The source has become smaller since it was staged.");
                }
                catch (Exception error) when (error is IOException or UnauthorizedAccessException)
                {
                    return error;
                }

                var left = members.Current.Type == BatchMemberType.File ? members.Current.Size : 0;
                if (left > item.Size - done)
                    return new IOException("The source has become larger since it was staged.");
                while (left > 0)
                {
                    int read;
                    try
                    {
                        read = await source.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, left)), cancellationToken);
                    }
                    catch (Exception error) when (error is IOException or UnauthorizedAccessException)
                    {
                        return error;
                    }

                    if (read == 0)
                        return new IOException("The source has become smaller since it was listed.");
                    sums.Append(buffer.AsSpan(0, read));
                    await feed.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
                    (left, done) = (left - read, done + read);
                }

                sums.End(members.Current);
            }
        }
    }
}
