using System.Text;

namespace Librarian.Domain.Drives;

/// <summary>
/// Checks the order of lines in a manifest and their sums, for writers and readers: a directory is followed by its members, ordered by the
/// bytes of their paths, and their sizes add up to the directory's size.
/// </summary>
internal sealed class ManifestLines
{
    private const int MaxPath = LineRules.MaxMemberPathBytes;

    private readonly byte[] _paths = new byte[2 * MaxPath];
    private long _membersLeft;
    private long _bytesLeft;
    private int _previousLength = -1;

    internal ManifestTotals Totals { get; private set; }

    /// <summary>Whether the next line must be a member.</summary>
    internal bool ExpectsMember => _membersLeft > 0;

    internal LineProblem? Add(ManifestFile file)
    {
        if (LineRules.Check(file) is { } problem)
            return problem;
        if (End() is { } missing)
            return missing;
        if (!TryCount(1, file.Members is null ? 1 : 0, file.Members is null ? file.Size : 0))
            return TooMany();
        (_membersLeft, _bytesLeft, _previousLength) = (file.Members ?? 0, file.Members is null ? 0 : file.Size, -1);
        return null;
    }

    internal LineProblem? Add(ManifestMember member)
    {
        if (LineRules.Check(member) is { } problem)
            return problem;
        if (_membersLeft == 0)
            return new LineProblem("format", $"'{member.Path.Shown()}' is a member of no directory");
        if (!IsAfterPrevious(member.Path))
            return new LineProblem("format", $"'{member.Path.Shown()}' is out of order among the members of its directory");
        if (!TryCount(0, 1, member.Size))
            return TooMany();
        _membersLeft--;
        _bytesLeft -= member.Size;
        return null;
    }

    /// <summary>The problem when the last directory lacks members or bytes; null when it is complete.</summary>
    internal LineProblem? End() =>
        _membersLeft > 0 ? new LineProblem("format", $"{_membersLeft} members of the directory before are missing")
        : _bytesLeft != 0 ? new LineProblem("totals", "the members of the directory before do not add up to its size")
        : null;

    private static LineProblem TooMany() => new("totals", "the sizes add up to more than any disk holds");

    private bool TryCount(long files, long members, long bytes)
    {
        if (bytes > long.MaxValue - Totals.Bytes)
            return false;
        Totals = new ManifestTotals(Totals.Files + files, Totals.Members + members, Totals.Bytes + bytes);
        return true;
    }

    private bool IsAfterPrevious(string path)
    {
        var previous = _paths.AsSpan(0, MaxPath);
        var next = _paths.AsSpan(MaxPath);
        var length = Encoding.UTF8.GetBytes(path, next);
        var after = _previousLength < 0 || next[..length].SequenceCompareTo(previous[.._previousLength]) > 0;
        next[..length].CopyTo(previous);
        _previousLength = length;
        return after;
    }
}
