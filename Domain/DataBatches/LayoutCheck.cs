namespace Librarian.Domain.DataBatches;

/// <summary>
/// Checks the order of a layout's entries (docs/spec/data-batches.md#layout): each directory comes before its members, and names in a
/// directory ascend. So nothing is named twice and nothing lies below a file, and no set of names is needed to see that.
/// </summary>
internal sealed class LayoutCheck
{
    private readonly Stack<Level> _levels = new();
    private long _members;
    private long _declared;
    private long _sum;

    /// <summary>Bytes of all transfers so far.</summary>
    internal long TotalBytes { get; private set; }

    /// <summary>Checks the next entry.</summary>
    /// <exception cref="LayoutException">The entry must not follow those before it.</exception>
    internal void Add(in LayoutEntry entry)
    {
        switch (entry.Type)
        {
            case LayoutEntryType.TransferFile or LayoutEntryType.TransferDirectory when _levels.Count > 0:
                throw new LayoutException($"Transfer {entry.Transfer} begins in the layout before the directory above it has ended.");
            case LayoutEntryType.TransferFile:
                TotalBytes = Sum(TotalBytes, entry.Size);
                return;
            case LayoutEntryType.TransferDirectory:
                _levels.Push(new Level(""));
                (_members, _sum, _declared) = (0, 0, entry.Size);
                TotalBytes = Sum(TotalBytes, entry.Size);
                return;
            case LayoutEntryType.End:
                EndDirectory(entry.Size);
                return;
            default:
                AddMember(entry);
                return;
        }
    }

    /// <exception cref="LayoutException">The last directory has no end.</exception>
    internal void Finish()
    {
        if (_levels.Count > 0)
            throw new LayoutException("The layout ends in the middle of a directory.");
    }

    private void EndDirectory(long members)
    {
        if (_levels.Count == 0 || members != _members)
            throw new LayoutException($"The layout ends a directory after {_members} members and says {members}.");
        if (_sum != _declared)
            throw new LayoutException($"The files of a directory in the layout have {_sum} bytes; its line says {_declared}.");
        _levels.Clear();
    }

    private void AddMember(in LayoutEntry entry)
    {
        if (_levels.Count == 0)
            throw new LayoutException($"The member '{entry.Path.Shown()}' in the layout belongs to no directory.");
        var slash = entry.Path.LastIndexOf('/');
        var (parent, name) = (entry.Path[..(slash + 1)], PathBytes.ToZeroTerminated(entry.Path[(slash + 1)..]));
        while (_levels.Peek().Prefix != parent && parent.Length < _levels.Peek().Prefix.Length)
            _levels.Pop();
        var level = _levels.Peek();
        if (level.Prefix != parent || (level.Last is { } last && last.AsSpan().SequenceCompareTo(name) >= 0))
            throw new LayoutException($"The member '{entry.Path.Shown()}' is not at its place in the layout.");
        level.Last = name;
        if (entry.Type == LayoutEntryType.Directory)
            _levels.Push(new Level(entry.Path + "/"));
        _members++;
        _sum = Sum(_sum, entry.Size);
    }

    private static long Sum(long a, long b) =>
        a > long.MaxValue - b ? throw new LayoutException("The sizes in the layout add up to more than any disk holds.") : a + b;

    private sealed class Level(string prefix)
    {
        internal string Prefix { get; } = prefix;

        /// <summary>The last name in this directory, zero-terminated, so that a name comes before those that it begins.</summary>
        internal byte[]? Last { get; set; }
    }
}
