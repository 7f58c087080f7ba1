using Librarian.Domain.Checksums;
using Librarian.Domain.Stores.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    private const string Incoming = "incoming";
    private const int MaxAttempts = 32;

    /// <summary>
    /// Moves verified data from staging to their final name without ever replacing anything, and makes the move durable. On one
    /// filesystem the data themselves are renamed (they must have been flushed, see <see cref="DigestStagedAsync"/>); between
    /// filesystems, or when the store must own its data, they are copied, verified, flushed and then renamed.
    /// </summary>
    /// <remarks>
    /// <para>What a crash or power cut leaves, and what the next call with the same <see cref="Placement"/> does:</para>
    /// <list type="bullet">
    /// <item>Before the rename: the staged data, perhaps empty parents at the destination. It starts over.</item>
    /// <item>After the rename, before the flushes: the data under exactly one of the two names. At the destination they are recognised
    /// by size and checksum, so they are read once more; the remaining steps are done.</item>
    /// <item>While copying: the staged data and a partial copy in <c>.librarian/incoming</c>. The copy is discarded and made again.</item>
    /// <item>After the copy was verified: staged data and a recorded copy. It is not copied again.</item>
    /// <item>After the copy was renamed: the data at the destination, recognised by their inode, and staged data, wholly or in part.
    /// The rest of them is removed.</item>
    /// <item>Where the filesystem lacks a rename that refuses to replace (old NFS): a file gets a second link and then loses the
    /// first, so a crash leaves both names on one inode, which is recognised. A directory is renamed under a lock on its name
    /// that all sites' processes take, after a look that the name is free; the lock dies with its holder. Only a program
    /// that does not take the lock could slip in between, and then only with an empty directory.</item>
    /// </list>
    /// <para>Two calls for one destination: exactly one succeeds, the other's staged data stay as they are.</para>
    /// </remarks>
    public Task<PlaceResult> PlaceAsync(Placement placement, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(placement);
        return BlockingWork.RunAsync(() => Place(placement, cancellationToken), cancellationToken);
    }

    /// <summary>
    /// Discards the working copy of a placement that will not be tried again. Nothing there is success. The destination and the staged
    /// data are not touched.
    /// </summary>
    public Task<RemovalResult> RemoveIncomingAsync(Guid placementId, CancellationToken cancellationToken = default) => BlockingWork.RunAsync(
        () =>
        {
            try
            {
                using var root = OpenRoot(_storeRoot);
                using var incoming = TryOpenIncoming(root, placementId, out var busy);
                if (busy)
                    return new RemovalResult(RemovalStatus.IoError, "store.placement_running", $"Placement {placementId} is running; its copy was not removed. Try again when it has ended.");
                if (incoming is null)
                    return new RemovalResult(RemovalStatus.NothingThere, "store.nothing_there", $"Placement {placementId} left nothing.");
                incoming.Remove(cancellationToken);
                return new RemovalResult(RemovalStatus.Removed, "store.removed", $"The copy of placement {placementId} was removed.");
            }
            catch (PosixException failure)
            {
                return RemovalFailed(failure);
            }
        },
        cancellationToken);

    private static EntryName StagedNameOf(Placement placement) => placement.UploadName is { } name ? NameOf(name) : new EntryName(StagingName(placement.StagingName));

    private static PlaceResult Failed(PosixException failure) => failure switch
    {
        { IsNoSpace: true } => NoSpace(failure.Message),
        { Errno: Errno.NotADirectory or Errno.TooManyLinks } => new PlaceResult(
            PlaceStatus.IoError,
            "store.path_blocked",
            $"A component of the path is a file or a symbolic link, which is not followed: {failure.Message}. The staged data are untouched. Choose another name."),
        _ => new PlaceResult(
            PlaceStatus.IoError,
            "store.io_error",
            $"The data could not be placed: {failure.Message}. Nothing was lost. Remove the cause and try again."),
    };

    private static PlaceResult NoSpace(string message) => new(
        PlaceStatus.NoSpace,
        "store.no_space",
        $"The store is full: {message}. The staged data are untouched. Free space and try again.");

    private static PlaceResult Placed(Placement placement, bool recovered) => new(
        PlaceStatus.Placed,
        "store.placed",
        $"The data are at '{placement.Destination}'.")
    { Recovered = recovered };

    private static PlaceResult TargetExists(Placement placement) => new(
        PlaceStatus.TargetExists,
        "store.target_exists",
        $"'{placement.Destination}' exists already and was left as it is, and so were the staged data. Choose another name.");

    private PlaceResult Place(Placement placement, CancellationToken cancellationToken, bool flush = true)
    {
        try
        {
            for (var attempt = 0; attempt < MaxAttempts; attempt++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (TryPlace(placement, flush, cancellationToken) is { } result)
                    return result;
            }

            return new PlaceResult(PlaceStatus.IoError, "store.contention", "Other work kept moving the directories involved. Nothing was lost. Try again.");
        }
        catch (PosixException failure)
        {
            return Failed(failure);
        }
    }

    /// <summary>Looks at what is there and does what remains to be done.</summary>
    /// <returns>
    /// Null when something appeared or vanished between the look and the deed: look again. What appeared may be the work of another
    /// call for the same placement.
    /// </returns>
    private PlaceResult? TryPlace(Placement placement, bool flush, CancellationToken cancellationToken)
    {
        using var root = TryOpenRoot(_storeRoot);
        using var stagingRoot = TryOpenRoot(_stagingRoot);
        if (root is null || stagingRoot is null)
            return new PlaceResult(PlaceStatus.IoError, "store.unavailable", $"Store '{Options.Name}' is not available. Nothing was lost. Mount it and try again.");

        using var incoming = TryOpenIncoming(root, placement.PlacementId, out var busy);
        if (busy)
            return Running(placement);
        using var stagedParent = placement.UploadName is null ? stagingRoot.OpenDirectory(EntryName.Self) : TryOpenStagedParent(stagingRoot, placement.StagingName, placement.UploadName);
        var stagedName = StagedNameOf(placement);
        var staged = stagedParent?.Status(stagedName);

        using (var existingParent = TryOpenParent(root, placement.Destination))
        {
            if (existingParent?.Status(NameOf(placement.Destination)) is { } target)
                return RecogniseTarget(placement, existingParent, target, stagedParent, staged, incoming, cancellationToken);
        }

        if (incoming?.HasVerifiedData() == true)
            return MoveCopy(placement, root, incoming, stagedParent, cancellationToken);
        if (stagedParent is null || staged is null)
        {
            return new PlaceResult(
                PlaceStatus.StagedMissing,
                "store.staged_missing",
                $"There are no staged data for '{placement.Destination}', and nothing is at the destination. Send the data again.");
        }

        var changeModes = Options.ReadonlyAfterCommit && Libc.EffectiveUserId() != 0;
        var inspection = TreeInspection.Inspect(stagedParent, stagedName, changeModes, cancellationToken);
        if (!inspection.IsAcceptable)
        {
            return new PlaceResult(
                PlaceStatus.Refused,
                "store.structure_refused",
                $"The staged data cannot be committed: {inspection.Findings[0].Finding} at '{inspection.Findings[0].Path}'. They are untouched. Replace links by the files they lead to.")
            { Inspection = inspection };
        }

        return Options.OwnAfterCommit || (changeModes && inspection.HasForeignOwner)
            ? PlaceByCopy(placement, root, stagedParent, incoming, cancellationToken)
            : PlaceByRename(placement, root, stagedParent, incoming, flush, cancellationToken);
    }

    private static PlaceResult Running(Placement placement) => new(
        PlaceStatus.IoError,
        "store.placement_running",
        $"Placement {placement.PlacementId} is already running. Nothing was lost. Wait for it and try again.");

    /// <summary>Something has the final name: ours from an interrupted attempt, or somebody else's.</summary>
    private PlaceResult RecogniseTarget(
        Placement placement,
        PosixDirectory parent,
        FileStatus target,
        PosixDirectory? stagedParent,
        FileStatus? staged,
        IncomingCopy? incoming,
        CancellationToken cancellationToken)
    {
        if (incoming?.VerifiedIdentity() == target.Identity)
        {
            FinishCopy(placement, parent, incoming, stagedParent, cancellationToken);
            return Placed(placement, recovered: true);
        }

        if (staged is null)
        {
            var pass = new TreePass([placement.Expected.Checksum.Algorithm], new DigestOptions { FlushToDisk = true }, progress: null);
            var content = Read(placement, pass, parent, NameOf(placement.Destination), cancellationToken);
            if (!content.Matches(placement.Expected))
            {
                return new PlaceResult(
                    PlaceStatus.StagedMissing,
                    "store.staged_missing",
                    $"There are no staged data for '{placement.Destination}', and the destination holds other data, which were left as they are. Send the data again under another name.")
                { Actual = content };
            }

            FinishRename(placement, parent, stagedParent, cancellationToken);
            return Placed(placement, recovered: true);
        }

        if (staged.Value.Identity == target.Identity)
        {
            TreeRemoval.Remove(stagedParent!, StagedNameOf(placement), cancellationToken);
            FinishRename(placement, parent, stagedParent, cancellationToken);
            return Placed(placement, recovered: true);
        }

        incoming?.Remove(cancellationToken);
        return TargetExists(placement);
    }

    private PlaceResult? PlaceByRename(Placement placement, PosixDirectory root, PosixDirectory stagedParent, IncomingCopy? earlier, bool flush, CancellationToken cancellationToken)
    {
        Reach("place.before-parents");
        using var parent = OpenOrMakeParent(root, placement.Destination, durably: true);
        if (parent is null)
            return null;
        Reach("place.before-rename");
        switch (MoveWithoutReplacing(root, stagedParent, StagedNameOf(placement), parent, placement.Destination))
        {
            case Move.OtherFilesystem:
                return PlaceByCopy(placement, root, stagedParent, earlier, cancellationToken);
            case Move.TargetTaken:
            case Move.SomethingVanished:
                return null;
        }

        Reach("place.after-rename");
        if (flush) FinishRename(placement, parent, stagedParent, cancellationToken);
        else SetModes(parent, NameOf(placement.Destination), cancellationToken);
        return Placed(placement, recovered: false);
    }

    private void FinishRename(Placement placement, PosixDirectory parent, PosixDirectory? stagedParent, CancellationToken cancellationToken)
    {
        parent.Sync();
        Reach("place.target-synced");
        SetModes(parent, NameOf(placement.Destination), cancellationToken);
        Reach("place.modes-set");
        stagedParent?.Sync();
        Reach("place.staging-synced");
    }

    private PlaceResult? PlaceByCopy(Placement placement, PosixDirectory root, PosixDirectory stagedParent, IncomingCopy? earlier, CancellationToken cancellationToken)
    {
        using var made = earlier is null ? OpenOrMakeIncoming(root, placement.PlacementId) : null;
        var incoming = earlier ?? made;
        if (incoming is null)
            return Running(placement);
        incoming.Clear(cancellationToken);
        Reach("place.incoming-made");

        var plan = new CopyPlan(incoming.Directory, IncomingCopy.Data, FollowSymlinks: false, GroupWritable: false);
        var pass = new TreePass([placement.Expected.Checksum.Algorithm], new DigestOptions { FlushToDisk = true }, progress: null, plan);
        var content = Read(placement, pass, stagedParent, StagedNameOf(placement), cancellationToken);
        if (!content.Matches(placement.Expected))
        {
            incoming.Remove(cancellationToken);
            return content.Status switch
            {
                DigestStatus.Missing => null,
                DigestStatus.NoSpace => NoSpace(content.Message!),
                DigestStatus.IoError => new PlaceResult(
                    PlaceStatus.IoError,
                    "store.io_error",
                    $"The data could not be copied into the store: {content.Message}. Nothing was lost. Remove the cause and try again."),
                _ => new PlaceResult(
                    PlaceStatus.Mismatch,
                    "store.mismatch",
                    $"The staged data are not what was declared ({content.Message ?? "size or checksum differ"}). They are untouched; nothing was committed. Send the data again.")
                { Actual = content },
            };
        }

        Reach("place.copied");
        incoming.RecordIdentity();
        Reach("place.identity-recorded");
        return MoveCopy(placement, root, incoming, stagedParent, cancellationToken);
    }

    private static DigestResult Read(Placement placement, TreePass pass, PosixDirectory parent, EntryName name, CancellationToken cancellationToken)
    {
        placement.Readers?.Wait(cancellationToken);
        try
        {
            return pass.DigestEntry(parent, name, cancellationToken);
        }
        finally
        {
            placement.Readers?.Release();
        }
    }

    private PlaceResult? MoveCopy(Placement placement, PosixDirectory root, IncomingCopy incoming, PosixDirectory? stagedParent, CancellationToken cancellationToken)
    {
        using var parent = OpenOrMakeParent(root, placement.Destination, durably: true);
        if (parent is null)
            return null;
        Reach("place.before-copy-rename");
        switch (MoveWithoutReplacing(root, incoming.Directory, IncomingCopy.Data, parent, placement.Destination))
        {
            case Move.OtherFilesystem:
                throw new PosixException(Errno.CrossDevice, "rename within the store (another filesystem is mounted below its root)", placement.Destination.Value);
            case Move.TargetTaken:
            case Move.SomethingVanished:
                return null;
        }

        Reach("place.after-copy-rename");
        FinishCopy(placement, parent, incoming, stagedParent, cancellationToken);
        return Placed(placement, recovered: false);
    }

    private void FinishCopy(Placement placement, PosixDirectory parent, IncomingCopy incoming, PosixDirectory? stagedParent, CancellationToken cancellationToken)
    {
        parent.Sync();
        incoming.Directory.Sync();
        Reach("place.copy-synced");
        SetModes(parent, NameOf(placement.Destination), cancellationToken);
        Reach("place.copy-modes-set");
        if (stagedParent is not null)
        {
            try
            {
                TreeRemoval.Remove(stagedParent, StagedNameOf(placement), cancellationToken);
                stagedParent.Sync();
            }
            catch (PosixException)
            {
                // The data are committed; what stays in staging is removed with its directory, and reported there if that fails too.
            }
        }

        Reach("place.staged-removed");
        incoming.Remove(cancellationToken);
        Reach("place.incoming-removed");
    }

    private static IncomingCopy? TryOpenIncoming(PosixDirectory root, Guid placementId, out bool busy)
    {
        busy = false;
        using var working = root.TryOpenDirectory(Working);
        var incoming = working?.TryOpenDirectory(new EntryName(Incoming));
        var name = new EntryName(placementId.ToString("D"));
        var directory = incoming?.TryOpenDirectory(name);
        if (directory is null)
        {
            incoming?.Dispose();
            return null;
        }

        var copy = IncomingCopy.TryLock(incoming!, name, directory);
        busy = copy is null;
        return copy;
    }

    private IncomingCopy? OpenOrMakeIncoming(PosixDirectory root, Guid placementId)
    {
        var incoming = OpenWorkingDirectory(root, Incoming);
        var name = new EntryName(placementId.ToString("D"));
        var directory = OpenOrMake(incoming, name, PrivateDirectory) ?? throw new PosixException(Errno.NoEntry, "opening", incoming.PathOf(name));
        return IncomingCopy.TryLock(incoming, name, directory);
    }
}
