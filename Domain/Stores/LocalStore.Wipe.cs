using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>
    /// Removes everything in the store and in its staging. Only for drives whose files are known to be elsewhere. A crash leaves a part;
    /// calling again continues. The two directories themselves stay, because a drive needs them.
    /// </summary>
    public Task<RemovalResult> WipeAsync(CancellationToken cancellationToken = default) =>
        BlockingWork.RunAsync(
            () =>
            {
                try
                {
                    foreach (var path in new[] { _storeRoot, _stagingRoot })
                    {
                        using var root = OpenRoot(path);
                        using var stream = root.OpenStream();
                        var names = new List<EntryName>();
                        do
                        {
                            names.Clear();
                            stream.Rewind();
                            while (names.Count < 1000 && stream.TryRead(out var entry))
                                names.Add(entry.Name);
                            foreach (var name in names)
                                TreeRemoval.Remove(root, name, cancellationToken);
                        } while (names.Count > 0);
                        root.Sync();
                    }

                    _durableDirectories.Clear();
                    return new RemovalResult(RemovalStatus.Removed, "store.wiped", $"Store '{Options.Name}' is empty.");
                }
                catch (PosixException failure)
                {
                    return RemovalFailed(failure);
                }
            },
            cancellationToken
        );
}
