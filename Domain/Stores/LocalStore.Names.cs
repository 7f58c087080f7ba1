using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>Probes which names the store's medium can hold; null if it cannot be written now for another reason.</summary>
    public Task<MediumNames?> ProbeNamesAsync(CancellationToken cancellationToken) =>
        BlockingWork.RunAsync(
            () =>
            {
                try
                {
                    using var root = OpenRoot(_stagingRoot);
                    return MediumNames.Probe(root);
                }
                catch (PosixException)
                {
                    return (MediumNames?)null;
                }
            },
            cancellationToken
        );

    /// <summary>
    /// The part of a name for which the medium holds an entry that it treats as equal, such as <c>obs</c> for <c>Obs</c>; null if there is
    /// none. Reads the directories on the way, except the known ones.
    /// </summary>
    /// <param name="name">The name.</param>
    /// <param name="known">Paths of directories whose names are known to be exact; newly found ones are added.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public Task<string?> OtherNameAsync(FileName name, ISet<string> known, CancellationToken cancellationToken) =>
        BlockingWork.RunAsync(
            () =>
            {
                ArgumentNullException.ThrowIfNull(name);
                ArgumentNullException.ThrowIfNull(known);
                PosixDirectory? directory = null;
                try
                {
                    directory = TryOpenRoot(_storeRoot);
                    for (var i = 0; directory is not null && i < name.Components.Count; i++)
                    {
                        var entry = new EntryName(name.Components[i]);
                        if (directory.Status(entry) is not { } status)
                            return null;
                        var path = string.Join('/', name.Components.Take(i + 1));
                        if (!known.Contains(path) && !directory.Lists(entry))
                            return path;
                        if (i < name.Components.Count - 1)
                            known.Add(path);
                        if (status.Type != EntryType.Directory)
                            return null;
                        using var above = directory;
                        directory = above.TryOpenDirectory(entry);
                    }

                    return null;
                }
                catch (PosixException)
                {
                    // A failing medium says nothing about names; the copy meets the same failure.
                    return null;
                }
                finally
                {
                    directory?.Dispose();
                }
            },
            cancellationToken
        );
}
