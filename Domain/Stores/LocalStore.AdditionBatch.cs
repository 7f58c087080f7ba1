using System.Collections.Concurrent;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>
    /// Keeps directories open during a batch of additions, so that a small file costs a handful of system calls: both roots of the store
    /// that is written, and the directories of both stores that contain the files. Thread-safe. An open directory that was removed or
    /// replaced meanwhile answers ENOENT to everything: a target is then committed step by step, and a source is opened again by its path.
    /// </summary>
    private sealed class AdditionBatch(PosixDirectory staging, PosixDirectory store, LocalStore source) : IDisposable
    {
        private const int MaxOpen = 128;

        private readonly ConcurrentDictionary<string, PosixDirectory> _parents = new(StringComparer.Ordinal);
        private readonly ConcurrentDictionary<string, PosixDirectory> _targets = new(StringComparer.Ordinal);
        private readonly ConcurrentDictionary<string, PosixDirectory> _sourceParents = new(StringComparer.Ordinal);
        private readonly ConcurrentBag<PosixDirectory> _forgotten = [];
        private readonly Lock _gate = new();
        private PosixDirectory? _sourceRoot;

        internal PosixDirectory Staging => staging;

        internal PosixDirectory Store => store;

        internal LocalStore Source => source;

        public void Dispose()
        {
            foreach (var directory in _parents.Values.Concat(_targets.Values).Concat(_sourceParents.Values).Concat(_forgotten))
                directory.Dispose();
            _sourceRoot?.Dispose();
            Staging.Dispose();
            Store.Dispose();
        }

        /// <summary>The directory in the written store that contains a name, if it exists. For reading only.</summary>
        internal Lent TryParent(FileName path) => Lend(_parents, path, () => TryOpenParent(Store, path));

        /// <summary>
        /// Opens or creates the directory; null if it is removed at this moment. Kept apart from the directories that were read before the
        /// copying, which may have been moved since: these are opened just before the renames.
        /// </summary>
        internal Lent TryMakeParent(FileName path, Func<PosixDirectory, FileName, bool, PosixDirectory?> make) =>
            Lend(_targets, path, () => make(Store, path, false));

        internal Lent TrySourceParent(FileName path) => Lend(_sourceParents, path, () => TryOpenParent(SourceRoot(), path));

        /// <summary>
        /// Opens the directory again by its path, after an entry in it was not found. True if another directory than the open one is there
        /// now; it is used from here on. Other threads may be reading through the old one, so that one is closed with the batch.
        /// </summary>
        internal bool RenewSourceParent(FileName path)
        {
            PosixDirectory? root = null,
                parent = null;
            try
            {
                root = source.OpenRoot(source._storeRoot);
                parent = TryOpenParent(root, path);
                if (parent is null || parent.Status().Identity == IdentityOfHeld(path))
                    return false;
                lock (_gate)
                {
                    if (_sourceRoot is not null)
                        _forgotten.Add(_sourceRoot);
                    (_sourceRoot, root) = (root, null);
                    if (_sourceParents.TryRemove(KeyOf(path), out var old))
                        _forgotten.Add(old);
                }

                return true;
            }
            catch (PosixException)
            {
                // The source is not available at all, so the caller's finding stands.
                return false;
            }
            finally
            {
                root?.Dispose();
                parent?.Dispose();
            }
        }

        private FileIdentity? IdentityOfHeld(FileName path)
        {
            try
            {
                using var held = TrySourceParent(path);
                return held.Directory?.Status().Identity;
            }
            catch (PosixException)
            {
                // A file server that was restarted no longer knows the open directory.
                return null;
            }
        }

        private static string KeyOf(FileName path) => path.Value.LastIndexOf('/') is >= 0 and var slash ? path.Value[..slash] : "";

        private static Lent Lend(ConcurrentDictionary<string, PosixDirectory> open, FileName path, Func<PosixDirectory?> find)
        {
            if (open.TryGetValue(KeyOf(path), out var known))
                return new Lent(known, IsOwned: false);
            if (find() is not { } directory)
                return default;
            return open.Count < MaxOpen && open.TryAdd(KeyOf(path), directory)
                ? new Lent(directory, IsOwned: false)
                : new Lent(directory, IsOwned: true);
        }

        // A failure is not cached: the next file tries again.
        private PosixDirectory SourceRoot()
        {
            lock (_gate)
                return _sourceRoot ??= source.OpenRoot(source._storeRoot);
        }
    }

    /// <summary>A directory that belongs to its batch, or that is closed after use because the batch keeps too many open already.</summary>
    private readonly record struct Lent(PosixDirectory? Directory, bool IsOwned) : IDisposable
    {
        public void Dispose()
        {
            if (IsOwned)
                Directory?.Dispose();
        }
    }
}
