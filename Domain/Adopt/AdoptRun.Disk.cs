using System.IO.Enumeration;
using Librarian.Domain.Catalog;

namespace Librarian.Domain.Adopt;

/// <content>Looks at the disk; nothing is read but sizes.</content>
internal sealed partial class AdoptRun
{
    /// <summary>Stores on network file systems answer each question in a millisecond; several at a time hide that.</summary>
    private const int LooksAtOnce = 8;

    private static readonly EnumerationOptions Everything = new() { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.None, IgnoreInaccessible = false };

    private static async Task LookAtDiskAsync(IReadOnlyList<Candidate<Instance>> chunk, Dictionary<string, long> sizes, CancellationToken cancellationToken) =>
        await Parallel.ForEachAsync(chunk.Where(c => c.Fate is null && c.Row.Available), new ParallelOptions { MaxDegreeOfParallelism = LooksAtOnce, CancellationToken = cancellationToken }, (candidate, _) =>
        {
            if (Look(candidate.Row.Path, sizes[candidate.Row.FileName]) is { } found) candidate.Remark(AdoptEffect.Noted, found);
            return ValueTask.CompletedTask;
        });

    /// <summary>Null when something of the right size lies there (wire.md §4.4).</summary>
    private static string? Look(string path, long size)
    {
        try
        {
            var file = new FileInfo(path);
            if (file.Exists) return Length(file) == size ? null : "on the disk it has another size than in the catalog";
            if (!Directory.Exists(path)) return "it is said to be available, but is not on the disk";
            return Files(path).Sum(Length) == size ? null : "on the disk it has another size than in the catalog";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "it cannot be looked at on the disk";
        }
    }

    /// <summary>All files below; links to directories are not followed, links to files count with their target.</summary>
    private static FileSystemEnumerable<FileInfo> Files(string path) => new(path, static (ref FileSystemEntry entry) => (FileInfo)entry.ToFileSystemInfo(), Everything)
    {
        ShouldIncludePredicate = static (ref FileSystemEntry entry) => !entry.IsDirectory,
        ShouldRecursePredicate = static (ref FileSystemEntry entry) => !entry.Attributes.HasFlag(FileAttributes.ReparsePoint),
    };

    private static long Length(FileInfo file) => file.LinkTarget is null ? file.Length : (file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo)?.Length ?? 0;
}
