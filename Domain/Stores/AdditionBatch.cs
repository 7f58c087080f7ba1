using System.Collections.Concurrent;
using Librarian.Domain.Stores.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>
    /// What a batch of additions keeps open, so that a small file costs a handful of system calls: both roots of the store that is written, and
    /// the directories of both stores that its files lie in. Used by several threads. An open directory that was removed meanwhile answers
    /// "no entry" to everything, which callers take for a reason to go the long way.
    /// </summary>
    private sealed class AdditionBatch : IDisposable
    {
        private const int MaxOpen = 128;

        private readonly ConcurrentDictionary<string, PosixDirectory> _parents = new(StringComparer.Ordinal);
        private readonly ConcurrentDictionary<string, PosixDirectory> _sourceParents = new(StringComparer.Ordinal);
        private readonly Lazy<PosixDirectory> _sourceRoot;

        internal AdditionBatch(PosixDirectory staging, PosixDirectory store, LocalStore source)
        {
            (Staging, Store, Source) = (staging, store, source);
            // A source that is away fails each file that is not here yet, and only those.
            _sourceRoot = new Lazy<PosixDirectory>(() => source.OpenRoot(source._storeRoot));
        }

        internal PosixDirectory Staging { get; }

        internal PosixDirectory Store { get; }

        internal LocalStore Source { get; }

        public void Dispose()
        {
            foreach (var directory in _parents.Values.Concat(_sourceParents.Values)) directory.Dispose();
            if (_sourceRoot.IsValueCreated) _sourceRoot.Value.Dispose();
            Staging.Dispose();
            Store.Dispose();
        }

        /// <summary>The directory that a name of the written store lies in, if it is there.</summary>
        internal Lent TryParent(StorePath path) => Lend(_parents, path, () => TryOpenParent(Store, path));

        /// <summary>The same, made if needed; null when it was removed at this moment.</summary>
        internal Lent TryMakeParent(StorePath path, Func<PosixDirectory, StorePath, bool, PosixDirectory?> make) => Lend(_parents, path, () => make(Store, path, false));

        internal Lent TrySourceParent(StorePath path) => Lend(_sourceParents, path, () => TryOpenParent(_sourceRoot.Value, path));

        private static Lent Lend(ConcurrentDictionary<string, PosixDirectory> open, StorePath path, Func<PosixDirectory?> find)
        {
            var key = path.Value.LastIndexOf('/') is >= 0 and var slash ? path.Value[..slash] : "";
            if (open.TryGetValue(key, out var known)) return new Lent(known, IsOwned: false);
            if (find() is not { } directory) return new Lent(null, IsOwned: false);
            return open.Count < MaxOpen && open.TryAdd(key, directory) ? new Lent(directory, IsOwned: false) : new Lent(directory, IsOwned: true);
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
