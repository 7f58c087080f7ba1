using System.Buffers;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// Compares two trees member by member: names as bytes, types, sizes, link targets, and contents. A directory's checksum does not cover
/// names (docs/spec/wire.md#directory-checksum), so two directories with the same checksum may differ. Memory use does not grow with the
/// number of members of a directory.
/// </summary>
internal static class TreeDifference
{
    private const int BufferSize = 1 << 17;

    /// <summary>
    /// Describes the first difference for people; null if there is none. Of two single files only the type is compared, because their
    /// checksums tell them apart.
    /// </summary>
    internal static string? Find(
        PosixDirectory leftParent,
        EntryName leftName,
        PosixDirectory rightParent,
        EntryName rightName,
        CancellationToken cancellationToken
    )
    {
        var (left, right) = (leftParent.Status(leftName)?.Type, rightParent.Status(rightName)?.Type);
        if (left != right)
            return $"one is {Word(left)}, the other {Word(right)}";
        if (left != EntryType.Directory)
            return null;
        using var leftTop = leftParent.OpenDirectory(leftName);
        using var rightTop = rightParent.OpenDirectory(rightName);
        var (mine, theirs) = (ArrayPool<byte>.Shared.Rent(BufferSize), ArrayPool<byte>.Shared.Rent(BufferSize));
        try
        {
            // Paths from the top, as components. Only the two directories that are compared are open.
            var pending = new Stack<EntryName[]>();
            pending.Push([]);
            while (pending.TryPop(out var location))
            {
                using var l = Reopen(leftTop, location);
                using var r = Reopen(rightTop, location);
                long count = 0;
                using var stream = l.OpenStream();
                while (stream.TryRead(out var entry))
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    count++;
                    if (Compare(l, r, entry.Name, mine, theirs, cancellationToken) is { } difference)
                        return $"'{Shown(location, entry.Name)}' {difference}";
                    if (l.Status(entry.Name)?.Type == EntryType.Directory)
                        pending.Push([.. location, entry.Name]);
                }

                // Every entry of the left directory is also in the right one. If the numbers are equal, the sets are, too.
                if (Extra(l, r, count, cancellationToken) is { } extra)
                    return $"'{Shown(location, extra)}' is in one of them only";
            }

            return null;
        }
        catch (PosixException failure) when (failure.Errno is Errno.NoEntry or Errno.NotADirectory)
        {
            return $"they change while they are compared: {failure.Message}";
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(mine);
            ArrayPool<byte>.Shared.Return(theirs);
        }
    }

    private static string? Compare(
        PosixDirectory l,
        PosixDirectory r,
        EntryName name,
        byte[] mine,
        byte[] theirs,
        CancellationToken cancellationToken
    )
    {
        var (left, right) = (l.Status(name), r.Status(name));
        if (left is null || right is null)
            return "is in one of them only";
        if (left.Value.Type != right.Value.Type)
            return $"is {Word(left.Value.Type)} in one, {Word(right.Value.Type)} in the other";
        return left.Value.Type switch
        {
            EntryType.Symlink when !l.ReadLink(name).Bytes.SequenceEqual(r.ReadLink(name).Bytes) => "is a link to different places",
            EntryType.RegularFile when left.Value.Size != right.Value.Size =>
                $"has {left.Value.Size} bytes in one, {right.Value.Size} in the other",
            EntryType.RegularFile when !HaveSameBytes(l, r, name, mine, theirs, cancellationToken) => "has other bytes",
            _ => null,
        };
    }

    private static bool HaveSameBytes(
        PosixDirectory l,
        PosixDirectory r,
        EntryName name,
        byte[] mine,
        byte[] theirs,
        CancellationToken cancellationToken
    )
    {
        using var left = l.OpenFile(name);
        using var right = r.OpenFile(name);
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var (a, b) = (Fill(left, mine), Fill(right, theirs));
            if (!mine.AsSpan(0, a).SequenceEqual(theirs.AsSpan(0, b)))
                return false;
            if (a == 0)
                return true;
        }
    }

    private static int Fill(PosixFile file, byte[] buffer)
    {
        var done = 0;
        while (done < buffer.Length && file.Read(buffer.AsSpan(done)) is > 0 and var count)
            done += count;
        return done;
    }

    private static EntryName? Extra(PosixDirectory l, PosixDirectory r, long count, CancellationToken cancellationToken)
    {
        long others = 0;
        using (var stream = r.OpenStream())
        {
            while (stream.TryRead(out _))
            {
                cancellationToken.ThrowIfCancellationRequested();
                others++;
            }
        }

        if (others == count)
            return null;
        using var again = r.OpenStream();
        while (again.TryRead(out var entry))
        {
            if (l.Status(entry.Name) is null)
                return entry.Name;
        }

        return EntryName.Self;
    }

    private static PosixDirectory Reopen(PosixDirectory top, IEnumerable<EntryName> location)
    {
        var current = top.OpenDirectory(EntryName.Self);
        foreach (var component in location)
        {
            using var previous = current;
            current = previous.OpenDirectory(component);
        }

        return current;
    }

    private static string Shown(EntryName[] location, EntryName name) => string.Join('/', location.Append(name).Select(n => n.ToString()));

    private static string Word(EntryType? type) =>
        type switch
        {
            EntryType.Directory => "a directory",
            EntryType.RegularFile => "a file",
            EntryType.Symlink => "a link",
            null => "nothing",
            _ => "a special file",
        };
}
