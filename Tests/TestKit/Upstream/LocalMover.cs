namespace Librarian.Tests.TestKit.Upstream;

/// <summary>
/// Upstream's mover for shared file systems (docs/spec/wire.md#first-provider), including its weakness: it creates only one missing parent
/// directory. It keeps the owner, because tests run under one account.
/// </summary>
public static class LocalMover
{
    private const UnixFileMode FileMode = (UnixFileMode)0b110_110_100;
    private const UnixFileMode DirectoryMode = (UnixFileMode)0b111_111_101;

    /// <summary>Copies a file or directory. Throws in the cases that block upstream's queue.</summary>
    public static void Copy(string source, string target)
    {
        for (var parent = Path.GetDirectoryName(target)!; !Directory.Exists(parent); parent = Path.GetDirectoryName(parent)!)
        {
            if (!Directory.Exists(Path.GetDirectoryName(parent)))
                throw new DirectoryNotFoundException($"FileNotFoundError: mkdir {parent}");
            Directory.CreateDirectory(parent, DirectoryMode);
        }

        if (!Directory.Exists(source))
        {
            File.Copy(source, target, overwrite: true);
            File.SetUnixFileMode(target, FileMode);
            return;
        }

        if (Path.Exists(target))
            throw new IOException($"FileExistsError: {target}");
        foreach (var directory in Directory.EnumerateDirectories(source, "*", SearchOption.AllDirectories).Prepend(source))
            Directory.CreateDirectory(Path.Combine(target, Path.GetRelativePath(source, directory)), DirectoryMode);
        foreach (var file in Directory.EnumerateFiles(source, "*", SearchOption.AllDirectories))
        {
            var copy = Path.Combine(target, Path.GetRelativePath(source, file));
            File.Copy(file, copy);
            File.SetUnixFileMode(copy, FileMode);
        }
    }

    /// <summary>Bytes of a file, or of all files in a directory.</summary>
    public static long Size(string path) =>
        Directory.Exists(path)
            ? Directory.EnumerateFiles(path, "*", SearchOption.AllDirectories).Sum(f => new FileInfo(f).Length)
            : new FileInfo(path).Length;
}
