using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Librarian.Domain.Checksums;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>A file or directory of one store that is to be copied into another.</summary>
/// <param name="Source">Its name in the store that is read.</param>
/// <param name="Name">Its name in the store that is written.</param>
/// <param name="Expected">Its content as the catalog declares it.</param>
/// <param name="Id">
/// Names this addition, its staging directory and its commit: the same for every attempt, and different from all other additions.
/// </param>
public sealed record Addition(FileName Source, FileName Name, ContentDescription Expected, Guid Id)
{
    /// <summary>SHA-256 that a single file must have, too, in lower-case hexadecimal; null if unknown.</summary>
    public string? ExpectedSha256 { get; init; }

    /// <summary>Expected <see cref="MemberFingerprint"/> of a directory, which includes names; null if unknown.</summary>
    public string? ExpectedMembers { get; init; }

    /// <summary>
    /// Returns true for the path of a directory entry that is not part of the data and is not copied; null if everything is. Called on one
    /// thread.
    /// </summary>
    public Func<string, bool>? LeaveOut { get; init; }
}

/// <summary>How an addition ended.</summary>
public enum AdditionStatus
{
    /// <summary>The copy has its name, is on disk, and was read back from there.</summary>
    Added,

    /// <summary>The source does not exist.</summary>
    SourceMissing,

    /// <summary>The source differs from the expected content: it is damaged or changing.</summary>
    SourceDiffers,

    /// <summary>The copy could not be read back equal, so the medium that was written is bad. Nothing of the copy was kept.</summary>
    CopyDiffers,

    /// <summary>Other data have the name; they were left unchanged.</summary>
    NameTaken,

    /// <summary>The store is full. Nothing of the copy was kept.</summary>
    NoSpace,

    /// <summary>The source contains links or special files that no store takes.</summary>
    Refused,

    /// <summary>The store's medium cannot hold one of the names or links, or a file of that size. Another medium may.</summary>
    Unfit,

    /// <summary>The operating system refused to read the source.</summary>
    SourceError,

    /// <summary>The operating system refused to write to the store.</summary>
    IoError,
}

/// <summary>The outcome of one addition.</summary>
/// <param name="Addition">The addition.</param>
/// <param name="Status">How it ended.</param>
/// <param name="Message">For people.</param>
public sealed record AdditionResult(Addition Addition, AdditionStatus Status, string Message)
{
    /// <summary>SHA-256 of a single file, lower-case hexadecimal; null for a directory.</summary>
    public string? Sha256 { get; init; }

    /// <summary>Number of regular files in it; 1 for a single file.</summary>
    public long Files { get; init; }

    public bool IsDirectory { get; init; }

    /// <summary>
    /// For an added file: it had its name already, from an interrupted attempt or from before the catalog's memory. The caller has to make
    /// sure that no other catalogued file has its data there.
    /// </summary>
    public bool WasThere { get; init; }

    /// <summary>
    /// For a directory, if requested: a file with one JSON line per member (<see cref="MemberLine"/>), in no order. The caller removes it.
    /// </summary>
    public string? MembersFile { get; init; }
}

/// <summary>One member in <see cref="AdditionResult.MembersFile"/>.</summary>
/// <param name="Path">Relative to the directory.</param>
/// <param name="Size">In bytes.</param>
/// <param name="Sha256">Lower-case hexadecimal.</param>
public sealed record MemberLine(string Path, long Size, string Sha256);

public sealed record AdditionOptions
{
    /// <summary>
    /// How many files are copied at the same time. Default: 2. Small files are read back with four times as many threads. Use 1 for a
    /// single slow disk; then this does not apply.
    /// </summary>
    public int Parallelism { get; init; } = 2;

    /// <summary>Directory for the lists of members; null if no lists are wanted.</summary>
    public string? SpoolDirectory { get; init; }

    /// <summary>Receives the number of bytes copied since the last call, from several threads.</summary>
    public Action<long>? OnBytes { get; init; }

    /// <summary>
    /// Returns why a member of a directory may not be taken, by its path; null accepts the member. The directory is then
    /// <see cref="AdditionStatus.Refused"/>.
    /// </summary>
    public Func<string, string?>? RefuseMember { get; init; }

