using System.Runtime.ExceptionServices;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Checksums;

/// <summary>Where and how a pass writes its copy.</summary>
/// <param name="Parent">The directory that receives the copy.</param>
/// <param name="Name">The copy's name in it; must be free.</param>
/// <param name="FollowSymlinks">
/// True: links are replaced by their targets. False: links are copied as links, so that the digest stays the same.
/// </param>
/// <param name="GroupWritable">Modes 0664 and 0775 instead of the source's.</param>
internal sealed record CopyPlan(PosixDirectory Parent, EntryName Name, bool FollowSymlinks, bool GroupWritable);

/// <summary>
/// Reads a file or directory once and computes its digests, and optionally copies or flushes it. One thread walks. Up to
/// <see cref="DigestOptions.MaxParallelism"/> threads read files from a bounded queue, so memory and open descriptors do not grow with the
/// tree.
/// </summary>
/// <remarks>An instance serves one pass.</remarks>
internal sealed partial class TreePass
{
    private const int BufferSize = 1 << 20;
    private const int ReportShift = 22;
    private const int MaxDepth = 2048;
    private const int QueueLength = 256;

    private readonly ChecksumAlgorithm[] _algorithms;
    private readonly DigestOptions _options;
    private readonly CopyPlan? _copy;
    private readonly IProgress<long>? _progress;
    private readonly MemberDigests[] _members;

    /// <summary>Null unless XXH3 is requested. Used for directories only.</summary>
    private readonly TreeDigest? _tree;
    private readonly int _xxh3;
    private readonly Lock _telling = new();
    private readonly TreeStamp _stamp = new();

    private long _bytes;
    private long _sizeBytes;
    private long _files;
    private string? _brokenSymlink;
    private DigestResult? _failure;
    private ExceptionDispatchInfo? _unexpected;

