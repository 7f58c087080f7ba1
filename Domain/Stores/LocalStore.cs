using System.Collections.Concurrent;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// Two directories of a POSIX filesystem: one where data arrive, one where committed data stay (wire.md §7.2). Nothing here is
/// kept in memory that matters: any number of processes may use the same directories.
/// </summary>
/// <remarks>
/// Layout below the store root: the committed data under their names, and <c>.librarian/</c> with <c>incoming/&lt;placement&gt;</c>
/// (copies being verified), <c>names/</c> (locks of filesystems that cannot rename without replacing) and <c>trash/</c>
/// (data being deleted). Below the staging root: one directory per transfer, named by a UUID, and while files are added from another store
/// (<see cref="AddAsync"/>) one entry per addition that is the copy itself.
/// Every path from a client is walked component by component relative to open directories, and no symbolic link in it is
/// followed.
/// </remarks>
public sealed partial class LocalStore
{
    private const uint PrivateDirectory = 0x1c0;
    private const uint SharedDirectory = 0x1fd;
    private const uint OwnersDirectory = 0x1ed;
    private const int MaxKnownDirectories = 100_000;

    private static readonly EntryName Working = new(StorePath.WorkingDirectory);

    private readonly IStoreFaults? _faults;
    private readonly string _stagingRoot;
    private readonly string _storeRoot;

    /// <summary>Directories whose entry in their parent is known to be on disk, so that it is flushed once and not per file.</summary>
    private readonly ConcurrentDictionary<FileIdentity, bool> _durableDirectories = new();

    /// <param name="options">The store's settings; both paths must be absolute.</param>
    /// <param name="faults">For tests only.</param>
    public LocalStore(LocalStoreOptions options, IStoreFaults? faults = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (!options.StagingPath.StartsWith('/') || !options.StorePath.StartsWith('/'))
            throw new ArgumentException($"The paths of store '{options.Name}' must be absolute.", nameof(options));
        if (options.ReportFullFraction is not (>= 0 and <= 1))
            throw new ArgumentException($"report_full_fraction of store '{options.Name}' must lie between 0 and 1.", nameof(options));
        Options = options;
        _faults = faults;
        _stagingRoot = Trim(options.StagingPath);
        _storeRoot = Trim(options.StorePath);
    }

    /// <summary>The settings this store was made with.</summary>
    public LocalStoreOptions Options { get; }

    /// <summary>Whether both directories exist now (wire.md §7.2).</summary>
    public bool IsAvailable => Options.Medium is null ? Directory.Exists(Options.StagingPath) && Directory.Exists(Options.StorePath) : CanOpen(_stagingRoot) && CanOpen(_storeRoot);

    /// <summary>
    /// Free space in bytes as reported to clients: the lesser of both filesystems' unprivileged-available space, less the part
    /// that <see cref="LocalStoreOptions.ReportFullFraction"/> holds back; never negative, but -1 when the store is unavailable
    /// (wire.md §7.2). Space promised to running transfers is the catalog's to subtract.
    /// </summary>
    public long FreeBytes()
    {
        try
        {
            return IsAvailable ? (long)Math.Floor(Math.Max(0, Math.Min(Free(_storeRoot), Free(_stagingRoot)))) : -1;
        }
        catch (IOException)
        {
            return -1;
        }
        catch (UnauthorizedAccessException)
        {
            return -1;
        }
    }

    /// <summary>Absolute path of committed data. A name for others to read by; this site's own access goes through this class.</summary>
    public string Locate(StorePath path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return _storeRoot + "/" + path.Value;
    }

    /// <summary>Absolute path of staged data, whether or not they exist.</summary>
    public string LocateStaged(Guid stagingName, StorePath uploadName)
    {
        ArgumentNullException.ThrowIfNull(uploadName);
        return $"{_stagingRoot}/{StagingName(stagingName)}/{uploadName.Value}";
    }

