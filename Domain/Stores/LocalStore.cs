using System.Collections.Concurrent;
using Librarian.Domain.Checksums;
using Librarian.Domain.Formats;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// A store in two directories of POSIX file systems: staging receives data, the store root holds committed data
/// (docs/spec/wire.md#local-store). No essential state is kept in memory, so any number of processes may use the same directories.
/// </summary>
/// <remarks>
/// Layout below the store root: the committed data under their names, and <c>.librarian/</c> with <c>incoming/&lt;commit id&gt;</c> (copies
/// being verified), <c>names/</c> (locks for file systems that cannot rename without replacing), <c>placements.lock</c> (one locked byte
/// per running commit), <c>aside/</c> (quarantine) and <c>trash/</c> (data being deleted). Below the staging root: one directory per
/// transfer, named by a UUID, <c>.batches/</c> (docs/spec/data-batches.md#journal), and while files are added from another store
/// (<see cref="AddAsync"/>) one entry per addition, which is the copy itself.
/// Every path from a client is opened component by component relative to open directories, without following symbolic links.
/// </remarks>
public sealed partial class LocalStore
{
    private const uint PrivateDirectory = 0x1c0;
    private const uint SharedDirectory = 0x1fd;
    private const uint OwnersDirectory = 0x1ed;
    private const uint SharedFile = 0x1b4;
    private const uint OwnersFile = 0x1a4;
    private const uint ExecutableByAll = 0x49;
    private const int MaxKnownDirectories = 100_000;