    internal TreePass(
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        DigestOptions options,
        IProgress<long>? progress,
        CopyPlan? copy = null
    )
    {
        ArgumentNullException.ThrowIfNull(algorithms);
        ArgumentOutOfRangeException.ThrowIfZero(algorithms.Count, nameof(algorithms));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.MaxParallelism, nameof(options));
        _algorithms = [.. algorithms.Distinct()];
        _options = options;
        _progress = progress;
        _copy = copy;
        _members = [.. _algorithms.Select(algorithm => new MemberDigests(algorithm.DigestLength()))];
        _xxh3 = Array.IndexOf(_algorithms, ChecksumAlgorithm.Xxh3);
        _tree = _xxh3 < 0 ? null : new TreeDigest();
    }

    /// <summary>Reads the target of a path; symbolic links in the path are followed (docs/spec/wire.md#directory-checksum).</summary>
    internal DigestResult DigestPath(string path, CancellationToken cancellationToken) => Guard(path, () =>
        {
            if (PosixDirectory.StatusOfPath(path) is not { } status)
                return DigestResult.Failed(DigestStatus.Missing, path, $"Nothing is at '{path}'.");
            return status.Type switch
            {
                EntryType.RegularFile => DigestFile(PosixDirectory.OpenFileAtPath(path), path, cancellationToken),
                EntryType.Directory => DigestDirectory(PosixDirectory.Open(path), cancellationToken),
                _ => SpecialFile(path),
            };
        });

    /// <summary>Reads an entry of an open directory; a symbolic link is refused.</summary>
    internal DigestResult DigestEntry(PosixDirectory parent, EntryName name, CancellationToken cancellationToken) =>
        Guard(parent.PathOf(name), () =>
        {
            var path = parent.PathOf(name);
            if (parent.Status(name) is not { } status)
                return DigestResult.Failed(DigestStatus.Missing, path, $"Nothing is at '{path}'.");
            return status.Type switch
            {
                EntryType.RegularFile => DigestFile(parent.OpenFile(name), path, cancellationToken),
                EntryType.Directory => DigestDirectory(parent.OpenDirectory(name), cancellationToken),
                EntryType.Symlink => DigestResult.Failed(
                    DigestStatus.SymlinkRefused,
                    path,
                    $"'{path}' is a symbolic link; its target would lie outside the checked data."
                ),
                _ => SpecialFile(path),
            };
        });

    private static DigestResult SpecialFile(string path) =>
        DigestResult.Failed(DigestStatus.SpecialFile, path, $"'{path}' is a device, pipe or socket, which has no content to catalog.");

    private static DigestResult FromException(PosixException failure, string path) =>
        DigestResult.Failed(
            failure.IsFlush ? DigestStatus.FlushFailed
                : failure.IsNoSpace ? DigestStatus.NoSpace
                : failure.Errno == Errno.FileTooLarge ? DigestStatus.Unfit
                : DigestStatus.IoError,
            path,
            failure.Message
        );

    /// <summary>
    /// The failure for an entry that could not be created in the copy's own new directory, where its name cannot be taken.
    /// </summary>
    private static DigestResult Unfit(string path, PosixException failure) =>
        DigestResult.Failed(DigestStatus.Unfit, path, $"the file system that gets the copy cannot hold '{path}': {failure.Message}");

    /// <summary>Runs the pass. If it ends early for any reason, the partial copy that it began is removed.</summary>
    private DigestResult Guard(string path, Func<DigestResult> pass)
    {
        DigestResult result;
        try
        {
            result = pass();
            _progress?.Report(_bytes);
        }
        catch (PosixException failure)
        {
            result = FromException(failure, path);
        }
        catch (OperationCanceledException)
        {
            RemovePartialCopy();
            throw;
        }

        if (!result.IsComplete)
            RemovePartialCopy();
        return result;
    }

    private bool _beganCopy;

    private void RemovePartialCopy()
    {
        if (_copy is null || !_beganCopy)
            return;
        try
        {
            TreeRemoval.Remove(_copy.Parent, _copy.Name, CancellationToken.None);
        }
        catch (PosixException)
        {
            // The first failure is reported. What could not be removed stays, as after a crash.
        }
    }

    private DigestResult DigestFile(PosixFile source, string path, CancellationToken cancellationToken)
    {
        using (source)
        {
            var status = source.Status();
            if (status.Type != EntryType.RegularFile)
                return SpecialFile(path);
            if (_copy is null)
                status = _stamp.Top = Receive(source, status);
            using var reader = new Reader(_algorithms, status.Size);

            PosixFile? target = null;
            if (_copy is not null)
            {
                target = TryCreateCopy(status);
                if (target is null)
                    return DestinationExists();
            }

            using (target)
            {
                if (!Stream(source, target, status, reader, cancellationToken))
                    return Changed(path);
                Finish(source, target, status);
            }

            if (_copy is not null && _options.FlushToDisk)
                _copy.Parent.Sync();
            var checksums = new Dictionary<ChecksumAlgorithm, Checksum>();
            for (var i = 0; i < _algorithms.Length; i++)
                checksums[_algorithms[i]] = Checksum.FromDigest(_algorithms[i], reader.Hash.FinishAndReset(i, reader.Digest));
            _options.OnMember?.Invoke(new MemberDigest("", status.Size, checksums));
            return new DigestResult(DigestStatus.Complete, status.Size, 1, isDirectory: false, checksums)
            {
                Stamp = _copy is null ? _stamp : null,
            };
        }
    }

    private PosixFile? TryCreateCopy(FileStatus status)
    {
        try
        {
            var target = _copy!.Parent.CreateFile(_copy.Name, FilePermissions(status));
            _beganCopy = true;
            return target;
        }
        catch (PosixException failure) when (failure.Errno == Errno.Exists)
        {
            return null;
        }
    }

    private DigestResult DigestDirectory(PosixDirectory source, CancellationToken cancellationToken)
    {
        PosixDirectory? target = null;
        if (_copy is not null)
        {
            if (!_copy.Parent.MakeDirectory(_copy.Name, 0x1ed | 0x1c0))
            {
                source.Dispose();
                return DestinationExists();
            }

            _beganCopy = true;
            target = _copy.Parent.OpenDirectory(_copy.Name);
        }

        using (var walk = new Walk(this, cancellationToken))
            walk.Run(source, target);
        _unexpected?.Throw();
        // Not even a cancellation may hide a failed flush, because the next flush would succeed.
        if (_failure is { Status: DigestStatus.FlushFailed })
            return _failure;
        cancellationToken.ThrowIfCancellationRequested();
        if (_failure is not null)
            return _failure;
        if (_copy is not null && _options.FlushToDisk)
            _copy.Parent.Sync();

        var checksums = new Dictionary<ChecksumAlgorithm, Checksum>();
        for (var i = 0; i < _algorithms.Length; i++)
            checksums[_algorithms[i]] = _members[i].Combine(_algorithms[i]);
        var result = new DigestResult(DigestStatus.Complete, _sizeBytes, _files, isDirectory: true, checksums)
        {
            Stamp = _copy is null ? _stamp : null,
            TreeDigest = _tree?.Combine(),
        };
        return _brokenSymlink is null
            ? result
            : DigestResult.Failed(
                DigestStatus.BrokenSymlink,
                _brokenSymlink,
                $"'{_brokenSymlink}' is a symbolic link that leads nowhere, so the directory has no size.",
                _copy is null ? result : null
            );
    }

    /// <returns>False if the file changed meanwhile.</returns>
    private bool Stream(PosixFile source, PosixFile? target, FileStatus status, Reader reader, CancellationToken cancellationToken)
    {
        if (status.Size > _options.MaxBytes)
            return false;
        if (_options.FromMedium)
            source.ForgetPages();
        if (status.Size > BufferSize)
            source.ExpectSequentialReads();
        long length = 0;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var count = source.Read(reader.Buffer);
            if (count == 0)
                break;
            var bytes = reader.Buffer.AsSpan(0, count);
            target?.Write(bytes);
            reader.Hash.Append(bytes);
            length += count;
            Report(count);
            if (length > status.Size || Interlocked.Read(ref _bytes) > _options.MaxBytes)
                return false;
        }

        var after = source.Status();
        return length == status.Size
            && after.Size == status.Size
            && after.ModifiedNanoseconds == status.ModifiedNanoseconds
            && (!_options.TakeOver || after.ChangedNanoseconds == status.ChangedNanoseconds);
    }

    private void Report(int count)
    {
        var now = Interlocked.Add(ref _bytes, count);
        if (_progress is not null && (now >> ReportShift) != ((now - count) >> ReportShift))
            _progress.Report(now);
    }

    private void Finish(PosixFile source, PosixFile? target, FileStatus status)
    {
        if (target is not null)
        {
            // Set after creation, because the umask applies at creation.
            target.SetPermissions(FilePermissions(status));
            target.SetModified(status.ModifiedNanoseconds);
            if (_options.FlushToDisk)
                target.Sync();
        }
    }

    /// <summary>Prepares a file so that its content can be relied on: takes it over, if requested, and flushes it.</summary>
    /// <returns>The status under which the content is read.</returns>
    private FileStatus Receive(PosixFile file, FileStatus status)
    {
        if (_options.TakeOver)
        {
            if (status.Links > 1 || !TakeOver(status, file.SetOwner, file.SetPermissions) || file.IsOpenForWriting())
                _stamp.RequireCopy();
            status = file.Status();
        }

        if (_options.FlushToDisk)
            file.Sync();
        return status;
    }

    /// <returns>False if others can still write it.</returns>
    private static bool TakeOver(FileStatus status, Action<uint> setOwner, Action<uint> setPermissions)
    {
        const uint OthersMayWrite = 0x12;
        try
        {
            var user = Libc.EffectiveUserId();
            if (status.User != user)
            {
                if (user != 0)
                    return false;
                setOwner(user);
            }

            if ((status.Permissions & OthersMayWrite) != 0)
                setPermissions(status.Permissions & ~OthersMayWrite);
            return true;
        }
        catch (PosixException failure)
            when (failure.Errno
                    is Errno.NotPermitted
                        or Errno.AccessDenied
                        or Errno.Invalid
                        or Errno.NotSupported
                        or Errno.ReadOnlyFileSystem
            )
        {
            return false;
        }
    }

    // Only its owner may write a copy in a store, even if the source is writable by others.
    private uint FilePermissions(FileStatus status) => _copy!.GroupWritable ? 0x1b4 : (status.Permissions & 0x1ed) | 0x100;

    private uint DirectoryPermissions(FileStatus status) => _copy!.GroupWritable ? 0x1fd : (status.Permissions & 0x1ed) | 0x1c0;

    private DigestResult DestinationExists() =>
        DigestResult.Failed(
            DigestStatus.DestinationExists,
            _copy!.Parent.PathOf(_copy.Name),
            $"'{_copy.Parent.PathOf(_copy.Name)}' exists already and was left as it is."
        );

    private static DigestResult Changed(string path) =>
        DigestResult.Failed(
            DigestStatus.Changed,
            path,
            $"'{path}' changed while it was being read, or is larger than it should be. Wait until its writer is done and try again."
        );

    /// <summary>
    /// The buffers of one reading thread. A buffer of one MiB lands on the large object heap, which is collected rarely and only in full
    /// collections, and threads that live for one file leave it behind. So a small file gets a small buffer.
    /// </summary>
    /// <param name="algorithms">The algorithms to compute.</param>
    /// <param name="most">Size in bytes of the largest expected file, as far as it is known.</param>
    private sealed class Reader(ChecksumAlgorithm[] algorithms, long most = BufferSize) : IDisposable
    {
        internal MultiHash Hash { get; } = new(algorithms);

        internal byte[] Buffer { get; } = System.Buffers.ArrayPool<byte>.Shared.Rent((int)Math.Clamp(most + 1, 4096, BufferSize));

        internal byte[] Digest { get; } = new byte[64];

        public void Dispose()
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(Buffer);
            Hash.Dispose();
        }
    }
}
