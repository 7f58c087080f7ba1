using Librarian.Domain.Posix;

namespace Librarian.Domain.DataBatches;

/// <summary>A file in a batch.</summary>
/// <param name="Transfer">Index of its transfer.</param>
/// <param name="Path">Path below the transfer's directory; empty for a transfer that is one file.</param>
/// <param name="Start">Position of its first byte in the batch.</param>
/// <param name="Size">Bytes.</param>
/// <param name="IsExecutable">Whether its owner may execute it.</param>
internal readonly record struct BatchFile(int Transfer, string Path, long Start, long Size, bool IsExecutable);

/// <summary>
/// The layout of a batch (docs/spec/data-batches.md#layout). The entries stay in the file; memory holds the transfers and one position for
/// every <see cref="Stride"/> files, so a million members cost a few hundred kilobytes.
/// </summary>
internal sealed class BatchLayout : IDisposable
{
    private const int Stride = 128;
    private const int MaxTransfers = 100_000;

    private readonly PosixFile _file;
    private readonly List<long> _transfers = [];
    private readonly List<long> _sizes = [];
    private readonly List<Checkpoint> _checkpoints = [];

    /// <summary>Reads and checks a stored layout.</summary>
    /// <param name="file">The file, which this object closes.</param>
    /// <exception cref="LayoutException">It cannot be accepted.</exception>
    internal BatchLayout(PosixFile file)
    {
        _file = file;
        try
        {
            Account = Index();
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The account that made the batch.</summary>
    internal string Account { get; }

    internal long TotalBytes { get; private set; }

    /// <summary>Ids of the transfers, in their order.</summary>
    internal IReadOnlyList<long> Transfers => _transfers;

    /// <summary>Bytes of each transfer.</summary>
    internal IReadOnlyList<long> Sizes => _sizes;

    public void Dispose() => _file.Dispose();

    /// <summary>All entries, each with the index of its transfer.</summary>
    internal IEnumerable<(int Transfer, LayoutEntry Entry)> Entries()
    {
        var lines = new LayoutLines(_file, 0);
        _ = lines.Read();
        var transfer = -1;
        while (lines.Read() is { } line)
        {
            var entry = LayoutEntry.Of(line);
            if (entry.Type is LayoutEntryType.TransferFile or LayoutEntryType.TransferDirectory)
                transfer++;
            yield return (transfer, entry);
        }
    }

    /// <summary>The files that have bytes at or behind a position, in their order.</summary>
    internal IEnumerable<BatchFile> FilesFrom(long position)
    {
        var index = _checkpoints.BinarySearch(new Checkpoint(position, 0, 0), ByStart);
        // Several checkpoints have the same position where empty files are; the files before them end there.
        if (index < 0)
            index = Math.Max(0, ~index - 1);
        while (index > 0 && _checkpoints[index].Start >= position)
            index--;
        if (_checkpoints.Count == 0)
            yield break;
        var (start, line, transfer) = _checkpoints[index];
        var lines = new LayoutLines(_file, line);
        while (lines.Read() is { } read)
        {
            var entry = LayoutEntry.Of(read);
            if (entry.Type is LayoutEntryType.TransferFile or LayoutEntryType.TransferDirectory)
                transfer++;
            if (!entry.HasBytes || entry.Size == 0)
                continue;
            if (start + entry.Size > position)
                yield return new BatchFile(transfer, entry.Path, start, entry.Size, entry.IsExecutable);
            start += entry.Size;
        }
    }

    private static readonly Comparer<Checkpoint> ByStart = Comparer<Checkpoint>.Create((a, b) => a.Start.CompareTo(b.Start));

    private string Index()
    {
        var lines = new LayoutLines(_file, 0);
        var account = lines.Read()?.Account ?? throw new LayoutException("The layout names no account.");
        var check = new LayoutCheck();
        var ids = new HashSet<long>();
        var (files, start) = (0, 0L);
        while (true)
        {
            var at = lines.Position;
            if (lines.Read() is not { } line)
                break;
            var entry = LayoutEntry.Of(line);
            check.Add(entry);
            if (entry.HasBytes && files++ % Stride == 0)
                _checkpoints.Add(new Checkpoint(start, at, _transfers.Count - 1));
            if (entry.Type is LayoutEntryType.TransferFile or LayoutEntryType.TransferDirectory)
            {
                if (!ids.Add(entry.Transfer))
                    throw new LayoutException($"Transfer {entry.Transfer} is in the layout twice.");
                if (ids.Count > MaxTransfers)
                    throw new LayoutException($"The layout has more than {MaxTransfers} transfers; make several batches.");
                _transfers.Add(entry.Transfer);
                _sizes.Add(entry.Size);
            }

            if (entry.HasBytes)
                start += entry.Size;
        }

        check.Finish();
        if (_transfers.Count == 0)
            throw new LayoutException("The layout has no transfer.");
        TotalBytes = check.TotalBytes;
        return account;
    }

    /// <summary>A line of a file from which reading may begin.</summary>
    /// <param name="Start">Position of the file's first byte in the batch.</param>
    /// <param name="Line">Position of the line.</param>
    /// <param name="Transfer">Index of the transfer before the line.</param>
    private readonly record struct Checkpoint(long Start, long Line, int Transfer);
}
