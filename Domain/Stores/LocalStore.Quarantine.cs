using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>How a move to or from quarantine ended.</summary>
public enum QuarantineStatus
{
    /// <summary>The data were moved.</summary>
    Moved,

    /// <summary>An earlier call with the same id moved them; other data have the name now.</summary>
    MovedBefore,

    /// <summary>No data have the name.</summary>
    NothingThere,

    /// <summary>The operating system refused a step. Nothing was lost, and calling again is safe.</summary>
    IoError,
}

/// <summary>The outcome of <see cref="LocalStore.QuarantineAsync"/> and <see cref="LocalStore.RestoreFromQuarantineAsync"/>.</summary>
/// <param name="Status">How it ended.</param>
/// <param name="Message">What happened and what to do next.</param>
public sealed record QuarantineResult(QuarantineStatus Status, string Message);

/// <remarks>
/// Bad data whose replacement is here lose their name but stay on disk: one rename, which replaces nothing, moves them to quarantine,
/// <c>.librarian/aside/&lt;id&gt;/data</c>, where they stay for days. During that time another call with the same id finds the directory
/// occupied and leaves the name unchanged, so a run that was stalled for hours cannot move the good replacement away.
/// </remarks>
public sealed partial class LocalStore
{
    private const string QuarantineDirectory = "aside";
    private static readonly EntryName QuarantinedData = new("data");

    /// <summary>Moves committed data to quarantine, under an id that the caller chooses.</summary>
    public Task<QuarantineResult> QuarantineAsync(FileName path, Guid id, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return BlockingWork.RunAsync(() => InQuarantine(id, (root, quarantine) =>
                {
                    if (quarantine.Status(QuarantinedData) is not null)
                        return new QuarantineResult(QuarantineStatus.MovedBefore, $"'{path}' was quarantined before.");
                    using var parent = TryOpenParent(root, path);
                    if (parent?.Status(NameOf(path)) is not { } status)
                        return new QuarantineResult(QuarantineStatus.NothingThere, $"Nothing lies at '{path}'.");
                    Reach("aside.before-rename");
                    // Moving a directory to another parent needs write permission for the directory itself, which committed directories
                    // may lack.
                    if (status.Type == EntryType.Directory && (status.Permissions & 0x80) == 0 && Libc.EffectiveUserId() != 0)
                        parent.SetDirectoryPermissions(NameOf(path), status.Permissions | PrivateDirectory);
                    return Exchange(root, path, parent, NameOf(path), quarantine, QuarantinedData, "quarantined");
                }), cancellationToken);
    }

    /// <summary>Whether quarantine holds data under this id.</summary>
    public Task<Presence> IsQuarantinedAsync(Guid id, CancellationToken cancellationToken = default) =>
        BlockingWork.RunAsync(
            () =>
            {
                using var root = TryOpenRoot(_storeRoot);
                if (root is null)
                    return Presence.Unknown;
                using var working = root.TryOpenDirectory(Working);
                using var all = working?.TryOpenDirectory(new EntryName(QuarantineDirectory));
                using var one = all?.TryOpenDirectory(new EntryName(id.ToString("D")));
                return one?.Status(QuarantinedData) is not null ? Presence.Present : Presence.Absent;
            },
            cancellationToken
        );

    /// <summary>Moves data from quarantine back to their name, if it is free, because their replacement was lost.</summary>
    public Task<QuarantineResult> RestoreFromQuarantineAsync(FileName path, Guid id, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return BlockingWork.RunAsync(() => InQuarantine(id, (root, quarantine) =>
                {
                    if (quarantine.Status(QuarantinedData) is null)
                        return new QuarantineResult(QuarantineStatus.NothingThere, "Nothing is quarantined.");
                    using var parent = OpenOrMakeParent(root, path, durably: true);
                    if (parent is null)
                        return new QuarantineResult(
                            QuarantineStatus.IoError,
                            "The directories above the name are being removed. Try again."
                        );
                    return Exchange(root, path, quarantine, QuarantinedData, parent, NameOf(path), "brought back");
                }), cancellationToken);
    }

