using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Checksums;

internal sealed partial class TreePass
{
    /// <summary>Walks a directory on one thread, and hands its files to reader threads.</summary>
    private sealed partial class Walk : IDisposable
    {
        private readonly TreePass _pass;
        private readonly CancellationTokenSource _stop;
        private readonly BlockingCollection<FileItem> _queue = new(QueueLength);
        private readonly List<Thread> _readers = [];
        private readonly Stack<(Node Parent, EntryName Name, bool Followed)> _pending = new();

        internal Walk(TreePass pass, CancellationToken cancellationToken)
        {
            _pass = pass;
            _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        }

        public void Dispose()
        {
            _queue.Dispose();
            _stop.Dispose();
        }

        internal void Run(PosixDirectory source, PosixDirectory? target)
        {
            try
            {
                Visit(new Node(this, null, source, target));
                while (_pending.TryPop(out var next))
                {
                    try
                    {
                        Visit(Open(next.Parent, next.Name, next.Followed));
                    }
                    finally
                    {
                        next.Parent.Release();
                    }
                }
            }
            catch (OperationCanceledException)
            {
                // Either the caller's token, which the pass reports, or a failure that is already recorded.
            }
            catch (PosixException failure)
            {
                Fail(FromException(failure, source.Path));
            }
            finally
            {
                _queue.CompleteAdding();
                foreach (var reader in _readers)
                    reader.Join();
                while (_pending.TryPop(out var left))
                    left.Parent.Release();
            }
        }

        private Node Open(Node parent, EntryName name, bool followed)
        {
            var source = followed ? parent.Source.OpenDirectoryFollowingLink(name) : parent.Source.OpenDirectory(name);
            PosixDirectory? target = null;
            if (parent.Target is not null)
            {
                try
                {
                    if (!parent.Target.MakeDirectory(name, 0x1ed))
                        throw new PosixException(Errno.Exists, "creation", parent.Target.PathOf(name));
                }
                catch (PosixException failure) when (failure.IsAboutName)
                {
                    source.Dispose();
                    Fail(Unfit(parent.Source.PathOf(name), failure));
                    throw new OperationCanceledException(_stop.Token);
                }

                target = parent.Target.OpenDirectory(name);
            }

            return new Node(this, parent, source, target, name);
        }

        private void Visit(Node directory)
        {
            try
            {
                if (directory.Depth > MaxDepth)
                {
                    Fail(
                        DigestResult.Failed(
                            DigestStatus.TooDeep,
                            directory.Source.Path,
                            $"'{directory.Source.Path}' lies deeper than {MaxDepth} directories."
                        )
                    );
                    return;
                }

                using var stream = directory.Source.OpenStream();
                while (stream.TryRead(out var entry))
                {
                    _stop.Token.ThrowIfCancellationRequested();
                    if (_pass._options.LeaveOut?.Invoke(directory.PathOf(entry.Name)) == true)
                        continue;
                    var type = entry.Type;
                    if (type == EntryType.Unknown)
                        type = directory.Source.Status(entry.Name)?.Type ?? EntryType.RegularFile;
                    switch (type)
                    {
                        case EntryType.RegularFile:
                            Enqueue(directory, entry.Name, followed: false, copied: directory.Target is not null);
                            break;
                        case EntryType.Directory:
                            Descend(directory, entry.Name, followed: false);
                            break;
                        case EntryType.Symlink:
                            VisitSymlink(directory, entry.Name);
                            break;
                        default:
                            Fail(SpecialFile(directory.Source.PathOf(entry.Name)));
                            return;
                    }
                }
            }
            finally
            {
                directory.Release();
            }
        }

        private void VisitSymlink(Node directory, EntryName name)
        {
            var follow = _pass._copy?.FollowSymlinks == true;
            if (directory.Target is not null && !follow)
            {
                try
                {
                    directory.Target.MakeSymlink(name, directory.Source.ReadLink(name).ZeroTerminated);
                }
                catch (PosixException failure)
                    when (failure.IsAboutName || failure.Errno is Errno.NotPermitted or Errno.NotImplemented or Errno.NotSupported)
                {
                    Fail(Unfit(directory.Source.PathOf(name), failure));
                    return;
                }
            }
            if (directory.Target is null && directory.Source.Status(name) is { } link)
                _pass._stamp.Add(directory.Identity, name, link);

            var status = directory.Source.StatusFollowingLink(name);
            var path = directory.Source.PathOf(name);
            switch (status?.Type)
            {
                case null when follow:
                    Fail(
                        DigestResult.Failed(
                            DigestStatus.BrokenSymlink,
                            path,
                            $"'{path}' is a symbolic link that leads nowhere. Nothing of the copy was kept."
                        )
                    );
                    break;
                case null:
                    CountAsEmpty(path);
                    break;
                case EntryType.RegularFile:
                    Enqueue(directory, name, followed: true, copied: follow);
                    break;
                case EntryType.Directory when follow && directory.IsWithin(status.Value.Identity):
                    Fail(
                        DigestResult.Failed(
                            DigestStatus.SymlinkCycle,
                            path,
                            $"'{path}' leads back to a directory above it; a copy would never end."
                        )
                    );
                    break;
                case EntryType.Directory when follow:
                    Descend(directory, name, followed: true);
                    break;
                case EntryType.Directory:
                    break;
                default:
                    Fail(SpecialFile(path));
                    break;
            }
        }