    /// <summary>
    /// Whether anything has this name in the store (a symbolic link counts and is not followed). Nothing can have a name below a
    /// file or a link.
    /// </summary>
    /// <exception cref="IOException">The operating system refused to look.</exception>
    public Task<bool> ExistsAsync(StorePath path, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return Task.Run(
            () =>
            {
                using var root = TryOpenRoot(_storeRoot);
                if (root is null)
                    return false;
                try
                {
                    using var parent = TryOpenParent(root, path);
                    return parent?.Status(NameOf(path)) is not null;
                }
                catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.TooManyLinks)
                {
                    return false;
                }
            },
            cancellationToken);
    }

    /// <summary>
    /// Size and checksums of committed data. Like <see cref="ContentDigest.ComputeAsync"/>, but no symbolic link on the way is followed.
    /// </summary>
    public Task<DigestResult> DigestAsync(
        StorePath path,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        DigestOptions? options = null,
        IProgress<long>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        var pass = new TreePass(algorithms, options ?? new DigestOptions(), progress);
        return BlockingWork.RunAsync(() => DigestBelow(_storeRoot, root => TryOpenParent(root, path), path, pass, cancellationToken), cancellationToken);
    }

    /// <summary>
    /// Size and checksums of staged data. Pass <see cref="DigestOptions.FlushToDisk"/> before placing them: a placement on the
    /// same filesystem moves them as they are and relies on their being on disk.
    /// </summary>
    public Task<DigestResult> DigestStagedAsync(
        Guid stagingName,
        StorePath uploadName,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        DigestOptions? options = null,
        IProgress<long>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(uploadName);
        var pass = new TreePass(algorithms, options ?? new DigestOptions(), progress);
        return BlockingWork.RunAsync(
            () => DigestBelow(_stagingRoot, root => TryOpenStagedParent(root, stagingName, uploadName), uploadName, pass, cancellationToken),
            cancellationToken);
    }

    /// <summary>
    /// Looks for links and special files that may not be committed. <see cref="PlaceAsync"/> looks again; asking earlier gives the
    /// uploader an answer before the data are read. Missing data have no findings.
    /// </summary>
    /// <exception cref="IOException">The operating system refused to list a directory.</exception>
    public Task<TreeInspection> InspectStagedAsync(Guid stagingName, StorePath uploadName, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(uploadName);
        return Task.Run(
            () =>
            {
                using var root = OpenRoot(_stagingRoot);
                using var parent = TryOpenStagedParent(root, stagingName, uploadName);
                return parent is null ? new TreeInspection() : TreeInspection.Inspect(parent, NameOf(uploadName), checkOwners: false, cancellationToken);
            },
            cancellationToken);
    }

    private static string Trim(string path) => path.TrimEnd('/') is { Length: > 0 } trimmed ? trimmed : "/";

    private static EntryName NameOf(StorePath path) => new(path.Components[^1]);

    private static string StagingName(Guid name) => name.ToString("D");

    private DigestResult DigestBelow(
        string rootPath,
        Func<PosixDirectory, PosixDirectory?> openParent,
        StorePath path,
        TreePass pass,
        CancellationToken cancellationToken)
    {
        try
        {
            using var root = TryOpenRoot(rootPath);
            using var parent = root is null ? null : openParent(root);
            return parent is null
                ? DigestResult.Failed(DigestStatus.Missing, path.Value, $"Nothing is at '{path}'.")
                : pass.DigestEntry(parent, NameOf(path), cancellationToken);
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.TooManyLinks)
        {
            return DigestResult.Failed(DigestStatus.SymlinkRefused, path.Value, $"A component of '{path}' is a symbolic link or a file.");
        }
        catch (PosixException failure)
        {
            return DigestResult.Failed(DigestStatus.IoError, path.Value, failure.Message);
        }
    }

    /// <returns>The directory that holds the last component; null when a component is missing.</returns>
    /// <exception cref="PosixException">NotADirectory: a component is a symbolic link or a file.</exception>
    private static PosixDirectory? TryOpenParent(PosixDirectory root, StorePath path)
    {
        var current = root.OpenDirectory(EntryName.Self);
        for (var i = 0; i < path.Components.Count - 1; i++)
        {
            using var previous = current;
            if (previous.TryOpenDirectory(new EntryName(path.Components[i])) is not { } next)
                return null;
            current = next;
        }

        return current;
    }

    private static PosixDirectory? TryOpenStagedParent(PosixDirectory root, Guid stagingName, StorePath uploadName)
    {
        using var staging = root.TryOpenDirectory(new EntryName(StagingName(stagingName)));
        return staging is null ? null : TryOpenParent(staging, uploadName);
    }

    /// <summary>Opens (making it first if needed) a directory of the store's own below its root.</summary>
    private PosixDirectory OpenWorkingDirectory(PosixDirectory root, string name)
    {
        using var working = OpenOrMake(root, Working, PrivateDirectory)
            ?? throw new PosixException(Errno.NoEntry, "opening", root.PathOf(Working));
        return OpenOrMake(working, new EntryName(name), PrivateDirectory)
            ?? throw new PosixException(Errno.NoEntry, "opening", working.PathOf(new EntryName(name)));
    }

    /// <returns>The directory, its entry durable; null when another process removed it at this moment.</returns>
    private PosixDirectory? OpenOrMake(PosixDirectory parent, EntryName name, uint permissions, bool durably = true)
    {
        var directory = parent.TryOpenDirectory(name);
        if (directory is null)
        {
            parent.MakeDirectory(name, permissions);
            directory = parent.TryOpenDirectory(name);
            if (directory is null)
                return null;
        }

        if (!durably) return directory;
        // Existing does not mean durable: the process that made it may have died before the flush.
        var identity = directory.Status().Identity;
        if (!_durableDirectories.ContainsKey(identity))
        {
            directory.Sync();
            parent.Sync();
            if (_durableDirectories.Count >= MaxKnownDirectories)
                _durableDirectories.Clear();
            _durableDirectories[identity] = true;
        }

        return directory;
    }

    private PosixDirectory OpenRoot(string path) => TryOpenRoot(path) ?? throw new PosixException(Errno.NoEntry, "opening", path);

    /// <summary>Opens the store's or the staging root; on a removable medium no component below the mount point may be a link or a mount.</summary>
    private PosixDirectory? TryOpenRoot(string path)
    {
        if (Options.Medium is not { } medium) return PosixDirectory.TryOpen(path);
        var at = PosixDirectory.TryOpen(medium.OpenPath, medium.MountPath);
        try
        {
            var device = at?.Status().Identity.Device;
            foreach (var component in path[Trim(medium.MountPath).Length..].Split('/', StringSplitOptions.RemoveEmptyEntries))
            {
                var next = at?.TryOpenDirectory(new EntryName(component));
                at?.Dispose();
                at = next;
                if (at is not null && at.Status().Identity.Device != device) throw new PosixException(Errno.CrossDevice, "opening", path);
            }

            return Interlocked.Exchange(ref at, null);
        }
        finally
        {
            at?.Dispose();
        }
    }

    private bool CanOpen(string path)
    {
        try
        {
            using var root = TryOpenRoot(path);
            return root is not null;
        }
        catch (PosixException)
        {
            return false;
        }
    }

    private double Free(string path)
    {
        var filesystem = new DriveInfo(Options.Medium?.OpenPath ?? path);
        return filesystem.AvailableFreeSpace - (filesystem.TotalSize * (1 - Options.ReportFullFraction));
    }

    private void Reach(string point) => _faults?.Reach(point);
}
