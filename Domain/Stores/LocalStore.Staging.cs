using System.Runtime.CompilerServices;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>
    /// Creates the staging directory and all parents of <paramref name="uploadName"/> in it, but not its last component, which the client
    /// creates (docs/spec/wire.md#staging-directory). Safe to repeat with the same names.
    /// </summary>
    /// <remarks>
    /// A crash leaves at most a staging directory without data, which <see cref="ListStagingAsync"/> finds. Nothing is flushed: if a power
    /// cut removes the directory, the client's copy fails and the client starts over.
    /// </remarks>
    public Task<StagingResult> CreateStagingAsync(Guid stagingName, FileName uploadName, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(uploadName);
        return Task.Run(() => CreateStaging(stagingName, uploadName), cancellationToken);
    }

    /// <summary>Creates several staging directories in order, up to the first that fails.</summary>
    /// <returns>The failure; null if all were created.</returns>
    public Task<StagingResult?> CreateStagingAsync(
        IReadOnlyList<(Guid StagingName, FileName UploadName)> places,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(places);
        return Task.Run(
            () =>
            {
                foreach (var (stagingName, uploadName) in places)
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    var made = CreateStaging(stagingName, uploadName);
                    if (made.Location is null)
                        return made;
                }

                return null;
            },
            cancellationToken
        );
    }

    /// <summary>
    /// Removes a staging directory and everything in it, read-only trees too, and touches nothing else. It is a success if there is none. A
    /// crash leaves a part of it; calling again removes the rest.
    /// </summary>
    public Task<RemovalResult> RemoveStagingAsync(Guid stagingName, CancellationToken cancellationToken = default) =>
        Task.Run(
            () =>
            {
                var name = new EntryName(StagingName(stagingName));
                try
                {
                    using var root = TryOpenRoot(_stagingRoot);
                    if (root is null)
                        return new RemovalResult(RemovalStatus.IoError, "store.unavailable", Unavailable);
                    if (root.Status(name) is null)
                        return new RemovalResult(
                            RemovalStatus.NothingThere,
                            "store.nothing_there",
                            $"Store '{Options.Name}' has no staging directory '{name}'."
                        );
                    TreeRemoval.Remove(root, name, cancellationToken);
                    return new RemovalResult(RemovalStatus.Removed, "store.removed", $"The staging directory '{name}' was removed.");
                }
                catch (PosixException failure)
                {
                    return new RemovalResult(
                        RemovalStatus.IoError,
                        "store.removal_failed",
                        $"The staging directory '{name}' could not be removed completely: {failure.Message}. "
                            + "Committed data are not affected. Remove the cause and try again."
                    );
                }
            },
            cancellationToken
        );

    /// <summary>
    /// All entries of staging, in no order. Entries that are not named by a UUID are not this site's and are skipped, as are links and
    /// special files.
    /// </summary>
    /// <exception cref="IOException">The staging root cannot be listed.</exception>
    public async IAsyncEnumerable<StagedEntry> ListStagingAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using var root = await Task.Run(() => OpenRoot(_stagingRoot), cancellationToken);
        using var stream = root.OpenStream();
        while (true)
        {
            var batch = await Task.Run(() => ReadStaging(root, stream), cancellationToken);
            foreach (var entry in batch.Entries)
                yield return entry;
            if (batch.IsLast)
                break;
        }
    }

    private static (List<StagedEntry> Entries, bool IsLast) ReadStaging(PosixDirectory root, DirectoryStream stream)
    {
        const int BatchSize = 256;
        var entries = new List<StagedEntry>();
        while (entries.Count < BatchSize)
        {
            if (!stream.TryRead(out var entry))
                return (entries, true);
            if (
                Guid.TryParseExact(entry.Name.ToString(), "D", out var name)
                && string.Equals(StagingName(name), entry.Name.ToString(), StringComparison.Ordinal)
                && root.Status(entry.Name) is { Type: EntryType.Directory or EntryType.RegularFile } status
            )
                entries.Add(new StagedEntry(name, DateTimeOffset.UnixEpoch.AddTicks(status.ModifiedNanoseconds / 100)));
        }

        return (entries, false);
    }

    private StagingResult CreateStaging(Guid stagingName, FileName uploadName)
    {
        try
        {
            using var root = TryOpenRoot(_stagingRoot);
            if (root is null)
                return new StagingResult(
                    "store.unavailable",
                    $"The staging directory of store '{Options.Name}' does not exist. Mount it and try again.",
                    null
                );

            var current = MakeStaged(root, new EntryName(StagingName(stagingName)));
            foreach (var component in uploadName.Components.Take(uploadName.Components.Count - 1))
            {
                using var previous = current;
                current = MakeStaged(previous, new EntryName(component));
            }

            current.Dispose();
            return new StagingResult("store.staged", "The staging directory is ready.", LocateStaged(stagingName, uploadName));
        }
        catch (PosixException failure)
        {
            return new StagingResult(
                failure.IsNoSpace ? "store.no_space" : "store.io_error",
                $"A staging directory could not be made: {failure.Message}. Nothing was stored. Remove the cause and try again.",
                null
            );
        }
    }

    /// <summary>Opens the directory of staged data; null if the store is not mounted.</summary>
    internal PosixDirectory? TryOpenStaging() => TryOpenRoot(_stagingRoot);

    /// <summary>Permissions of staged files, whatever the umask.</summary>
    internal uint StagedFilePermissions(bool isExecutable) =>
        (Options.GroupWriteAfterStage ? SharedFile : OwnersFile) | (isExecutable ? ExecutableByAll : 0);

    /// <summary>Opens a directory in staging and makes it if needed.</summary>
    internal PosixDirectory MakeStaged(PosixDirectory parent, EntryName name)
    {
        // Explicit modes, whatever the umask: others may change staged data only if the configuration allows it (upstream weakness W47).
        var made = parent.MakeDirectory(name, Options.GroupWriteAfterStage ? SharedDirectory : OwnersDirectory);
        var directory = parent.OpenDirectory(name);
        if (made && Options.GroupWriteAfterStage)
        {
            // Set after creation, because the umask usually denies the group. A set-group-id bit inherited from the root stays.
            directory.SetPermissions((directory.Status().Permissions & 0xe00) | SharedDirectory);
        }

        return directory;
    }
}
