namespace Librarian.Domain.DataBatches;

/// <summary>What a line of a layout describes.</summary>
internal enum LayoutEntryType
{
    /// <summary>A transfer that is one file.</summary>
    TransferFile,

    /// <summary>A transfer that is a directory; its members follow.</summary>
    TransferDirectory,

    File,
    Directory,
    Link,

    /// <summary>The end of a directory.</summary>
    End,
}

/// <summary>An entry of a layout, checked.</summary>
/// <param name="Type">What it is.</param>
/// <param name="Transfer">The transfer that begins here; otherwise 0.</param>
/// <param name="Path">Path of a member below its directory, in the encoding of <see cref="PathBytes"/>.</param>
/// <param name="Size">Bytes of a file, or of all files of a transfer.</param>
/// <param name="IsExecutable">Whether a file's owner may execute it.</param>
/// <param name="Target">Target of a link, in the encoding of <see cref="PathBytes"/>.</param>
internal readonly record struct LayoutEntry(
    LayoutEntryType Type,
    long Transfer = 0,
    string Path = "",
    long Size = 0,
    bool IsExecutable = false,
    string? Target = null
)
{
    private const int LongestPath = 4096;
    private const int LongestName = 255;
    private const int LongestTarget = 4095;

    /// <summary>Whether the entry has bytes in the batch.</summary>
    internal bool HasBytes => Type is LayoutEntryType.TransferFile or LayoutEntryType.File;

    /// <exception cref="LayoutException">The line says nothing that may be written to a disk.</exception>
    internal static LayoutEntry Of(LayoutLine line)
    {
        if (line.Members is not null)
            return new LayoutEntry(LayoutEntryType.End, Size: line.Members.Value);
        if (line.Size is < 0)
            throw new LayoutException("A size in the layout is negative.");
        var executable = line.Executable == true;
        if (line.Transfer is { } transfer)
            return (line.Type, line.Size) switch
            {
                (LayoutLine.File, { } size) => new LayoutEntry(LayoutEntryType.TransferFile, transfer, "", size, executable),
                (LayoutLine.Directory, { } size) => new LayoutEntry(LayoutEntryType.TransferDirectory, transfer, "", size),
                _ => throw new LayoutException($"Transfer {transfer} in the layout is no file or directory with a size."),
            };
        var path = TextOf(line.Path, line.PathBytes) ?? throw new LayoutException("A member in the layout has no path.");
        CheckPath(path);
        return (line.Type, line.Size) switch
        {
            (LayoutLine.File, { } size) => new LayoutEntry(LayoutEntryType.File, 0, path, size, executable),
            (LayoutLine.Directory, _) => new LayoutEntry(LayoutEntryType.Directory, 0, path),
            (LayoutLine.Link, _) => new LayoutEntry(LayoutEntryType.Link, 0, path, Target: TargetOf(line, path)),
            _ => throw new LayoutException($"The member '{path.Shown()}' in the layout is no file, directory or link."),
        };
    }

    private static string? TextOf(string? text, byte[]? bytes) => text ?? (bytes is null ? null : PathBytes.ToText(bytes));

    private static void CheckPath(string path)
    {
        if (path.Contains('\0', StringComparison.Ordinal))
            throw new LayoutException("A path in the layout contains a zero byte.");
        byte[] bytes;
        try
        {
            bytes = PathBytes.ToZeroTerminated(path);
        }
        catch (ArgumentException)
        {
            throw new LayoutException("A path in the layout is no text that a file system can hold.");
        }

        if (bytes.Length > LongestPath)
            throw new LayoutException($"A path in the layout is longer than {LongestPath - 1} bytes.");
        foreach (var range in bytes.AsSpan(0, bytes.Length - 1).Split((byte)'/'))
        {
            var name = bytes.AsSpan(range);
            if (name.Length is 0 or > LongestName || name.SequenceEqual("."u8) || name.SequenceEqual(".."u8))
                throw new LayoutException($"'{path.Shown()}' in the layout is no path below a directory.");
        }
    }

    /// <summary>A link's target, which stays inside the directory of the transfer.</summary>
    private static string TargetOf(LayoutLine line, string path)
    {
        var target = TextOf(line.Target, line.TargetBytes);
        if (string.IsNullOrEmpty(target) || target.Length > LongestTarget || target.Contains('\0', StringComparison.Ordinal))
            throw new LayoutException($"The link '{path.Shown()}' in the layout has no usable target.");
        var depth = path.Count(c => c == '/');
        foreach (var name in target.Split('/'))
        {
            depth += name switch
            {
                ".." => -1,
                "" or "." => 0,
                _ => 1,
            };
            if (depth < 0)
                break;
        }

        return target.StartsWith('/') || depth < 0
            ? throw new LayoutException($"The link '{path.Shown()}' in the layout leads out of its directory.")
            : target;
    }
}
