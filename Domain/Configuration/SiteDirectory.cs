using Librarian.Domain.Security;
using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Configuration;

/// <summary>
/// Keeps the data directory private to the site's account: it holds password hashes, keys and peers' credentials. The site makes everything
/// in it with mode 0600 or 0700 from the beginning, whatever the umask; this class corrects entries that an older version or a person has
/// made or opened.
/// </summary>
public static class SiteDirectory
{
    private const UnixFileMode Others =
        UnixFileMode.GroupRead
        | UnixFileMode.GroupWrite
        | UnixFileMode.GroupExecute
        | UnixFileMode.OtherRead
        | UnixFileMode.OtherWrite
        | UnixFileMode.OtherExecute;

    // Anything else in the directory, such as settings that an administrator keeps there, was not made by the site.
    private static readonly string[] Patterns = ["catalog.db*", "site.lock", "encryption.key*", "signing.key*"];
    private static readonly string[] Directories = ["drives", "spool"];

    /// <summary>Connection string of the catalog; without a setting, SQLite in the data directory.</summary>
    public static string CatalogConnection(SiteOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return options.Database.Length > 0 ? options.Database : $"Data Source={Path.Combine(options.DataDirectory, "catalog.db")}";
    }

    /// <summary>
    /// Makes the directory, or removes other accounts' access to it and to the site's files in it. Safe to repeat; a mode that cannot be
    /// changed is logged and stays.
    /// </summary>
    public static void Prepare(SiteOptions options, ILogger log)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(log);
        var directory = Path.TrimEndingDirectorySeparator(options.DataDirectory);
        if (!Directory.Exists(directory))
            PrivateFile.CreateDirectory(directory);
        var changed = 0;
        if (
            options
                .Stores.SelectMany(s => new[] { s.StagingPath, s.StorePath })
                .FirstOrDefault(p => Path.GetFullPath(p).StartsWith(directory + "/", StringComparison.Ordinal))
            is not { } inside
        )
            changed += Tighten(new DirectoryInfo(directory), log);
        else if ((File.GetUnixFileMode(directory) & Others) != UnixFileMode.None)
            Logs.DirectoryStaysOpen(log, directory, inside);
        foreach (var file in Patterns.SelectMany(p => new DirectoryInfo(directory).EnumerateFiles(p)))
            changed += Tighten(file, log);
        foreach (
            var own in Directories.Select(d => new DirectoryInfo(Path.Combine(directory, d))).Where(d => d.Exists && d.LinkTarget is null)
        )
        {
            changed += Tighten(own, log);
            foreach (
                var entry in own.EnumerateFileSystemInfos(
                    "*",
                    new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint }
                )
            )
                changed += Tighten(entry, log);
        }

        if (changed > 0)
            Logs.ModesTightened(log, changed, directory);
    }

    private static int Tighten(FileSystemInfo entry, ILogger log)
    {
        if (entry.LinkTarget is not null || (entry.UnixFileMode & Others) == UnixFileMode.None)
            return 0;
        try
        {
            entry.UnixFileMode &= ~Others;
            return 1;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The entry is another account's, or the file system has no modes.
            Logs.ModeNotTightened(log, entry.FullName, e.Message);
            return 0;
        }
    }
}

/// <summary>Log messages of the data directory; event ids 4204 to 4206.</summary>
internal static partial class Logs
{
    [LoggerMessage(
        4204,
        LogLevel.Warning,
        "{Count} files and directories in {Directory} could be read by other accounts; they are the site's alone now (0700, 0600)"
    )]
    public static partial void ModesTightened(ILogger logger, int count, string directory);

    [LoggerMessage(
        4205,
        LogLevel.Warning,
        "{Path} can be read by other accounts, and that cannot be changed: {Reason}. It may hold secrets; "
            + "make it the site's alone (chmod go=)"
    )]
    public static partial void ModeNotTightened(ILogger logger, string path, string reason);

    [LoggerMessage(
        4206,
        LogLevel.Warning,
        "The data directory {Directory} stays open to other accounts because {Store} is in it, "
            + "where senders may have to get; move one of the two"
    )]
    public static partial void DirectoryStaysOpen(ILogger logger, string directory, string store);
}
