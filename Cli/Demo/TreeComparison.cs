namespace Librarian.Cli.Demo;

/// <summary>Compares a copy with its source byte by byte, trusting neither catalog nor checksums.</summary>
internal static class TreeComparison
{
    private const int BufferSize = 1 << 20;

    /// <summary>Finds the first difference.</summary>
    /// <param name="source">File or directory.</param>
    /// <param name="copy">What should equal it.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Null when equal, otherwise where they differ.</returns>
    internal static async Task<string?> DifferenceAsync(string source, string copy, CancellationToken cancellationToken)
    {
        if (File.Exists(source))
            return File.Exists(copy) ? await FileDifferenceAsync(source, copy, cancellationToken) : $"{copy} is missing";
        if (!Directory.Exists(copy))
            return $"{copy} is missing";
        var expected = Members(source);
        var actual = Members(copy);
        if (!expected.SequenceEqual(actual, StringComparer.Ordinal))
            return $"{copy} has other members than {source}";
        foreach (var member in expected.Where(member => File.Exists(Path.Join(source, member))))
        {
            if (await FileDifferenceAsync(Path.Join(source, member), Path.Join(copy, member), cancellationToken) is { } difference)
                return difference;
        }

        return null;
    }

    private static string[] Members(string root) =>
        [.. Directory.EnumerateFileSystemEntries(root, "*", SearchOption.AllDirectories).Select(path => Path.GetRelativePath(root, path)).Order(StringComparer.Ordinal)];

    private static async Task<string?> FileDifferenceAsync(string source, string copy, CancellationToken cancellationToken)
    {
        await using var left = new FileStream(source, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 0, useAsync: true);
        await using var right = new FileStream(copy, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 0, useAsync: true);
        var (leftBuffer, rightBuffer) = (new byte[BufferSize], new byte[BufferSize]);
        for (long offset = 0; ;)
        {
            var leftRead = await left.ReadAtLeastAsync(leftBuffer, BufferSize, throwOnEndOfStream: false, cancellationToken);
            var rightRead = await right.ReadAtLeastAsync(rightBuffer, BufferSize, throwOnEndOfStream: false, cancellationToken);
            if (!leftBuffer.AsSpan(0, leftRead).SequenceEqual(rightBuffer.AsSpan(0, rightRead)))
                return $"{copy} differs from {source} after byte {offset}";
            if (leftRead == 0)
                return null;
            offset += leftRead;
        }
    }
}