    /// <summary>
    /// Deletes data that were moved to quarantine before this moment. Safe to repeat; a crash leaves the rest for the next call.
    /// </summary>
    public Task<int> PurgeQuarantineAsync(DateTimeOffset before, CancellationToken cancellationToken = default) =>
        BlockingWork.RunAsync(
            () =>
            {
                using var root = TryOpenRoot(_storeRoot);
                using var working = root?.TryOpenDirectory(Working);
                using var all = working?.TryOpenDirectory(new EntryName(QuarantineDirectory));
                if (all is null)
                    return 0;
                var old = new List<EntryName>();
                using (var stream = all.OpenStream())
                {
                    while (stream.TryRead(out var entry))
                    {
                        // The directory's modification time is when the data were moved into it.
                        if (
                            all.Status(entry.Name) is { Type: EntryType.Directory } status
                            && DateTimeOffset.UnixEpoch.AddTicks(status.ModifiedNanoseconds / 100) < before
                        )
                            old.Add(entry.Name);
                    }
                }

                PosixException? first = null;
                foreach (var name in old)
                {
                    try
                    {
                        TreeRemoval.Remove(all, name, cancellationToken);
                    }
                    catch (PosixException failure)
                    {
                        // An entry that nobody may remove does not keep the others.
                        first ??= failure;
                    }
                }

                return first is null ? old.Count : throw first;
            },
            cancellationToken
        );

    private QuarantineResult InQuarantine(Guid id, Func<PosixDirectory, PosixDirectory, QuarantineResult> act)
    {
        try
        {
            using var root = TryOpenRoot(_storeRoot);
            if (root is null)
                return new QuarantineResult(QuarantineStatus.IoError, $"Store '{Options.Name}' is not available. Mount it and try again.");
            using var all = OpenWorkingDirectory(root, QuarantineDirectory);
            using var one = OpenOrMake(all, new EntryName(id.ToString("D")), PrivateDirectory)
                ?? throw new PosixException(Errno.NoEntry, "opening", all.PathOf(new EntryName(id.ToString("D"))));
            return act(root, one);
        }
        catch (PosixException failure)
        {
            return new QuarantineResult(QuarantineStatus.IoError, $"{failure.Message}. Nothing was lost. Remove the cause and try again.");
        }
    }

    private QuarantineResult Exchange(
        PosixDirectory root,
        FileName path,
        PosixDirectory from,
        EntryName name,
        PosixDirectory to,
        EntryName newName,
        string done
    )
    {
        try
        {
            if (_faults?.LacksRenameWithoutReplacing == true)
                throw new PosixException(Errno.Invalid, "rename", from.PathOf(name));
            from.RenameWithoutReplacing(name, to, newName);
        }
        catch (PosixException failure) when (failure.Errno is Errno.Invalid or Errno.NotImplemented or Errno.NotSupported)
        {
            using var held = LockName(root, path);
            if (to.Status(newName) is not null)
                return new QuarantineResult(QuarantineStatus.MovedBefore, $"'{path}' was {done} before.");
            from.Rename(name, to, newName);
        }
        catch (PosixException failure) when (failure.Errno == Errno.Exists)
        {
            return new QuarantineResult(QuarantineStatus.MovedBefore, $"'{path}' was {done} before.");
        }
        catch (PosixException failure) when (failure.Errno == Errno.NoEntry)
        {
            return new QuarantineResult(QuarantineStatus.NothingThere, $"'{path}' has gone.");
        }

        Reach("aside.after-rename");
        try
        {
            to.Sync();
            from.Sync();
        }
        catch (PosixException failure) when (failure.IsFlush)
        {
            // Moved back, so that the next attempt writes both entries anew: flushing them once more would prove nothing.
            RenameBack(to, newName, from, name);
            throw;
        }

        return new QuarantineResult(QuarantineStatus.Moved, $"'{path}' was {done}.");
    }
}