    /// <summary>
    /// Returns why the medium cannot hold a member of a directory, by its path; null accepts the member. The directory is then
    /// <see cref="AdditionStatus.Unfit"/>.
    /// </summary>
    public Func<string, string?>? UnfitMember { get; init; }

    /// <summary>
    /// Called before each file is begun. False (the store is not mounted) ends the batch: files not yet begun are
    /// <see cref="AdditionStatus.IoError"/>.
    /// </summary>
    public Func<bool>? MayWrite { get; init; }
}

/// <summary>
/// Tells two sets of members apart without keeping either: the sum, modulo 2^256, of a SHA-256 per member over its path, size and digest.
/// The sum does not depend on the order, so any number of reader threads may produce the members.
/// </summary>
public sealed class MemberFingerprint
{
    private readonly ulong[] _sum = new ulong[4];

    public long Count { get; private set; }

    /// <summary>Adds one member; not thread-safe.</summary>
    public void Add(string path, long size, string digest)
    {
        Span<byte> hash = stackalloc byte[32];
        // Hashes the bytes of the path, because two names that are not UTF-8 are two members.
        SHA256.HashData(
            [
                .. PathBytes.ToZeroTerminated(path),
                .. Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{size}\0{digest}")),
            ],
            hash
        );
        UInt128 carry = 0;
        for (var i = 0; i < 4; i++)
        {
            carry += (UInt128)_sum[i] + BitConverter.ToUInt64(hash.Slice(i * 8, 8));
            _sum[i] = (ulong)carry;
            carry >>= 64;
        }

        Count++;
    }

    /// <inheritdoc />
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Count}:{_sum[3]:x16}{_sum[2]:x16}{_sum[1]:x16}{_sum[0]:x16}");
}

public sealed partial class LocalStore
{
    private const long SmallFile = 256 << 10;

    /// <summary>
    /// Copies files of another store into this one and verifies both sides: the source is compared with the expected content, and the copy
    /// is read back from the medium, not from memory. The file system is flushed once for all files, so that many small files cost few
    /// flushes.
    /// </summary>
    /// <remarks>
    /// Steps: copy into a staging entry that is named by the addition's id, flush, read back, rename without replacing, flush. A crash
    /// leaves those entries and, after the rename, data under their names that the caller has not recorded. Another call with the same
    /// additions removes the former and recognises the latter by reading them (<see cref="CommitFileAsync"/>). A failure of one file is its
    /// result and does not affect the others.
    /// </remarks>
    public Task<IReadOnlyList<AdditionResult>> AddAsync(
        LocalStore source,
        IReadOnlyList<Addition> additions,
        AdditionOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(additions);
        return BlockingWork.RunAsync(() => Add(source, additions, options ?? new AdditionOptions(), cancellationToken), cancellationToken);
    }

