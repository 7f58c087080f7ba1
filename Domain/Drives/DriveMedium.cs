using System.Diagnostics.CodeAnalysis;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Stores.Posix;

namespace Librarian.Domain.Drives;

/// <summary>
/// A drive of this site as it is mounted here, or not. A directory without the drive's marker is not the drive: nothing is read from it or
/// written to it, so an empty mount point is never taken for an empty drive.
/// </summary>
public sealed class DriveMedium
{
    /// <summary>Directory of the files below the drive's root.</summary>
    public const string DataDirectory = "data";

    private readonly Guid _driveId;

    /// <param name="drive">The catalog's row.</param>
    public DriveMedium(Drive drive)
    {
        ArgumentNullException.ThrowIfNull(drive);
        _driveId = drive.DriveId;
        Root = drive.MountPath.TrimEnd('/') is { Length: > 0 } root ? root : "/";
        Store = new LocalStore(new LocalStoreOptions
        {
            Name = drive.Name,
            StagingPath = StagingPathOf(Root),
            StorePath = DataPathOf(Root),
            Ingestable = false,
            ReportFullFraction = drive.FullFraction,
            Medium = new StoreMedium(Root, Root),
        });
    }

    /// <summary>Where the drive is mounted.</summary>
    public string Root { get; }

    /// <summary>Its files, by path: for a look. Work on a drive goes through <see cref="TryHold"/>.</summary>
    public LocalStore Store { get; }

    /// <summary>Whether the drive, and no other and nothing else, is mounted now.</summary>
    public bool IsPlugged => Store.IsAvailable && IdentityAt(Root) == _driveId;

    /// <summary>Holds the drive for a piece of work; null when it is not what is mounted.</summary>
    public HeldDrive? TryHold() => HeldDrive.TryTake(Root, _driveId, Store.Options);

    /// <summary>Path of the files of a drive mounted at <paramref name="root"/>.</summary>
    public static string DataPathOf(string root) => $"{root.TrimEnd('/')}/{DataDirectory}";

    /// <summary>Where copies to the drive are made before they get their names.</summary>
    public static string StagingPathOf(string root) => $"{root.TrimEnd('/')}/{StorePath.WorkingDirectory}/staging";

    /// <summary>Which drive is mounted at a directory, by its marker; null for none. Looks at once and holds nothing.</summary>
    public static Guid? IdentityAt(string root) => DriveMarker.TryRead(root)?.DriveId;
}

/// <summary>
/// A mounted drive whose marker has been read, held open: everything goes to this one mount, even if it is unmounted or another drive is mounted at the
/// same place meanwhile. While it is held, an ordinary unmount is refused by the kernel.
/// </summary>
public sealed class HeldDrive : IDisposable
{
    private readonly PosixDirectory _root;
    private readonly string _mountPath;

    private HeldDrive(PosixDirectory root, string mountPath, DriveMarker? marker, LocalStoreOptions store)
    {
        (_root, _mountPath, Marker) = (root, mountPath, marker);
        Store = new LocalStore(store with { Medium = new StoreMedium(mountPath, root.HeldPath) });
    }

    /// <summary>What the drive says of itself; null for a drive of a Python Librarian.</summary>
    public DriveMarker? Marker { get; }

    /// <summary>A path of the held root, for files in it.</summary>
    public string Path => _root.HeldPath;

    /// <summary>Its files.</summary>
    public LocalStore Store { get; }

    /// <summary>Holds what is mounted at a path, if it is that drive and its directories are in their places; null otherwise.</summary>
    /// <param name="mountPath">Absolute directory.</param>
    /// <param name="driveId">The drive that it must be; null for a drive without a marker, which must not be empty (an empty mount point would be).</param>
    /// <param name="store">Settings of the store on it.</param>
    public static HeldDrive? TryTake(string mountPath, Guid? driveId, LocalStoreOptions store)
    {
        ArgumentNullException.ThrowIfNull(store);
        PosixDirectory? root = null;
        try
        {
            root = PosixDirectory.TryOpen(mountPath);
            if (root is null) return null;
            var marker = driveId is null ? null : DriveMarker.TryRead(root.HeldPath);
            if (marker?.DriveId != driveId || (driveId is null && IsEmpty(root))) return null;
            var held = new HeldDrive(root, mountPath, marker, store);
            if (!held.Store.IsAvailable) return null;
            root = null;
            return held;
        }
        catch (PosixException)
        {
            return null;
        }
        finally
        {
            root?.Dispose();
        }
    }

    /// <summary>
    /// Whether the medium still answers: its marker, or its root, is read again and not from memory. What failed while it does not answer says
    /// nothing about single files.
    /// </summary>
    public bool Answers()
    {
        try
        {
            if (Marker is null) return !IsEmpty(_root);
            using (var file = _root.OpenFile(new EntryName(DriveMarker.FileName))) file.ForgetPages();
            return DriveMarker.TryRead(Path)?.DriveId == Marker.DriveId;
        }
        catch (PosixException)
        {
            return false;
        }
    }

    /// <summary>A message in which the held path reads as the place where the drive is mounted.</summary>
    [return: NotNullIfNotNull(nameof(message))]
    public string? Shown(string? message) => message?.Replace(Path, _mountPath, StringComparison.Ordinal);

    /// <inheritdoc />
    public void Dispose() => _root.Dispose();

    private static bool IsEmpty(PosixDirectory directory)
    {
        using var entries = directory.OpenStream();
        return !entries.TryRead(out _);
    }
}
