using Librarian.Client.Uploads;
using Microsoft.Win32.SafeHandles;

namespace Librarian.Samples.Demo;

/// <summary>Compares a copy with its source byte by byte, without relying on catalogs or checksums.</summary>
internal static class TreeComparison
{
    private const int BufferSize = 1 << 20;

    /// <summary>Finds the first difference.</summary>
    /// <param name="source">File or directory.</param>
    /// <param name="copy">File or directory that should be equal.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>Null if both are equal, otherwise where they differ.</returns>
    internal static async Task<string?> DifferenceAsync(string source, string copy, CancellationToken cancellationToken)
    {
        if (!SourceFolder.Exists(source))
            return await FileDifferenceAsync(source, copy, cancellationToken);
        if (!SourceFolder.Exists(copy))
            return $"{copy} is missing";
        // Relative paths of directories whose members are still to be compared. A link to a directory counts as a directory.
        Stack<string> pending = new([""]);
        while (pending.TryPop(out var directory))
        {
            var members = SourceFolder.Names(Path.Join(source, directory));
            if (!members.SequenceEqual(SourceFolder.Names(Path.Join(copy, directory)), StringComparer.Ordinal))
                return $"{Path.Join(copy, directory)} has other members than {Path.Join(source, directory)}";
            foreach (var member in members.Select(name => Path.Join(directory, name)))
            {
                var (left, right) = (Path.Join(source, member), Path.Join(copy, member));
                if (SourceFolder.Exists(left) && SourceFolder.Exists(right))
                    pending.Push(member);
                else if (await FileDifferenceAsync(left, right, cancellationToken) is { } difference)
                    return difference;
            }
        }

        return null;
    }

    private static async Task<string?> FileDifferenceAsync(string source, string copy, CancellationToken cancellationToken)
    {
        if (SourceFolder.Exists(copy))
            return $"{copy} is a directory";
        using var left = SourceFolder.Open(source);
        using var right = SourceFolder.Open(copy);
        if (left is null || right is null)
            return $"{(left is null ? source : copy)} is missing";
        var (leftBuffer, rightBuffer) = (new byte[BufferSize], new byte[BufferSize]);
        for (long offset = 0; ; )
        {
            var leftRead = await ReadAsync(left, leftBuffer, offset, cancellationToken);
            var rightRead = await ReadAsync(right, rightBuffer, offset, cancellationToken);
            if (!leftBuffer.AsSpan(0, leftRead).SequenceEqual(rightBuffer.AsSpan(0, rightRead)))
                return $"{copy} differs from {source} after byte {offset}";
            if (leftRead == 0)
                return null;
            offset += leftRead;
        }
    }

    private static async Task<int> ReadAsync(SafeFileHandle file, byte[] buffer, long offset, CancellationToken cancellationToken)
    {
        var (length, count) = (0, 0);
        while (
            length < buffer.Length
            && (count = await RandomAccess.ReadAsync(file, buffer.AsMemory(length), offset + length, cancellationToken)) > 0
        )
            length += count;
        return length;
    }
}