    private IReadOnlyList<AdditionResult> Add(
        LocalStore source,
        IReadOnlyList<Addition> additions,
        AdditionOptions options,
        CancellationToken stop
    )
    {
        var results = new AdditionResult?[additions.Count];
        var copies = new ConcurrentDictionary<int, StagedCopy>();
        using var batch = TryOpenBatch(source, out var closed);
        if (batch is null)
            return [.. additions.Select(addition => new AdditionResult(addition, AdditionStatus.IoError, closed!))];
        InParallel(
            additions.Count,
            options.Parallelism,
            i =>
            {
                if (options.MayWrite?.Invoke() == false)
                    results[i] = new AdditionResult(
                        additions[i],
                        AdditionStatus.IoError,
                        $"Store '{Options.Name}' is not mounted any more. Nothing of '{additions[i].Name}' was kept."
                    );
                else if (CopyToStaging(batch, additions[i], options, stop, out var copy) is { } failed)
                    results[i] = failed;
                else
                    copies[i] = copy!;
            },
            stop
        );
        Reach("add.copied");
        if (Flush(batch.Staging) is { } unflushed)
            return Broken($"Store '{Options.Name}' could not be flushed: {unflushed}.");
        Reach("add.flushed");

        // Reading small files back is mostly waiting for the medium, which serves several requests at once better than one after the other.
        var isSmall = additions.Count > 1 && options.Parallelism > 1 && additions.All(a => a.Expected.SizeBytes <= SmallFile);
        InParallel(
            additions.Count,
            isSmall ? 4 * options.Parallelism : options.Parallelism,
            i =>
            {
                if (results[i] is null && ReadBack(batch, additions[i], copies[i], stop) is { } failed)
                    results[i] = failed;
            },
            stop
        );
        Reach("add.verified");

        // Minutes may have passed since the batch began. Data are committed where the store's paths lead now, and only if that is still the
        // same store.
        if (WhyMoved(batch) is { } moved)
            return Broken(moved);
        for (var i = 0; i < additions.Count; i++)
        {
            if (results[i] is not null)
                continue;
            var committed = copies[i].IsCommitted
                ? Committed(FileCommitOf(additions[i], copies[i]), recovered: true)
                : CommitAddition(batch, additions[i], copies[i], stop);
            results[i] = committed.Status switch
            {
                FileCommitStatus.Committed => new AdditionResult(additions[i], AdditionStatus.Added, committed.Message)
                {
                    Sha256 = copies[i].Sha256,
                    Files = copies[i].Files,
                    IsDirectory = copies[i].IsDirectory,
                    WasThere = copies[i].IsCommitted,
                    MembersFile = copies[i].MembersFile,
                },
                FileCommitStatus.TargetExists => new AdditionResult(additions[i], AdditionStatus.NameTaken, committed.Message),
                FileCommitStatus.NoSpace => new AdditionResult(additions[i], AdditionStatus.NoSpace, committed.Message),
                FileCommitStatus.Refused => new AdditionResult(additions[i], AdditionStatus.Refused, committed.Message),
                FileCommitStatus.Mismatch => new AdditionResult(additions[i], AdditionStatus.CopyDiffers, committed.Message),
                _ => new AdditionResult(additions[i], AdditionStatus.IoError, committed.Message),
            };
        }

        Reach("add.placed");
        if (Flush(batch.Store) is { } broken)
            return Broken($"Store '{Options.Name}' could not be flushed: {broken}.");
        for (var i = 0; i < additions.Count; i++)
            Tidy(batch, additions[i], results[i]!, copies.GetValueOrDefault(i));
        return results!;

        // Nothing is recorded as stored after a failed flush. The next attempt recognises data that were renamed already.
        IReadOnlyList<AdditionResult> Broken(string why)
        {
            for (var i = 0; i < additions.Count; i++)
            {
                if (results[i] is null or { Status: AdditionStatus.Added })
                    results[i] = new AdditionResult(
                        additions[i],
                        AdditionStatus.IoError,
                        $"{why} '{additions[i].Name}' does not count as stored; its source is untouched."
                    );
                Tidy(batch, additions[i], results[i]!, copies.GetValueOrDefault(i));
            }

            return results!;
        }
    }

    /// <summary>Why the store's paths lead elsewhere than when the batch began; null if they do not.</summary>
    private string? WhyMoved(AdditionBatch batch)
    {
        try
        {
            using var staging = OpenRoot(_stagingRoot);
            using var store = OpenRoot(_storeRoot);
            return staging.Status().Identity == batch.Staging.Status().Identity && store.Status().Identity == batch.Store.Status().Identity
                ? null
                : $"Other directories lie at the paths of store '{Options.Name}' than when the copies were begun: "
                    + "it was unmounted, or something was mounted over it. Mount it as before.";
        }
        catch (PosixException failure)
        {
            return $"Store '{Options.Name}' is not available any more: {failure.Message}. Mount it.";
        }
    }

    private AdditionBatch? TryOpenBatch(LocalStore source, out string? failed)
    {
        PosixDirectory? staging = null;
        try
        {
            staging = OpenRoot(_stagingRoot);
            var store = OpenRoot(_storeRoot);
            failed = null;
            return new AdditionBatch(staging, store, source);
        }
        catch (PosixException failure)
        {
            staging?.Dispose();
            failed = $"Store '{Options.Name}' is not available: {failure.Message}. Nothing was stored. Mount it and try again.";
            return null;
        }
    }

    private static FileCommit FileCommitOf(Addition addition, StagedCopy copy) =>
        new(addition.Id, null, addition.Name, copy.Expected, addition.Id) { Verified = copy.Verified };

    private static EntryName StagedNameOf(Addition addition) => new(StagingName(addition.Id));

