using Librarian.Domain.Checksums;
using Librarian.Domain.Stores.Posix;

namespace Librarian.Domain.Stores;

/// <summary>How setting committed data aside ended.</summary>
public enum AsideStatus
{
    /// <summary>They are out of the way now.</summary>
    Moved,

    /// <summary>An earlier call with the same id has done it; what lies under the name now is not what was set aside.</summary>
    MovedBefore,

    /// <summary>Nothing lies under the name.</summary>
    NothingThere,

    /// <summary>The operating system refused a step; nothing was lost, and calling again is safe.</summary>
    IoError,
}

/// <summary>The outcome of <see cref="LocalStore.SetAsideAsync"/> and <see cref="LocalStore.BringBackAsync"/>.</summary>
/// <param name="Status">How it ended.</param>
/// <param name="Message">What happened and what to do next.</param>
public sealed record AsideResult(AsideStatus Status, string Message);

/// <remarks>
/// Bad data whose replacement is here leave their name but not the disk: they go to <c>.librarian/aside/&lt;id&gt;/data</c> in one rename that
/// replaces nothing, and stay there for days. As long as they do, a second call with the same id finds the place taken and leaves the name
/// alone, so a run that was stalled for hours cannot move the good replacement away.
/// </remarks>
public sealed partial class LocalStore
{
    private const string Aside = "aside";
    private static readonly EntryName AsideData = new("data");

    /// <summary>Moves committed data out of the way, under an id of the caller's.</summary>
    public Task<AsideResult> SetAsideAsync(StorePath path, Guid id, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return BlockingWork.RunAsync(() => AtAside(id, (root, aside) =>
        {
            if (aside.Status(AsideData) is not null) return new AsideResult(AsideStatus.MovedBefore, $"'{path}' was set aside before.");
            using var parent = TryOpenParent(root, path);
            if (parent?.Status(NameOf(path)) is not { } status) return new AsideResult(AsideStatus.NothingThere, $"Nothing lies at '{path}'.");
            Reach("aside.before-rename");
            // Moving a directory to another parent needs write access to the directory itself, which committed ones may lack.
            if (status.Type == EntryType.Directory && (status.Permissions & 0x80) == 0 && Libc.EffectiveUserId() != 0)
                parent.SetDirectoryPermissions(NameOf(path), status.Permissions | PrivateDirectory);
            return Exchange(root, path, parent, NameOf(path), aside, AsideData, "set aside");
        }), cancellationToken);
    }

    /// <summary>Whether something is set aside under this id.</summary>
    public Task<bool> IsAsideAsync(Guid id, CancellationToken cancellationToken = default) => BlockingWork.RunAsync(
        () =>
        {
            using var root = TryOpenRoot(_storeRoot);
            using var working = root?.TryOpenDirectory(Working);
            using var all = working?.TryOpenDirectory(new EntryName(Aside));
            using var one = all?.TryOpenDirectory(new EntryName(id.ToString("D")));
            return one?.Status(AsideData) is not null;
        },
        cancellationToken);

    /// <summary>Moves what was set aside back to its name, if that is free: its replacement has been lost.</summary>
    public Task<AsideResult> BringBackAsync(StorePath path, Guid id, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return BlockingWork.RunAsync(() => AtAside(id, (root, aside) =>
        {
            if (aside.Status(AsideData) is null) return new AsideResult(AsideStatus.NothingThere, "Nothing is set aside.");
            using var parent = OpenOrMakeParent(root, path, durably: true);
            if (parent is null) return new AsideResult(AsideStatus.IoError, "The directories above the name are being removed. Try again.");
            return Exchange(root, path, aside, AsideData, parent, NameOf(path), "brought back");
        }), cancellationToken);
    }

    /// <summary>Deletes what was set aside before this moment. Safe to repeat; a crash leaves the rest for the next call.</summary>
    public Task<int> RemoveAsideAsync(DateTimeOffset before, CancellationToken cancellationToken = default) => BlockingWork.RunAsync(
        () =>
        {
            using var root = TryOpenRoot(_storeRoot);
            using var working = root?.TryOpenDirectory(Working);
            using var all = working?.TryOpenDirectory(new EntryName(Aside));
            if (all is null) return 0;
            var old = new List<EntryName>();
            using (var stream = all.OpenStream())
            {
                while (stream.TryRead(out var entry))
                {
                    // The directory changed when the data came into it.
                    if (all.Status(entry.Name) is { Type: EntryType.Directory } status && DateTimeOffset.UnixEpoch.AddTicks(status.ModifiedNanoseconds / 100) < before) old.Add(entry.Name);
                }
            }

            foreach (var name in old) TreeRemoval.Remove(all, name, cancellationToken);
            return old.Count;
        },
        cancellationToken);

    private AsideResult AtAside(Guid id, Func<PosixDirectory, PosixDirectory, AsideResult> act)
    {
        try
        {
            using var root = TryOpenRoot(_storeRoot);
            if (root is null) return new AsideResult(AsideStatus.IoError, $"Store '{Options.Name}' is not available. Mount it and try again.");
            using var all = OpenWorkingDirectory(root, Aside);
            using var one = OpenOrMake(all, new EntryName(id.ToString("D")), PrivateDirectory) ?? throw new PosixException(Errno.NoEntry, "opening", all.PathOf(new EntryName(id.ToString("D"))));
            return act(root, one);
        }
        catch (PosixException failure)
        {
            return new AsideResult(AsideStatus.IoError, $"{failure.Message}. Nothing was lost. Remove the cause and try again.");
        }
    }

    private AsideResult Exchange(PosixDirectory root, StorePath path, PosixDirectory from, EntryName name, PosixDirectory to, EntryName newName, string done)
    {
        try
        {
            if (_faults?.LacksRenameWithoutReplacing == true) throw new PosixException(Errno.Invalid, "rename", from.PathOf(name));
            from.RenameWithoutReplacing(name, to, newName);
        }
        catch (PosixException failure) when (failure.Errno is Errno.Invalid or Errno.NotImplemented or Errno.NotSupported)
        {
            using var held = LockName(root, path);
            if (to.Status(newName) is not null) return new AsideResult(AsideStatus.MovedBefore, $"'{path}' was {done} before.");
            from.Rename(name, to, newName);
        }
        catch (PosixException failure) when (failure.Errno == Errno.Exists)
        {
            return new AsideResult(AsideStatus.MovedBefore, $"'{path}' was {done} before.");
        }
        catch (PosixException failure) when (failure.Errno == Errno.NoEntry)
        {
            return new AsideResult(AsideStatus.NothingThere, $"'{path}' has gone.");
        }

        Reach("aside.after-rename");
        to.Sync();
        from.Sync();
        return new AsideResult(AsideStatus.Moved, $"'{path}' was {done}.");
    }
}
