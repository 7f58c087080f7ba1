using Librarian.Domain.Posix;

namespace Librarian.Domain.Checksums;

internal sealed partial class TreePass
{
    private sealed partial class Walk
    {
        /// <summary>A directory that is being read. It is closed (and flushed) after its last file.</summary>
        private sealed class Node
        {
            private readonly Walk _walk;
            private readonly Node? _parent;
            private readonly FileStatus _status;
            private readonly byte[] _bytes;
            private int _uses = 1;

            internal Node(Walk walk, Node? parent, PosixDirectory source, PosixDirectory? target, EntryName? name = null)
            {
                Prefix = parent is null ? "" : parent.PathOf(name!.Value);
                _bytes = parent is null ? [] : [.. parent.BytesOf(name!.Value), (byte)'/'];
                _walk = walk;
                _parent = parent;
                _status = source.Status();
                if (walk._pass._copy is null && walk._pass._options.TakeOver)
                {
                    if (!TakeOver(_status, source.SetOwner, source.SetPermissions))
                        walk._pass._stamp.RequireCopy();
                    _status = source.Status();
                }

                if (walk._pass._copy is null)
                {
                    if (parent is null)
                        walk._pass._stamp.Top = _status;
                    else
                        walk._pass._stamp.Add(parent.Identity, name!.Value, _status);
                }

                Source = source;
                Target = target;
                Depth = parent is null ? 0 : parent.Depth + 1;
            }

            internal PosixDirectory Source { get; }

            internal PosixDirectory? Target { get; }

            internal int Depth { get; }

            internal FileIdentity Identity => _status.Identity;

            /// <summary>Path of an entry relative to the top of the walk, lossless.</summary>
            internal string PathOf(EntryName name) => Prefix.Length == 0 ? name.Text : Prefix + "/" + name.Text;

            private string Prefix { get; }

            /// <summary>The same path in the file system's bytes.</summary>
            internal byte[] BytesOf(EntryName name) => [.. _bytes, .. name.Bytes];

            internal bool IsWithin(FileIdentity identity)
            {
                for (var node = this; node is not null; node = node._parent)
                {
                    if (node._status.Identity == identity)
                        return true;
                }

                return false;
            }

            internal void Acquire() => Interlocked.Increment(ref _uses);

            internal void Release()
            {
                if (Interlocked.Decrement(ref _uses) > 0)
                    return;
                try
                {
                    if (!_walk._stop.IsCancellationRequested)
                        Complete();
                }
                catch (PosixException failure)
                {
                    _walk.Fail(FromException(failure, Source.Path));
                }
                finally
                {
                    Source.Dispose();
                    Target?.Dispose();
                }
            }

            private void Complete()
            {
                if (Target is not null)
                {
                    Target.SetPermissions(_walk._pass.DirectoryPermissions(_status));
                    Target.SetModified(_status.ModifiedNanoseconds);
                }

                if (_walk._pass._options.FlushToDisk)
                    (Target ?? Source).Sync();
            }
        }
    }
}