    private AdditionResult? CopyToStaging(
        AdditionBatch batch,
        Addition addition,
        AdditionOptions options,
        CancellationToken stop,
        out StagedCopy? copy
    )
    {
        copy = null;
        try
        {
            RemoveStaged(batch, addition);
            if (Recognise(batch, addition, options, stop, out copy) is { } taken)
                return taken;
            if (copy is not null)
                return null;
            var result = ReadSource(batch, addition, options, stop, out copy);
            if (
                result is { Status: AdditionStatus.SourceMissing or AdditionStatus.SourceError }
                && batch.RenewSourceParent(addition.Source)
            )
            {
                RemoveStaged(batch, addition);
                result = ReadSource(batch, addition, options, stop, out copy);
            }

            if (result is not null || copy is not { IsDirectory: true })
                return result;
            // Links are copied as links. One that leaves the directory would have another target here, and reading back cannot detect that.
            var inspection = TreeInspection.Inspect(batch.Staging, StagedNameOf(addition), checkOwners: false, stop);
            if (inspection.IsAcceptable)
                return null;
            if (copy.MembersFile is { } list)
                File.Delete(list);
            copy = null;
            return new AdditionResult(
                addition,
                AdditionStatus.Refused,
                $"'{addition.Source}' holds what no store takes: "
                    + $"{inspection.Findings[0].Finding} at '{inspection.Findings[0].Path}'. Replace links by the files they lead to."
            );
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.TooManyLinks)
        {
            return new AdditionResult(
                addition,
                AdditionStatus.NameTaken,
                $"Something that is no directory lies in the way of '{addition.Name}' in store '{Options.Name}'; "
                    + $"it was left as it is: {failure.Message}"
            );
        }
        catch (PosixException failure)
        {
            return new AdditionResult(addition, failure.IsNoSpace ? AdditionStatus.NoSpace : AdditionStatus.IoError, failure.Message);
        }
    }

    private AdditionResult? ReadSource(
        AdditionBatch batch,
        Addition addition,
        AdditionOptions options,
        CancellationToken stop,
        out StagedCopy? copy
    )
    {
        copy = null;
        try
        {
            using var from = batch.TrySourceParent(addition.Source);
            return from.Directory is not null
                ? Read(from.Directory, addition.Source, batch.Staging, addition, options, stop, out copy)
                : new AdditionResult(addition, AdditionStatus.SourceMissing, $"Nothing is at '{batch.Source.Locate(addition.Source)}'.");
        }
        catch (PosixException failure)
        {
            return new AdditionResult(
                addition,
                failure.Errno is Errno.NoEntry or Errno.NotADirectory ? AdditionStatus.SourceMissing : AdditionStatus.SourceError,
                failure.Message
            );
        }
    }

    /// <summary>Gives the verified copy its name: by one rename between open directories or, where that fails, step by step.</summary>
    private FileCommitResult CommitAddition(AdditionBatch batch, Addition addition, StagedCopy copy, CancellationToken stop)
    {
        var commit = FileCommitOf(addition, copy);
        if (Options.OwnAfterCommit)
            return CommitFile(commit, stop, flush: false);
        try
        {
            Reach("place.before-parents");
            using var parent = batch.TryMakeParent(addition.Name, OpenOrMakeParent);
            Reach("place.before-rename");
            if (
                parent.Directory is not null
                && MoveWithoutReplacing(batch.Store, batch.Staging, StagedNameOf(addition), parent.Directory, addition.Name) == Move.Done
            )
            {
                Reach("place.after-rename");
                if (copy.Verified?.Stamp?.IsStillAt(parent.Directory, NameOf(addition.Name), stop) == false)
                {
                    // Nobody has been notified of the copy, and its source is untouched.
                    DeleteEntry(batch.Store, parent.Directory, NameOf(addition.Name), stop);
                    copy.IsConsumed = true;
                    return new FileCommitResult(
                        FileCommitStatus.Mismatch,
                        "store.mismatch",
                        $"The copy of '{addition.Name}' was changed by another program before it got its name. "
                            + "Nothing of it was kept; the source is untouched. Copy again."
                    );
                }

                SetModes(parent.Directory, NameOf(addition.Name), stop);
                copy.IsConsumed = true;
                return Committed(commit, recovered: false);
            }
        }
        catch (PosixException failure)
        {
            return Failed(failure);
        }

        // The name is taken, a directory vanished, or another file system is mounted there.
        return CommitFile(commit, stop, flush: false);
    }

