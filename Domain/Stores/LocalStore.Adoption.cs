using System.Globalization;
using Librarian.Domain.Checksums;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>State of the data under a name that a commit found taken.</summary>
public enum TakenStatus
{
    /// <summary>Exactly the staged data, on disk, and nobody else can change them: they may be catalogued in place.</summary>
    Identical,

    /// <summary>
    /// Exactly the staged data, but somebody else can still change them: they have further links, another owner, or are writable by others.
    /// The staged data are to replace them.
    /// </summary>
    Shared,

    /// <summary>Different data, or data that no store takes.</summary>
    Different,

    /// <summary>There are no staged data to compare with.</summary>
    StagedMissing,

    /// <summary>The data are gone, or a disk fails: try again later.</summary>
    Later,
}

/// <summary>The outcome of <see cref="LocalStore.ExamineTakenAsync"/>.</summary>
/// <param name="Status">State of the data.</param>
/// <param name="Message">Which data have the name, that they were left unchanged, and what to do.</param>
public sealed record TakenResult(TakenStatus Status, string Message);

public sealed partial class LocalStore
{
    /// <summary>Different data are read up to this many bytes beyond the declared size, only to describe them.</summary>
    private const long ReadOfOthers = 1L << 30;

    /// <summary>
    /// Compares the data under a commit's name with the staged and declared data: reads them completely from the medium, inspects their
    /// structure like that of staged data, and compares a directory member by member. Moves and removes nothing.
    /// </summary>
    /// <remarks>
    /// The caller has to find out whether the catalog knows the data, and has to reserve the name, because data that another transfer is
    /// just committing must not be adopted. A crash leaves everything unchanged, and the next call finds the same.
    /// </remarks>
    public Task<TakenResult> ExamineTakenAsync(FileCommit commit, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(commit);
        return BlockingWork.RunAsync(() => ExamineTaken(commit, cancellationToken), cancellationToken);
    }

    /// <summary>Finds links and special files that no store takes, in data inside the store.</summary>
    /// <exception cref="IOException">The operating system refused to list a directory.</exception>
    public Task<TreeInspection> InspectAsync(FileName path, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return BlockingWork.RunAsync(
            () =>
            {
                using var root = OpenRoot(_storeRoot);
                using var parent = TryOpenParent(root, path);
                return parent is null
                    ? new TreeInspection()
                    : TreeInspection.Inspect(parent, NameOf(path), checkOwners: false, cancellationToken);
            },
            cancellationToken
        );
    }

