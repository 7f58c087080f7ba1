using System.Runtime.ExceptionServices;
using Librarian.Domain.Stores.Posix;

namespace Librarian.Domain.Checksums;

/// <summary>Where a pass writes what it reads.</summary>
/// <param name="Parent">The directory that gets the copy.</param>
/// <param name="Name">The copy's name in it; must be free.</param>
/// <param name="FollowSymlinks">True: links become what they lead to. False: links are copied as links, so that the digest stays the same.</param>
/// <param name="GroupWritable">Modes 0664 and 0775 instead of the source's.</param>
internal sealed record CopyPlan(PosixDirectory Parent, EntryName Name, bool FollowSymlinks, bool GroupWritable);

/// <summary>
/// One reading of a file or directory: digests it, and copies it or flushes it on the way. One thread walks; up to
/// <see cref="DigestOptions.MaxParallelism"/> threads read files from a bounded queue, so memory and open descriptors do not
/// grow with the tree.
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
    private readonly Lock _telling = new();

    private long _bytes;
    private long _sizeBytes;
    private long _files;
    private string? _brokenSymlink;
    private DigestResult? _failure;
    private ExceptionDispatchInfo? _unexpected;

    internal TreePass(IReadOnlyCollection<ChecksumAlgorithm> algorithms, DigestOptions options, IProgress<long>? progress, CopyPlan? copy = null)
    {
        ArgumentNullException.ThrowIfNull(algorithms);
        ArgumentOutOfRangeException.ThrowIfZero(algorithms.Count, nameof(algorithms));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.MaxParallelism, nameof(options));
        _algorithms = [.. algorithms.Distinct()];
        _options = options;
        _progress = progress;
        _copy = copy;
        _members = [.. _algorithms.Select(algorithm => new MemberDigests(algorithm.DigestLength()))];
    }

    /// <summary>Reads what a path leads to; symbolic links in the path are followed (wire.md §4.3 no. 1).</summary>
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
    internal DigestResult DigestEntry(PosixDirectory parent, EntryName name, CancellationToken cancellationToken) => Guard(parent.PathOf(name), () =>
    {
        var path = parent.PathOf(name);
        if (parent.Status(name) is not { } status)
            return DigestResult.Failed(DigestStatus.Missing, path, $"Nothing is at '{path}'.");
        return status.Type switch
        {
            EntryType.RegularFile => DigestFile(parent.OpenFile(name), path, cancellationToken),
            EntryType.Directory => DigestDirectory(parent.OpenDirectory(name), cancellationToken),
            EntryType.Symlink => DigestResult.Failed(DigestStatus.SymlinkRefused, path, $"'{path}' is a symbolic link; its target would lie outside the checked data."),
            _ => SpecialFile(path),
        };
    });

    private static DigestResult SpecialFile(string path) =>
        DigestResult.Failed(DigestStatus.SpecialFile, path, $"'{path}' is a device, pipe or socket, which has no content to catalog.");

    private static DigestResult FromException(PosixException failure, string path) =>
        DigestResult.Failed(failure.IsNoSpace ? DigestStatus.NoSpace : DigestStatus.IoError, path, failure.Message);

    /// <summary>Runs the pass; whatever ends it early, a partial copy that this pass began does not stay.</summary>
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
            // The first failure is the one to report; what could not be removed is as visible as after a crash.
        }
    }

    private DigestResult DigestFile(PosixFile source, string path, CancellationToken cancellationToken)
    {
        using (source)
        {
            var status = source.Status();
            if (status.Type != EntryType.RegularFile)
                return SpecialFile(path);
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
            return new DigestResult(DigestStatus.Complete, status.Size, 1, isDirectory: false, checksums);
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
        cancellationToken.ThrowIfCancellationRequested();
        if (_failure is not null)
            return _failure;
        if (_copy is not null && _options.FlushToDisk)
            _copy.Parent.Sync();

        var checksums = new Dictionary<ChecksumAlgorithm, Checksum>();
        for (var i = 0; i < _algorithms.Length; i++)
            checksums[_algorithms[i]] = _members[i].Combine(_algorithms[i]);
        var result = new DigestResult(DigestStatus.Complete, _sizeBytes, _files, isDirectory: true, checksums);
        return _brokenSymlink is null
            ? result
            : DigestResult.Failed(
                DigestStatus.BrokenSymlink,
                _brokenSymlink,
                $"'{_brokenSymlink}' is a symbolic link that leads nowhere, so the directory has no size.",
                _copy is null ? result : null);
    }

    /// <returns>False when the file changed meanwhile.</returns>
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
        return length == status.Size && after.Size == status.Size && after.ModifiedNanoseconds == status.ModifiedNanoseconds;
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
            // Set after creation, so that the umask has no say.
            target.SetPermissions(FilePermissions(status));
            target.SetModified(status.ModifiedNanoseconds);
        }

        if (_options.FlushToDisk)
            (target ?? source).Sync();
    }

    private uint FilePermissions(FileStatus status) => _copy!.GroupWritable ? 0x1b4 : (status.Permissions & 0x1ff) | 0x100;

    private uint DirectoryPermissions(FileStatus status) => _copy!.GroupWritable ? 0x1fd : (status.Permissions & 0x1ff) | 0x1c0;

    private DigestResult DestinationExists() =>
        DigestResult.Failed(DigestStatus.DestinationExists, _copy!.Parent.PathOf(_copy.Name), $"'{_copy.Parent.PathOf(_copy.Name)}' exists already and was left as it is.");

    private static DigestResult Changed(string path) =>
        DigestResult.Failed(DigestStatus.Changed, path, $"'{path}' changed while it was being read, or is larger than it should be. Wait until its writer is done and try again.");

    /// <summary>
    /// What one reading thread owns. A megabyte is allocated where the collector looks rarely and then at everything, and threads that live for one
    /// file leave it behind: a small file gets a small buffer.
    /// </summary>
    /// <param name="algorithms">What to calculate.</param>
    /// <param name="most">Bytes of the largest file to come, as far as it is known.</param>
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