    /// <summary>Recognises data under the destination name that an earlier attempt has renamed already.</summary>
    private AdditionResult? Recognise(
        AdditionBatch batch,
        Addition addition,
        AdditionOptions options,
        CancellationToken stop,
        out StagedCopy? copy
    )
    {
        copy = null;
        using var parent = batch.TryParent(addition.Name);
        var name = NameOf(addition.Name);
        if (parent.Directory?.Status(name) is not { } status)
            return null;
        var why = Read(parent.Directory, addition.Name, null, addition, options, stop, out copy)?.Message;
        if (why is null && copy is { IsDirectory: true })
        {
            if (TreeInspection.Inspect(parent.Directory, name, checkOwners: false, stop) is { IsAcceptable: false } inspection)
            {
                why = $"There is {inspection.Findings[0].Finding} at '{inspection.Findings[0].Path}'.";
            }
            else if (addition.ExpectedMembers is null)
            {
                // The checksum of a directory does not cover names.
                using var from = batch.TrySourceParent(addition.Source);
                if (
                    from.Directory is not null
                    && TreeDifference.Find(parent.Directory, name, from.Directory, NameOf(addition.Source), stop) is { } where
                )
                    why = $"They have other members: {where}.";
            }
        }

        if (why is null)
            return null;
        if (copy?.MembersFile is { } list)
            File.Delete(list);
        copy = null;
        var changed = DateTimeOffset.UnixEpoch.AddTicks(status.ModifiedNanoseconds / 100);
        return new AdditionResult(
            addition,
            AdditionStatus.NameTaken,
            string.Create(
                CultureInfo.InvariantCulture,
                $"Other data lie at '{addition.Name}' in store '{Options.Name}', "
                    + $"last changed {changed:yyyy-MM-dd HH:mm:ss} UTC; they were left as they are. {why}"
            )
        );
    }