        private void CountAsEmpty(string path)
        {
            Interlocked.CompareExchange(ref _pass._brokenSymlink, path, null);
            Interlocked.Increment(ref _pass._files);
            using var hash = new MultiHash(_pass._algorithms);
            Span<byte> digest = stackalloc byte[64];
            for (var i = 0; i < _pass._algorithms.Length; i++)
                _pass._members[i].Add(hash.FinishAndReset(i, digest));
        }

        private void Descend(Node directory, EntryName name, bool followed)
        {
            _pass._tree?.AddDirectory(directory.BytesOf(name));
            directory.Acquire();
            _pending.Push((directory, name, followed));
        }

        private void Enqueue(Node directory, EntryName name, bool followed, bool copied)
        {
            if (_readers.Count < _pass._options.MaxParallelism)
            {
                var reader = new Thread(Read) { IsBackground = true, Name = "digest reader" };
                _readers.Add(reader);
                reader.Start();
            }

            directory.Acquire();
            try
            {
                _queue.Add(new FileItem(directory, name, followed, copied), _stop.Token);
            }
            catch
            {
                directory.Release();
                throw;
            }
        }

        private void Read()
        {
            using var reader = new Reader(_pass._algorithms);
            foreach (var item in _queue.GetConsumingEnumerable())
            {
                try
                {
                    // After a failure the queue is only drained, to release the directories.
                    if (!_stop.IsCancellationRequested)
                        ReadFile(item, reader);
                }
                catch (OperationCanceledException) { }
                catch (PosixException failure)
                {
                    Fail(FromException(failure, item.Directory.Source.PathOf(item.Name)));
                }
                catch (Exception unexpected)
                {
                    Interlocked.CompareExchange(ref _pass._unexpected, ExceptionDispatchInfo.Capture(unexpected), null);
                    _stop.Cancel();
                }
                finally
                {
                    item.Directory.Release();
                }
            }
        }

        private void ReadFile(FileItem item, Reader reader)
        {
            var directory = item.Directory;
            using var source = item.Followed ? directory.Source.OpenFileFollowingLink(item.Name) : directory.Source.OpenFile(item.Name);
            var status = source.Status();
            if (status.Type != EntryType.RegularFile)
            {
                Fail(SpecialFile(directory.Source.PathOf(item.Name)));
                return;
            }

            if (_pass._copy is null)
            {
                status = _pass.Receive(source, status);
                // A link's target has its own name in the tree, if it is part of it.
                if (!item.Followed)
                    _pass._stamp.Add(directory.Identity, item.Name, status);
            }

            using var target = item.Copied ? TryCreate(item, status) : null;
            if (item.Copied && target is null)
                return;
            if (!_pass.Stream(source, target, status, reader, _stop.Token))
            {
                Fail(Changed(directory.Source.PathOf(item.Name)));
                return;
            }

            _pass.Finish(source, target, status);
            Interlocked.Add(ref _pass._sizeBytes, status.Size);
            Interlocked.Increment(ref _pass._files);
            var checksums = _pass._options.OnMember is null ? null : new Dictionary<ChecksumAlgorithm, Checksum>();
            for (var i = 0; i < _pass._algorithms.Length; i++)
            {
                var digest = reader.Hash.FinishAndReset(i, reader.Digest);
                _pass._members[i].Add(digest);
                if (i == _pass._xxh3)
                    _pass._tree!.AddFile(directory.BytesOf(item.Name), status.Size, digest);
                if (checksums is not null)
                    checksums[_pass._algorithms[i]] = Checksum.FromDigest(_pass._algorithms[i], digest);
            }

            if (checksums is null)
                return;
            lock (_pass._telling)
                _pass._options.OnMember!(new MemberDigest(directory.PathOf(item.Name), status.Size, checksums));
        }

        private PosixFile? TryCreate(FileItem item, FileStatus status)
        {
            try
            {
                return item.Directory.Target!.CreateFile(item.Name, _pass.FilePermissions(status));
            }
            catch (PosixException failure) when (failure.IsAboutName)
            {
                Fail(Unfit(item.Directory.Source.PathOf(item.Name), failure));
                return null;
            }
        }

        private void Fail(DigestResult failure)
        {
            // A failed flush takes precedence over any other failure.
            if (failure.Status == DigestStatus.FlushFailed)
                Volatile.Write(ref _pass._failure, failure);
            else
                Interlocked.CompareExchange(ref _pass._failure, failure, null);
            _stop.Cancel();
        }

        private readonly record struct FileItem(Node Directory, EntryName Name, bool Followed, bool Copied);
    }
}
