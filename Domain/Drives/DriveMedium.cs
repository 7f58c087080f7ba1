using System.Diagnostics.CodeAnalysis;
using Librarian.Domain.Catalog;
using Librarian.Domain.Formats;
using Librarian.Domain.Posix;
using Librarian.Domain.Security;
using Librarian.Domain.Stores;

namespace Librarian.Domain.Drives;

/// <summary>
/// A drive of this site, whether mounted now or not. A directory without the drive's marker is not the drive: nothing is read from it or
/// written to it, so an empty mount point is never taken for an empty drive.
/// </summary>
public sealed class DriveMedium
{
    private readonly Guid _driveId;

    /// <param name="drive">The catalog's row.</param>
    public DriveMedium(Drive drive)
    {
        ArgumentNullException.ThrowIfNull(drive);
        _driveId = drive.DriveId;
        Store = new LocalStore(DriveStore.OptionsOf(drive));
    }

    /// <summary>The mount path.</summary>
    public string Root => Store.Options.Medium!.MountPath;

    /// <summary>Its files, by path, for a probe. Work on a drive goes through <see cref="TryHold"/>.</summary>
    public LocalStore Store { get; }

    /// <summary>Whether this drive, and no other, is mounted now.</summary>
    public bool IsPlugged => Store.IsAvailable;

    /// <summary>Opens the drive for a piece of work; null when it is not mounted.</summary>
    public OpenDrive? TryHold() => OpenDrive.TryTake(Root, _driveId, Store.Options);

    /// <summary>
    /// Whether the drive's two directories can be opened and are on the mounted file system itself, whatever the marker says. Check it
    /// before a marker is written; later calls check for the drive.
    /// </summary>
    public bool HasDirectories => new LocalStore(Store.Options with { Medium = new StoreMedium(Root, Root) }).IsAvailable;

    /// <summary>The marker of a drive of this site.</summary>
    /// <param name="drive">The catalog's row.</param>
    /// <param name="key">The site's key.</param>
    /// <param name="site">The site.</param>
    /// <param name="trip">The trip.</param>
    /// <param name="now">UTC time.</param>
    public static DriveMarker MarkerOf(Drive drive, SitePublicKey key, string site, int trip, DateTime now)
    {
        ArgumentNullException.ThrowIfNull(drive);
        return new DriveMarker
        {
            DriveId = drive.DriveId,
            Name = drive.Name,
            Site = site,
            SiteKey = key,
            Destination = drive.Destination,
            Trip = trip,
            Initialised = new DateTime(now.Ticks - (now.Ticks % 10), DateTimeKind.Utc),
        };
    }
}

/// <summary>
/// A mounted drive whose marker was read and whose root stays open: all access goes to this one mount, even if it is unmounted or another
/// drive is mounted at the same path meanwhile. While it is open, the kernel refuses an ordinary unmount.
/// </summary>
public sealed class OpenDrive : IDisposable
{
    private readonly PosixDirectory _root;
    private readonly string _mountPath;

    private OpenDrive(PosixDirectory root, string mountPath, DriveMarker? marker, LocalStoreOptions store)
    {
        (_root, _mountPath, Marker) = (root, mountPath, marker);
        Store = new LocalStore(store with { Medium = new StoreMedium(mountPath, root.HeldPath) });
    }

    /// <summary>The drive's marker; null for a drive of a Python Librarian.</summary>
    public DriveMarker? Marker { get; }

    /// <summary>A path of the open root, for files in it.</summary>
    public string Path => _root.HeldPath;

    public LocalStore Store { get; }

    /// <summary>Opens the drive that is mounted at a path, if it is the expected one and has its directories; null otherwise.</summary>
    /// <param name="mountPath">Absolute directory.</param>
    /// <param name="driveId">The expected drive; null for a drive without a marker, which must not be empty (an empty mount point would
    /// be).</param>
    /// <param name="store">Settings of the store on it.</param>
    public static OpenDrive? TryTake(string mountPath, Guid? driveId, LocalStoreOptions store)
    {
        ArgumentNullException.ThrowIfNull(store);
        PosixDirectory? root = null;
        try
        {
            root = PosixDirectory.TryOpen(mountPath);
            if (root is null)
                return null;
            var marker = driveId is null ? null : DriveMarker.TryRead(root.HeldPath);
            if (marker?.DriveId != driveId || (driveId is null && IsEmpty(root)))
                return null;
            var held = new OpenDrive(root, mountPath, marker, store);
            if (!held.Store.IsAvailable)
                return null;
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
    /// Whether the medium still answers: its marker, or its root, is read from the medium again and not from the page cache. Failures while
    /// it does not answer say nothing about single files.
    /// </summary>
    public bool Answers()
    {
        try
        {
            if (Marker is null)
                return !IsEmpty(_root);
            using (var file = _root.OpenFile(new EntryName(DriveMarker.FileName)))
                file.ForgetPages();
            return DriveMarker.TryRead(Path)?.DriveId == Marker.DriveId;
        }
        catch (PosixException)
        {
            return false;
        }
    }

    /// <summary>Replaces the path of the open root in a message by the mount path.</summary>
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