    private static readonly EntryName Working = new(FileName.WorkingDirectory);

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
        if (!options.StagingPath.StartsWith('/') || !options.RootPath.StartsWith('/'))
            throw new ArgumentException($"The paths of store '{options.Name}' must be absolute.", nameof(options));
        if (options.ReportFullFraction is not (>= 0 and <= 1))
            throw new ArgumentException($"report_full_fraction of store '{options.Name}' must lie between 0 and 1.", nameof(options));
        Options = options;
        _faults = faults;
        _stagingRoot = Trim(options.StagingPath);
        _storeRoot = Trim(options.RootPath);
    }

    /// <summary>The settings of this store.</summary>
    public LocalStoreOptions Options { get; }

    /// <summary>Whether both directories exist now (docs/spec/wire.md#local-store).</summary>
    public bool IsAvailable =>
        Options.Medium is null
            ? Directory.Exists(Options.StagingPath) && Directory.Exists(Options.RootPath)
            : CanOpen(_stagingRoot) && CanOpen(_storeRoot);

    /// <summary>
    /// Free space in bytes as reported to clients: the smaller of both file systems' space available to unprivileged users, less the part
    /// that <see cref="LocalStoreOptions.ReportFullFraction"/> holds back. Never negative, but -1 if the store is unavailable
    /// (docs/spec/wire.md#local-store). The caller subtracts the space that the catalog reserves for running transfers.
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

    /// <summary>Absolute path of committed data, for other programs to read. This site's own access goes through this class.</summary>
    public string Locate(FileName path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return _storeRoot + "/" + path.Value;
    }

    /// <summary>Absolute path of staged data, whether or not they exist.</summary>
    public string LocateStaged(Guid stagingName, FileName uploadName)
    {
        ArgumentNullException.ThrowIfNull(uploadName);
        return $"{_stagingRoot}/{StagingName(stagingName)}/{uploadName.Value}";
    }

    /// <summary>
    /// Whether anything has this name in the store. A symbolic link counts and is not followed. Below a file or a link there are no names.
    /// </summary>
    /// <exception cref="IOException">The operating system refused the check.</exception>
    public Task<Presence> ExistsAsync(FileName path, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return Task.Run(
            () =>
            {
                using var root = TryOpenRoot(_storeRoot);
                if (root is null)
                    return Presence.Unknown;
                try
                {
                    using var parent = TryOpenParent(root, path);
                    return parent?.Status(NameOf(path)) is not null ? Presence.Present : Presence.Absent;
                }
                catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.TooManyLinks)
                {
                    return Presence.Absent;
                }
            },
            cancellationToken
        );
    }

    /// <summary>
    /// Size and checksums of committed data. Like <see cref="ContentDigest.ComputeAsync"/>, but follows no symbolic link in the path, and
    /// flushes also the directories above the data.
    /// </summary>
    public Task<DigestResult> DigestAsync(
        FileName path,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        DigestOptions? options = null,
        IProgress<long>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(path);
        var pass = new TreePass(algorithms, options ?? new DigestOptions(), progress);
        return BlockingWork.RunAsync(
            () =>
                DigestBelow(
                    _storeRoot,
                    root => TryOpenParent(root, path),
                    path,
                    pass,
                    cancellationToken,
                    options?.FlushToDisk == true ? root => FlushParents(root, path) : null
                ),
            cancellationToken
        );
    }

    /// <summary>
    /// Size and checksums of staged data. Set <see cref="DigestOptions.FlushToDisk"/> before a commit: a commit on the same file system
    /// moves the data as they are and relies on them being on disk.
    /// </summary>
    public Task<DigestResult> DigestStagedAsync(
        Guid stagingName,
        FileName uploadName,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        DigestOptions? options = null,
        IProgress<long>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(uploadName);
        var pass = new TreePass(algorithms, options ?? new DigestOptions(), progress);
        return BlockingWork.RunAsync(
            () =>
                DigestBelow(_stagingRoot, root => TryOpenStagedParent(root, stagingName, uploadName), uploadName, pass, cancellationToken),
            cancellationToken
        );
    }

    /// <summary>
    /// Finds links and special files that may not be committed. <see cref="CommitFileAsync"/> checks again; an earlier check gives the
    /// uploader an answer before the data are read. Missing data have no findings.
    /// </summary>
    /// <exception cref="IOException">The operating system refused to list a directory.</exception>
    public Task<TreeInspection> InspectStagedAsync(Guid stagingName, FileName uploadName, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(uploadName);
        return Task.Run(
            () =>
            {
                using var root = OpenRoot(_stagingRoot);
                using var parent = TryOpenStagedParent(root, stagingName, uploadName);
                return parent is null
                    ? new TreeInspection()
                    : TreeInspection.Inspect(parent, NameOf(uploadName), checkOwners: false, cancellationToken);
            },
            cancellationToken
        );
    }

    private static string Trim(string path) => path.TrimEnd('/') is { Length: > 0 } trimmed ? trimmed : "/";

    private static EntryName NameOf(FileName path) => new(path.Components[^1]);

    private static string StagingName(Guid name) => name.ToString("D");

    private DigestResult DigestBelow(
        string rootPath,
        Func<PosixDirectory, PosixDirectory?> openParent,
        FileName path,
        TreePass pass,
        CancellationToken cancellationToken,
        Action<PosixDirectory>? afterwards = null
    )
    {
        return Described(path, () =>
        {
            using var root = TryOpenRoot(rootPath);
            // If the store is not mounted, nothing is known about the data; they must not be reported as missing.
            if (root is null)
                return DigestResult.Failed(DigestStatus.IoError, path.Value, Unavailable);
            using var parent = openParent(root);
            if (parent is null)
                return DigestResult.Failed(DigestStatus.Missing, path.Value, $"Nothing is at '{path}'.");
            var result = pass.DigestEntry(parent, NameOf(path), cancellationToken);
            if (result.IsComplete)
                afterwards?.Invoke(root);
            return result;
        })!;
    }

    private static void FlushParents(PosixDirectory root, FileName path)
    {
        var current = root.OpenDirectory(EntryName.Self);
        try
        {
            current.Sync();
            for (var i = 0; i < path.Components.Count - 1; i++)
            {
                var next = current.OpenDirectory(new EntryName(path.Components[i]));
                current.Dispose();
                current = next;
                current.Sync();
            }
        }
        finally
        {
            current.Dispose();
        }
    }

    /// <returns>The directory that contains the last component; null if a component does not exist.</returns>
    /// <exception cref="PosixException">NotADirectory: a component is a symbolic link or a file.</exception>
    private static PosixDirectory? TryOpenParent(PosixDirectory root, FileName path)
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

    private static PosixDirectory? TryOpenStagedParent(PosixDirectory root, Guid stagingName, FileName uploadName)
    {
        using var staging = root.TryOpenDirectory(new EntryName(StagingName(stagingName)));
        return staging is null ? null : TryOpenParent(staging, uploadName);
    }

    /// <summary>Opens a directory in the store's working directory and creates it if needed.</summary>
    private PosixDirectory OpenWorkingDirectory(PosixDirectory root, string name)
    {
        using var working = OpenOrMake(root, Working, PrivateDirectory)
            ?? throw new PosixException(Errno.NoEntry, "opening", root.PathOf(Working));
        return OpenOrMake(working, new EntryName(name), PrivateDirectory)
            ?? throw new PosixException(Errno.NoEntry, "opening", working.PathOf(new EntryName(name)));
    }

    /// <returns>The directory, its entry durable; null if another process removed it at this moment.</returns>
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

        if (!durably)
            return directory;
        // An existing directory may not be durable: the process that created it may have died before the flush.
        var identity = directory.Status().Identity;
        if (!_durableDirectories.ContainsKey(identity))
        {
            try
            {
                directory.Sync();
                parent.Sync();
            }
            catch (PosixException failure) when (failure.IsFlush)
            {
                // The next attempt has to create the directory anew, because another flush of this one would succeed and prove nothing. If
                // it is not empty, others use it and it stays.
                TryRemoveEmpty(parent, name);
                throw;
            }

            if (_durableDirectories.Count >= MaxKnownDirectories)
                _durableDirectories.Clear();
            _durableDirectories[identity] = true;
        }

        return directory;
    }

    private static void TryRemoveEmpty(PosixDirectory parent, EntryName name)
    {
        try
        {
            parent.RemoveDirectory(name);
        }
        catch (PosixException)
        {
            // The failed flush is the error to report.
        }
    }

    private PosixDirectory OpenRoot(string path) => TryOpenRoot(path) ?? throw new PosixException(Errno.NoEntry, "opening", path);

    /// <summary>Opens the store's or the staging root; null if it does not exist or is not this store's.</summary>
    private PosixDirectory? TryOpenRoot(string path)
    {
        var root = TryOpenAny(path);
        if (root is null || path != _storeRoot || Identify(root).IsMounted)
            return root;
        root.Dispose();
        return null;
    }

    /// <summary>
    /// Opens the root without checking the identity, to find out which store it is. On a removable medium no component below the mount
    /// point may be a link or a mount, and the medium must be the expected drive.
    /// </summary>
    private PosixDirectory? TryOpenAny(string path)
    {
        if (Options.Medium is not { } medium)
            return PosixDirectory.TryOpen(path);
        var at = PosixDirectory.TryOpen(medium.OpenPath, medium.MountPath);
        try
        {
            if (at is null || (medium.DriveId is { } drive && DriveMarker.TryRead(at.HeldPath)?.DriveId != drive))
                return null;
            var device = at.Status().Identity.Device;
            foreach (var component in path[Trim(medium.MountPath).Length..].Split('/', StringSplitOptions.RemoveEmptyEntries))
            {
                var next = at?.TryOpenDirectory(new EntryName(component));
                at?.Dispose();
                at = next;
                if (at is not null && at.Status().Identity.Device != device)
                    throw new PosixException(Errno.CrossDevice, "opening", path);
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

    private string Unavailable => $"Store '{Options.Name}' is not available. Nothing was changed. Mount it and try again.";

    private void Reach(string point) => _faults?.Reach(point);
}