    /// <summary>Reads the expected data and copies them to staging, or only reads them if <paramref name="to"/> is null.</summary>
    private AdditionResult? Read(
        PosixDirectory from,
        FileName source,
        PosixDirectory? to,
        Addition addition,
        AdditionOptions options,
        CancellationToken stop,
        out StagedCopy? copy
    )
    {
        copy = null;
        var (checking, written) = (new MemberFingerprint(), new MemberFingerprint());
        var spool = options.SpoolDirectory is null
            ? null
            : new Lazy<MemberSpool>(() => new MemberSpool(options.SpoolDirectory, addition.Id));
        string? refusedMember = null,
            unfitMember = null;
        void Member(MemberDigest member)
        {
            if (member.Path.Length == 0)
                return;
            refusedMember ??= options.RefuseMember?.Invoke(member.Path);
            if (to is not null && unfitMember is null && options.UnfitMember?.Invoke(member.Path) is { } unfit)
                unfitMember = $"'{member.Path.Shown()}' in it: {unfit}";
            var sha = member.Checksums[ChecksumAlgorithm.Sha256].Digest;
            checking.Add(member.Path, member.SizeBytes, sha);
            written.Add(member.Path, member.SizeBytes, member.Checksums[ChecksumAlgorithm.Xxh3].Digest);
            if (refusedMember is null)
                spool?.Value.Add(new MemberLine(member.Path, member.SizeBytes, sha));
        }

        try
        {
            var reported = 0L;
            var progress = options.OnBytes is null
                ? null
                : new Forward(now => options.OnBytes(now - Interlocked.Exchange(ref reported, now)));
            var plan = to is null ? null : new CopyPlan(to, StagedNameOf(addition), FollowSymlinks: false, GroupWritable: false);
            var pass = new TreePass(
                [addition.Expected.Checksum.Algorithm, ChecksumAlgorithm.Sha256, ChecksumAlgorithm.Xxh3],
                new DigestOptions
                {
                    MaxParallelism = Math.Max(1, options.Parallelism),
                    OnMember = Member,
                    MaxBytes = addition.Expected.SizeBytes,
                    LeaveOut = addition.LeaveOut,
                },
                progress,
                plan
            );
            var read = pass.DigestEntry(from, NameOf(source), stop);
            var sha = read.IsDirectory || !read.IsComplete ? null : read.Checksums[ChecksumAlgorithm.Sha256].Digest;
            var refused = read switch
            {
                { Status: DigestStatus.Missing } => (AdditionStatus.SourceMissing, read.Message!),
                { Status: DigestStatus.NoSpace } => (AdditionStatus.NoSpace, read.Message!),
                { Status: DigestStatus.Unfit } => (AdditionStatus.Unfit, read.Message!),
                { Status: DigestStatus.SymlinkRefused or DigestStatus.SpecialFile or DigestStatus.BrokenSymlink or DigestStatus.TooDeep } =>
                    (AdditionStatus.Refused, read.Message!),
                { Status: DigestStatus.Changed } => (AdditionStatus.SourceDiffers, read.Message!),
                { IsComplete: false } => (
                    read.Message!.Contains(_stagingRoot + "/", StringComparison.Ordinal)
                        ? AdditionStatus.IoError
                        : AdditionStatus.SourceError,
                    read.Message!
                ),
                _ when !read.Matches(addition.Expected) => (
                    AdditionStatus.SourceDiffers,
                    $"'{addition.Source}' is not what the catalog says: "
                        + $"{read.SizeBytes} bytes, {read.Checksums[addition.Expected.Checksum.Algorithm]} "
                        + $"instead of {addition.Expected.SizeBytes} bytes, {addition.Expected.Checksum}."
                ),
                _ when addition.ExpectedSha256 is { } expected && expected != sha => (
                    AdditionStatus.SourceDiffers,
                    $"'{addition.Source}' has SHA-256 {sha ?? "of a directory"} instead of {expected}."
                ),
                _ when addition.ExpectedMembers is { } members && (!read.IsDirectory || members != checking.ToString()) => (
                    AdditionStatus.SourceDiffers,
                    $"The files in '{addition.Source}' are not those of the manifest."
                ),
                _ when unfitMember is not null => (AdditionStatus.Unfit, $"{unfitMember}."),
                _ when refusedMember is not null => (AdditionStatus.Refused, $"'{addition.Source}': {refusedMember}."),
                _ => ((AdditionStatus Status, string Message)?)null,
            };
            if (refused is { } no)
            {
                if (spool?.IsValueCreated == true)
                    spool.Value.Discard();
                return new AdditionResult(addition, no.Status, no.Message);
            }

            copy = new StagedCopy(
                new ContentDescription(read.Checksums[ChecksumAlgorithm.Xxh3], read.SizeBytes),
                sha,
                read.FileCount,
                read.IsDirectory,
                written.ToString(),
                spool?.IsValueCreated == true ? spool.Value.Path : null
            )
            {
                IsCommitted = to is null,
            };
            return null;
        }
        finally
        {
            if (spool?.IsValueCreated == true)
                spool.Value.Dispose();
        }
    }

    private AdditionResult? ReadBack(AdditionBatch batch, Addition addition, StagedCopy copy, CancellationToken stop)
    {
        var found = new MemberFingerprint();
        var pass = new TreePass(
            [ChecksumAlgorithm.Xxh3],
            new DigestOptions
            {
                FromMedium = true,
                MaxParallelism = 2,
                OnMember = m =>
                {
                    if (m.Path.Length > 0)
                        found.Add(m.Path, m.SizeBytes, m.Checksums[ChecksumAlgorithm.Xxh3].Digest);
                },
            },
            progress: null
        );
        var read = copy.IsCommitted
            ? DigestBelow(_storeRoot, root => TryOpenParent(root, addition.Name), addition.Name, pass, stop)
            : pass.DigestEntry(batch.Staging, StagedNameOf(addition), stop);
        if (read.Matches(copy.Expected) && found.ToString() == copy.Written)
        {
            copy.Verified = read;
            return null;
        }

        return read.IsComplete
            ? new AdditionResult(
                addition,
                AdditionStatus.CopyDiffers,
                $"'{addition.Name}' could not be read back as it was written: the medium of store '{Options.Name}' is bad. "
                    + "Nothing of it was kept; the source is untouched."
            )
            : new AdditionResult(addition, AdditionStatus.IoError, $"'{addition.Name}' could not be read back: {read.Message}");
    }

