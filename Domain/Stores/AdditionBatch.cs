using System.Collections.Concurrent;
using Librarian.Domain.Stores.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>
    /// What a batch of additions keeps open, so that a small file costs a handful of system calls: both roots of the store that is written, and
    /// the directories of both stores that its files lie in. Used by several threads. An open directory that was removed or replaced meanwhile
    /// answers "no entry" to everything: a target is then placed step by step, a source is walked to once more.
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
            foreach (var directory in _parents.Values.Concat(_targets.Values).Concat(_sourceParents.Values).Concat(_forgotten)) directory.Dispose();
            _sourceRoot?.Dispose();
            Staging.Dispose();
            Store.Dispose();
        }

        /// <summary>The directory that a name of the written store lies in, if it is there. For looking only.</summary>
        internal Lent TryParent(StorePath path) => Lend(_parents, path, () => TryOpenParent(Store, path));

        /// <summary>
        /// The same, made if needed; null when it was removed at this moment. Apart from those looked into before the copying, which may have been
        /// moved since: these are opened a moment before the renames.
        /// </summary>
        internal Lent TryMakeParent(StorePath path, Func<PosixDirectory, StorePath, bool, PosixDirectory?> make) => Lend(_targets, path, () => make(Store, path, false));

        internal Lent TrySourceParent(StorePath path) => Lend(_sourceParents, path, () => TryOpenParent(SourceRoot(), path));

        /// <summary>
        /// Walks to it by its path once more, after something in it was not found: true when another directory than the held one is there now, which
        /// is used from here on. Others may be reading through the old one, so that is closed with the batch.
        /// </summary>
        internal bool RenewSourceParent(StorePath path)
        {
            PosixDirectory? root = null, parent = null;
            try
            {
                root = source.OpenRoot(source._storeRoot);
                parent = TryOpenParent(root, path);
                if (parent is null || parent.Status().Identity == IdentityOfHeld(path)) return false;
                lock (_gate)
                {
                    if (_sourceRoot is not null) _forgotten.Add(_sourceRoot);
                    (_sourceRoot, root) = (root, null);
                    if (_sourceParents.TryRemove(KeyOf(path), out var old)) _forgotten.Add(old);
                }

                return true;
            }
            catch (PosixException)
            {
                // Away altogether: what the caller has found stands.
                return false;
            }
            finally
            {
                root?.Dispose();
                parent?.Dispose();
            }
        }

        private FileIdentity? IdentityOfHeld(StorePath path)
        {
            try
            {
                using var held = TrySourceParent(path);
                return held.Directory?.Status().Identity;
            }
            catch (PosixException)
            {
                // A server that was restarted does not know it any more.
                return null;
            }
        }

        private static string KeyOf(StorePath path) => path.Value.LastIndexOf('/') is >= 0 and var slash ? path.Value[..slash] : "";

        private static Lent Lend(ConcurrentDictionary<string, PosixDirectory> open, StorePath path, Func<PosixDirectory?> find)
        {
            if (open.TryGetValue(KeyOf(path), out var known)) return new Lent(known, IsOwned: false);
            if (find() is not { } directory) return default;
            return open.Count < MaxOpen && open.TryAdd(KeyOf(path), directory) ? new Lent(directory, IsOwned: false) : new Lent(directory, IsOwned: true);
        }

        // A failure is not remembered: the next file asks again.
        private PosixDirectory SourceRoot()
        {
            lock (_gate) return _sourceRoot ??= source.OpenRoot(source._storeRoot);
        }
    }

    /// <summary>A directory that goes back to its batch, or is closed when it had no room for it.</summary>
    private readonly record struct Lent(PosixDirectory? Directory, bool IsOwned) : IDisposable
    {
        public void Dispose()
        {
            if (IsOwned) Directory?.Dispose();
        }
    }
}
