using System.IO.Enumeration;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;

namespace Librarian.Adopt;

/// <summary>Checks copies on the disk; only sizes are read.</summary>
internal static class CopyCheck
{
    /// <summary>Stores on network file systems need about a millisecond per request; several at a time hide that.</summary>
    private const int MaxConcurrentChecks = 8;

    private static readonly EnumerationOptions Everything = new()
    {
        RecurseSubdirectories = true,
        AttributesToSkip = FileAttributes.None,
        IgnoreInaccessible = false,
    };

    public static async Task RunAsync(
        IReadOnlyList<Candidate<FileCopy>> chunk,
        UpstreamStores stores,
        Dictionary<string, long> sizes,
        CancellationToken cancellationToken
    ) =>
        await Parallel.ForEachAsync(
            chunk.Where(c => c.Effect is null && c.Row.Available),
            new ParallelOptions { MaxDegreeOfParallelism = MaxConcurrentChecks, CancellationToken = cancellationToken },
            (candidate, _) =>
            {
                if (CheckSize(Absolute(stores, candidate.Row), sizes[candidate.Row.FileName]) is { } found)
                    candidate.Remark(AdoptEffect.Noted, found);
                return ValueTask.CompletedTask;
            }
        );

    private static string Absolute(UpstreamStores stores, FileCopy copy) =>
        StoreRoots.IsAbsolute(copy.Path) ? copy.Path : Path.Combine(stores.Adopted[copy.StoreId].Settings!.StorePath, copy.Path);

    /// <summary>Null when data of the right size are there (docs/spec/wire.md#size).</summary>
    private static string? CheckSize(string path, long size)
    {
        try
        {
            var file = new FileInfo(path);
            if (file.Exists)
                return Length(file) == size ? null : "on the disk it has another size than in the catalog";
            if (!Directory.Exists(path))
                return "it is said to be available, but is not on the disk";
            return Files(path).Sum(Length) == size ? null : "on the disk it has another size than in the catalog";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "it cannot be examined on the disk";
        }
    }

    /// <summary>All files below a directory; links to directories are not followed, links to files count with their target.</summary>
    private static FileSystemEnumerable<FileInfo> Files(string path) =>
        new(path, static (ref FileSystemEntry entry) => (FileInfo)entry.ToFileSystemInfo(), Everything)
        {
            ShouldIncludePredicate = static (ref FileSystemEntry entry) => !entry.IsDirectory,
            ShouldRecursePredicate = static (ref FileSystemEntry entry) => !entry.Attributes.HasFlag(FileAttributes.ReparsePoint),
        };

    private static long Length(FileInfo file) =>
        file.LinkTarget is null ? file.Length : (file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo)?.Length ?? 0;
}
