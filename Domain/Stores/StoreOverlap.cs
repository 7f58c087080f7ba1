using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// Checks whether two stores are the same directory, or one is inside the other, by any links and mounts. Paths alone show that only in
/// part (<see cref="Configuration.SiteOptionsValidator"/>).
/// </summary>
internal static class StoreOverlap
{
    private const int MaxDepth = 256;

    private static readonly EntryName s_above = new("..");

    /// <summary>
    /// The problem and how to fix it; null if all stores are separate. A directory that cannot be checked counts as separate.
    /// </summary>
    internal static string? Find(IReadOnlyList<LocalStoreOptions> stores)
    {
        var roots = new Dictionary<(ulong Device, ulong Inode), (string Store, string Path)>();
        foreach (var store in stores)
        {
            if (IdentityOf(store.RootPath) is not { } root)
                continue;
            if (!roots.TryAdd(root, (store.Name, store.RootPath)))
                return Refusal(store.Name, store.RootPath, roots[root], "is the same directory as");
        }

        foreach (var store in stores)
        {
            foreach (var path in new[] { store.RootPath, store.StagingPath })
            {
                if (Holder(path, roots, isStore: path == store.RootPath) is { } holder)
                    return Refusal(store.Name, path, holder, "lies in");
            }
        }

        return null;
    }

    private static string Refusal(string store, string path, (string Store, string Path) other, string how) =>
        $"{path} of store '{store}' {how} {other.Path} of store '{other.Store}'. Nothing was lost. "
        + "Give each store directories of its own in Site:Stores.";

    /// <summary>The store that contains a directory. Opens ".." step by step, so that no link or bind mount hides it.</summary>
    private static (string Store, string Path)? Holder(string path, Dictionary<(ulong, ulong), (string, string)> roots, bool isStore)
    {
        try
        {
            var at = PosixDirectory.TryOpen(path);
            try
            {
                for (var depth = 0; at is not null && depth < MaxDepth; depth++)
                {
                    var here = at.Status().Identity;
                    if ((depth > 0 || !isStore) && roots.TryGetValue((here.Device, here.Inode), out var holder))
                        return holder;
                    var above = at.TryOpenDirectory(s_above);
                    at.Dispose();
                    at = above;
                    if (above is not null && above.Status().Identity is var next && (next.Device, next.Inode) == (here.Device, here.Inode))
                        break;
                }
            }
            finally
            {
                at?.Dispose();
            }
        }
        catch (PosixException)
        {
            // A directory above that may not be opened ends the check.
        }

        return null;
    }

    private static (ulong Device, ulong Inode)? IdentityOf(string path) =>
        PosixDirectory.StatusOfPath(path)?.Identity is { } identity ? (identity.Device, identity.Inode) : null;
}