    /// <summary>A sentence about data that have a name in this store and are not the expected ones.</summary>
    private static string DescribeTaken(FileName path, FileStatus status, string what)
    {
        var changed = DateTimeOffset.UnixEpoch.AddTicks(status.ModifiedNanoseconds / 100);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"At '{path}' lie data that the catalog does not know: {what}, "
                + $"last changed {changed:yyyy-MM-dd HH:mm:ss} UTC. They were left as they are."
        );
    }

    private TakenResult ExamineTaken(FileCommit commit, CancellationToken cancellationToken)
    {
        try
        {
            return CompareTaken(commit, cancellationToken);
        }
        catch (PosixException failure)
        {
            return new TakenResult(
                TakenStatus.Later,
                $"What lies at '{commit.Destination}' could not be examined: {failure.Message}. Nothing was lost. "
                    + "Remove the cause; it is tried again."
            );
        }
    }

    private TakenResult CompareTaken(FileCommit commit, CancellationToken cancellationToken)
    {
        using var root = OpenRoot(_storeRoot);
        using var stagingRoot = OpenRoot(_stagingRoot);
        using var parent = TryOpenParent(root, commit.Destination);
        using var stagedParent = commit.UploadName is null
            ? stagingRoot.OpenDirectory(EntryName.Self)
            : TryOpenStagedParent(stagingRoot, commit.StagingName, commit.UploadName);
        var (name, stagedName) = (NameOf(commit.Destination), StagedNameOf(commit));
        if (parent?.Status(name) is not { } lying)
            return new TakenResult(
                TakenStatus.Later,
                $"Nothing lies at '{commit.Destination}' any more. Nothing was lost. It is tried again."
            );
        if (stagedParent?.Status(stagedName) is null)
            return new TakenResult(TakenStatus.StagedMissing, $"There are no staged data for '{commit.Destination}'. Send the data again.");
        // A flush that failed long ago is no longer reported, and data that it lost may still be in memory. So the data are read from
        // the disk and not from memory.
        parent.SyncFileSystem();
        Reach("adopt.flushed");
        var pass = new TreePass(
            [commit.Expected.Checksum.Algorithm],
            new DigestOptions
            {
                FromMedium = true,
                FlushToDisk = true,
                MaxBytes = MostOf(commit.Expected),
            },
            progress: null
        );
        var found = Read(commit, pass, parent, name, cancellationToken);
        if (found.Status is DigestStatus.IoError or DigestStatus.NoSpace or DigestStatus.FlushFailed or DigestStatus.Missing)
            return new TakenResult(
                TakenStatus.Later,
                $"What lies at '{commit.Destination}' cannot be read: {found.Message} Nothing was lost. "
                    + "Remove the cause; it is tried again."
            );
        if (Difference(commit, found, parent, stagedParent, cancellationToken) is { } difference)
        {
            return new TakenResult(
                TakenStatus.Different,
                $"{DescribeTaken(commit.Destination, lying, difference)} "
                    + "If they are right, catalogue them with admin/add_file; otherwise move them away, or choose another name."
            );
        }

        Reach("adopt.compared");
        if (IsShared(parent, name, cancellationToken))
            return new TakenResult(
                TakenStatus.Shared,
                $"What lies at '{commit.Destination}' is what was sent, but it has further links, "
                    + "another owner or is writable by others."
            );
        parent.Sync();
        SetModes(parent, name, cancellationToken);
        Reach("adopt.examined");
        return new TakenResult(TakenStatus.Identical, $"What lies at '{commit.Destination}' is what was sent.");
    }

    private static long MostOf(ContentDescription expected) =>
        expected.SizeBytes > long.MaxValue - ReadOfOthers ? long.MaxValue : expected.SizeBytes + ReadOfOthers;

    /// <summary>Describes the found data for a sentence; null if they are the staged ones.</summary>
    private static string? Difference(
        FileCommit commit,
        DigestResult found,
        PosixDirectory parent,
        PosixDirectory stagedParent,
        CancellationToken cancellationToken
    )
    {
        var (name, stagedName) = (NameOf(commit.Destination), StagedNameOf(commit));
        if (found.Status == DigestStatus.Changed)
            return $"more than {MostOf(commit.Expected)} bytes, or something that is being written";
        if (!found.IsComplete)
            return $"something that no store takes ({found.Message})";
        var kind = found.IsDirectory ? "a directory of " : "";
        var what = $"{kind}{found.SizeBytes} bytes with {found.Checksums[commit.Expected.Checksum.Algorithm]}";
        if (!found.Matches(commit.Expected))
            return what;
        var inspection = TreeInspection.Inspect(parent, name, checkOwners: false, cancellationToken);
        if (!inspection.IsAcceptable)
            return $"{what}, which no store takes because of {inspection.Findings[0].Finding} at '{inspection.Findings[0].Path}'";
        return TreeDifference.Find(parent, name, stagedParent, stagedName, cancellationToken) is { } where
            ? $"{what}, as was sent, but with other members ({where})"
            : null;
    }

    /// <summary>Whether somebody else can change the data under any name.</summary>
    private static bool IsShared(PosixDirectory parent, EntryName name, CancellationToken cancellationToken)
    {
        const uint OthersMayWrite = 0x12;
        var user = Libc.EffectiveUserId();
        if (parent.Status(name) is not { } status || IsInOtherHands(status))
            return true;
        if (status.Type != EntryType.Directory)
            return false;
        var levels = new Stack<(PosixDirectory Directory, DirectoryStream Stream)>();
        try
        {
            Descend(levels, parent.OpenDirectory(name));
            while (levels.TryPeek(out var level))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (!level.Stream.TryRead(out var entry))
                {
                    levels.Pop();
                    level.Stream.Dispose();
                    level.Directory.Dispose();
                    continue;
                }

                if (level.Directory.Status(entry.Name) is not { } member || IsInOtherHands(member))
                    return true;
                if (member.Type == EntryType.Directory)
                    Descend(levels, level.Directory.OpenDirectory(entry.Name));
            }

            return false;
        }
        finally
        {
            foreach (var (directory, stream) in levels)
            {
                stream.Dispose();
                directory.Dispose();
            }
        }

        // The mode of a link has no meaning, and nobody can change its target.
        bool IsInOtherHands(in FileStatus entry) =>
            entry.User != user
            || (entry.Type == EntryType.RegularFile && entry.Links > 1)
            || (entry.Type != EntryType.Symlink && (entry.Permissions & OthersMayWrite) != 0);
    }
}