    private static string? Flush(PosixDirectory root)
    {
        try
        {
            root.SyncFileSystem();
            return null;
        }
        catch (PosixException failure)
        {
            return failure.Message;
        }
    }

    /// <summary>Removes everything of an addition from staging, and the list of members of a copy that was not added.</summary>
    private void Tidy(AdditionBatch batch, Addition addition, AdditionResult result, StagedCopy? copy)
    {
        if (result.Status != AdditionStatus.Added && copy?.MembersFile is { } list)
            File.Delete(list);
        if (copy is { IsConsumed: true })
            return;
        try
        {
            RemoveStaged(batch, addition);
            // A commit that copies (across file systems) may have been interrupted between its rename and its clean-up.
            if (copy is null or { IsCommitted: true } || result.Status != AdditionStatus.Added)
                RemoveIncoming(addition.Id);
        }
        catch (PosixException)
        {
            // A failing medium keeps the leftovers; the sweep of staging removes them later.
        }
    }

    private void RemoveIncoming(Guid id)
    {
        using var root = TryOpenRoot(_storeRoot);
        using var incoming = root is null ? null : TryOpenIncoming(root, id, out _);
        incoming?.Remove(CancellationToken.None);
    }

    private static void RemoveStaged(AdditionBatch batch, Addition addition)
    {
        if (batch.Staging.Status(StagedNameOf(addition)) is not null)
            TreeRemoval.Remove(batch.Staging, StagedNameOf(addition), CancellationToken.None);
    }

    private static void InParallel(int count, int parallelism, Action<int> work, CancellationToken stop)
    {
        if (parallelism <= 1 || count <= 1)
        {
            for (var i = 0; i < count; i++)
            {
                stop.ThrowIfCancellationRequested();
                work(i);
            }

            return;
        }

        var next = -1;
        ConcurrentQueue<Exception> failures = [];
        var threads = Enumerable
            .Range(0, Math.Min(parallelism, count))
            .Select(_ => new Thread(() =>
            {
                try
                {
                    for (var i = Interlocked.Increment(ref next); i < count; i = Interlocked.Increment(ref next))
                    {
                        stop.ThrowIfCancellationRequested();
                        work(i);
                    }
                }
                catch (Exception failure)
                {
                    failures.Enqueue(failure);
                }
            })
            {
                IsBackground = true,
                Name = "store addition",
            })
            .ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        if (failures.TryDequeue(out var first))
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
    }

    /// <summary>A copy in staging with the expected content, and how to recognise it.</summary>
    private sealed record StagedCopy(
        ContentDescription Expected,
        string? Sha256,
        long Files,
        bool IsDirectory,
        string Written,
        string? MembersFile
    )
    {
        /// <summary>The data had their final name already.</summary>
        internal bool IsCommitted { get; init; }

        /// <summary>The result of reading back from the medium.</summary>
        internal DigestResult? Verified { get; set; }

        /// <summary>The rename moved the data out of staging.</summary>
        internal bool IsConsumed { get; set; }
    }

    private sealed class Forward(Action<long> action) : IProgress<long>
    {
        public void Report(long value) => action(value);
    }

    private sealed class MemberSpool : IDisposable
    {
        private readonly StreamWriter _writer;

        internal MemberSpool(string directory, Guid id)
        {
            Path = System.IO.Path.Combine(directory, $"{id:D}.members");
            _writer = new StreamWriter(Create(Path), new UTF8Encoding(false));
        }

        internal string Path { get; }

        public void Dispose() => _writer.Dispose();

        // The directory is below the site's data directory.
        private static FileStream Create(string path) =>
            new(
                path,
                new FileStreamOptions
                {
                    Mode = FileMode.Create,
                    Access = FileAccess.Write,
                    Share = FileShare.None,
                    BufferSize = 1 << 16,
                    UnixCreateMode = Security.PrivateFile.Mode,
                }
            );

        internal void Add(MemberLine member) => _writer.WriteLine(JsonSerializer.Serialize(member, MemberLineJson.Default.MemberLine));

        internal void Discard()
        {
            _writer.Dispose();
            File.Delete(Path);
        }
    }
}

[System.Text.Json.Serialization.JsonSerializable(typeof(MemberLine))]
internal sealed partial class MemberLineJson : System.Text.Json.Serialization.JsonSerializerContext;
