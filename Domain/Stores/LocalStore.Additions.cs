using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores.Posix;

namespace Librarian.Domain.Stores;

/// <summary>A file or directory of one store that is to be copied into another.</summary>
/// <param name="Source">Its name in the store that is read.</param>
/// <param name="Name">Its name in the store that gets it.</param>
/// <param name="Expected">What the catalog says that it is.</param>
/// <param name="Id">
/// Names this addition, its staging directory and its placement: the same for every attempt of it and for no other.
/// </param>
public sealed record Addition(StorePath Source, StorePath Name, ContentDescription Expected, Guid Id)
{
    /// <summary>SHA-256 that a single file must have as well, lower-case hexadecimal; null if none is known.</summary>
    public string? ExpectedSha256 { get; init; }

    /// <summary>What the members of a directory must be, names included; null if that is not known.</summary>
    public string? ExpectedMembers { get; init; }
}

/// <summary>How an addition ended.</summary>
public enum AdditionStatus
{
    /// <summary>The copy is under its name, on disk, and was read back from there.</summary>
    Added,

    /// <summary>There is nothing to read.</summary>
    SourceMissing,

    /// <summary>What was read is not what was expected: the source's copy is damaged or changing.</summary>
    SourceDiffers,

    /// <summary>What was written could not be read back equal: the medium written to is bad. Nothing of it was kept.</summary>
    CopyDiffers,

    /// <summary>Other data have the name; they were left as they are.</summary>
    NameTaken,

    /// <summary>The store is full. Nothing of the copy was kept.</summary>
    NoSpace,

    /// <summary>Links or special files, which no store takes.</summary>
    Refused,

    /// <summary>The source could not be read, as the operating system says.</summary>
    SourceError,

    /// <summary>The store could not be written, as the operating system says.</summary>
    IoError,
}

/// <summary>The outcome of one addition.</summary>
/// <param name="Addition">What was asked.</param>
/// <param name="Status">How it ended.</param>
/// <param name="Message">For people.</param>
public sealed record AdditionResult(Addition Addition, AdditionStatus Status, string Message)
{
    /// <summary>SHA-256 of a single file, lower-case hexadecimal; null for a directory.</summary>
    public string? Sha256 { get; init; }

    /// <summary>Regular files in it; 1 for a single file.</summary>
    public long Files { get; init; }

    /// <summary>True for a directory.</summary>
    public bool IsDirectory { get; init; }

    /// <summary>For a directory, if asked: a file with one JSON line per member (<see cref="MemberLine"/>), in no order. The caller removes it.</summary>
    public string? MembersFile { get; init; }
}

/// <summary>One member in <see cref="AdditionResult.MembersFile"/>.</summary>
/// <param name="Path">Relative to the directory.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Sha256">Lower-case hexadecimal.</param>
public sealed record MemberLine(string Path, long Size, string Sha256);

/// <summary>How additions are made.</summary>
public sealed record AdditionOptions
{
    /// <summary>Files copied at the same time; 2 unless told. Small ones are read back four times as many at once, unless this is one, which is best for a single slow disk.</summary>
    public int Parallelism { get; init; } = 2;

    /// <summary>Directory for lists of members; null if they are not wanted.</summary>
    public string? SpoolDirectory { get; init; }

    /// <summary>Is told bytes as they are copied, from several threads.</summary>
    public Action<long>? OnBytes { get; init; }

    /// <summary>Says why a member of a directory may not be taken, by its path; null lets all pass. The directory is then <see cref="AdditionStatus.Refused"/>.</summary>
    public Func<string, string?>? RefuseMember { get; init; }

    /// <summary>Asked before each file is begun; false (the store is gone) ends the batch, and what was not begun is an <see cref="AdditionStatus.IoError"/>.</summary>
    public Func<bool>? MayWrite { get; init; }
}

/// <summary>
/// Tells two sets of members apart without holding either: the sum, modulo 2^256, of a SHA-256 per member over its path, size and digest.
/// It does not depend on the order, so readers of any number of threads may feed it.
/// </summary>
public sealed class MemberFingerprint
{
    private readonly ulong[] _sum = new ulong[4];

    /// <summary>Members added so far.</summary>
    public long Count { get; private set; }

    /// <summary>Adds one member; not safe for several threads at once.</summary>
    public void Add(string path, long size, string digest)
    {
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{path}\0{size}\0{digest}")), hash);
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
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Count}:{_sum[3]:x16}{_sum[2]:x16}{_sum[1]:x16}{_sum[0]:x16}");
}

public sealed partial class LocalStore
{
    private const long SmallFile = 256 << 10;

    /// <summary>
    /// Copies files of another store into this one, verified on both sides: what is read is compared with what is expected, and what was
    /// written is read back from the medium, not from memory. Many small files cost few flushes, because the file system is flushed once for all of them.
    /// </summary>
    /// <remarks>
    /// Steps: copy into an entry of staging that is named by the addition's id, flush, read back, rename without replacing, flush. A crash
    /// leaves those entries, and after the rename data under their names that the caller has not recorded; calling again with the same additions
    /// removes the first and recognises the second by reading them (<see cref="PlaceAsync"/>). A failure of one file is its result and
    /// does not touch the others.
    /// </remarks>
    public Task<IReadOnlyList<AdditionResult>> AddAsync(LocalStore source, IReadOnlyList<Addition> additions, AdditionOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(additions);
        return BlockingWork.RunAsync(() => Add(source, additions, options ?? new AdditionOptions(), cancellationToken), cancellationToken);
    }

    private IReadOnlyList<AdditionResult> Add(LocalStore source, IReadOnlyList<Addition> additions, AdditionOptions options, CancellationToken stop)
    {
        var results = new AdditionResult?[additions.Count];
        var copies = new ConcurrentDictionary<int, StagedCopy>();
        using var batch = TryOpenBatch(source, out var closed);
        if (batch is null) return [.. additions.Select(addition => new AdditionResult(addition, AdditionStatus.IoError, closed!))];
        InParallel(additions.Count, options.Parallelism, i =>
        {
            if (options.MayWrite?.Invoke() == false) results[i] = new AdditionResult(additions[i], AdditionStatus.IoError, $"Store '{Options.Name}' is not mounted any more. Nothing of '{additions[i].Name}' was kept.");
            else if (CopyToStaging(batch, additions[i], options, stop, out var copy) is { } failed) results[i] = failed;
            else copies[i] = copy!;
        }, stop);
        Reach("add.copied");
        if (Flush(batch.Staging) is { } unflushed) return Broken($"Store '{Options.Name}' could not be flushed: {unflushed}.");
        Reach("add.flushed");

        // Reading small files back is waiting for the medium, which serves several requests at once better than one after the other.
        var isSmall = additions.Count > 1 && options.Parallelism > 1 && additions.All(a => a.Expected.SizeBytes <= SmallFile);
        InParallel(additions.Count, isSmall ? 4 * options.Parallelism : options.Parallelism, i =>
        {
            if (results[i] is null && ReadBack(batch, additions[i], copies[i], stop) is { } failed) results[i] = failed;
        }, stop);
        Reach("add.verified");

        // Minutes may have passed since the batch began: data go where the store's paths lead now, and only if that is still the same store.
        if (WhyMoved(batch) is { } moved) return Broken(moved);
        for (var i = 0; i < additions.Count; i++)
        {
            if (results[i] is not null) continue;
            var placed = copies[i].IsPlaced ? Placed(PlacementOf(additions[i], copies[i].Expected), recovered: true) : PlaceAddition(batch, additions[i], copies[i], stop);
            results[i] = placed.Status switch
            {
                PlaceStatus.Placed => new AdditionResult(additions[i], AdditionStatus.Added, placed.Message) { Sha256 = copies[i].Sha256, Files = copies[i].Files, IsDirectory = copies[i].IsDirectory, MembersFile = copies[i].MembersFile },
                PlaceStatus.TargetExists => new AdditionResult(additions[i], AdditionStatus.NameTaken, placed.Message),
                PlaceStatus.NoSpace => new AdditionResult(additions[i], AdditionStatus.NoSpace, placed.Message),
                PlaceStatus.Refused => new AdditionResult(additions[i], AdditionStatus.Refused, placed.Message),
                PlaceStatus.Mismatch => new AdditionResult(additions[i], AdditionStatus.CopyDiffers, placed.Message),
                _ => new AdditionResult(additions[i], AdditionStatus.IoError, placed.Message),
            };
        }

        Reach("add.placed");
        if (Flush(batch.Store) is { } broken) return Broken($"Store '{Options.Name}' could not be flushed: {broken}.");
        for (var i = 0; i < additions.Count; i++) Tidy(batch, additions[i], results[i]!, copies.GetValueOrDefault(i));
        return results!;

        // Nothing is recorded as stored after a flush that failed; what was renamed is found again by the next attempt.
        IReadOnlyList<AdditionResult> Broken(string why)
        {
            for (var i = 0; i < additions.Count; i++)
            {
                if (results[i] is null or { Status: AdditionStatus.Added }) results[i] = new AdditionResult(additions[i], AdditionStatus.IoError, $"{why} '{additions[i].Name}' does not count as stored; its source is untouched.");
                Tidy(batch, additions[i], results[i]!, copies.GetValueOrDefault(i));
            }

            return results!;
        }
    }

    /// <summary>Why the store's paths lead elsewhere than when the batch began; null when they do not.</summary>
    private string? WhyMoved(AdditionBatch batch)
    {
        try
        {
            using var staging = OpenRoot(_stagingRoot);
            using var store = OpenRoot(_storeRoot);
            return staging.Status().Identity == batch.Staging.Status().Identity && store.Status().Identity == batch.Store.Status().Identity ? null
                : $"Other directories lie at the paths of store '{Options.Name}' than when the copies were begun: it was unmounted, or something was mounted over it. Mount it as before.";
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

    private static Placement PlacementOf(Addition addition, ContentDescription expected) => new(addition.Id, null, addition.Name, expected, addition.Id);

    private static EntryName StagedNameOf(Addition addition) => new(StagingName(addition.Id));

    private AdditionResult? CopyToStaging(AdditionBatch batch, Addition addition, AdditionOptions options, CancellationToken stop, out StagedCopy? copy)
    {
        copy = null;
        try
        {
            RemoveStaged(batch, addition);
            if (Recognise(batch, addition, options, stop, out copy) is { } taken) return taken;
            if (copy is not null) return null;
            var result = ReadSource(batch, addition, options, stop, out copy);
            if (result is { Status: AdditionStatus.SourceMissing or AdditionStatus.SourceError } && batch.RenewSourceParent(addition.Source))
            {
                RemoveStaged(batch, addition);
                result = ReadSource(batch, addition, options, stop, out copy);
            }

            if (result is not null || copy is not { IsDirectory: true }) return result;
            // Links are copied as links, and one that leaves the directory would lead elsewhere from here: no reading back can tell.
            var inspection = TreeInspection.Inspect(batch.Staging, StagedNameOf(addition), checkOwners: false, stop);
            if (inspection.IsAcceptable) return null;
            if (copy.MembersFile is { } list) File.Delete(list);
            copy = null;
            return new AdditionResult(addition, AdditionStatus.Refused, $"'{addition.Source}' holds what no store takes: {inspection.Findings[0].Finding} at '{inspection.Findings[0].Path}'. Replace links by the files they lead to.");
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.TooManyLinks)
        {
            return new AdditionResult(addition, AdditionStatus.NameTaken, $"Something that is no directory lies in the way of '{addition.Name}' in store '{Options.Name}'; it was left as it is: {failure.Message}");
        }
        catch (PosixException failure)
        {
            return new AdditionResult(addition, failure.IsNoSpace ? AdditionStatus.NoSpace : AdditionStatus.IoError, failure.Message);
        }
    }

    private AdditionResult? ReadSource(AdditionBatch batch, Addition addition, AdditionOptions options, CancellationToken stop, out StagedCopy? copy)
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
            return new AdditionResult(addition, failure.Errno is Errno.NoEntry or Errno.NotADirectory ? AdditionStatus.SourceMissing : AdditionStatus.SourceError, failure.Message);
        }
    }

    /// <summary>Gives the verified copy its name: by one rename in directories that are open already, and, where that does not do, step by step.</summary>
    private PlaceResult PlaceAddition(AdditionBatch batch, Addition addition, StagedCopy copy, CancellationToken stop)
    {
        var placement = PlacementOf(addition, copy.Expected);
        if (Options.OwnAfterCommit) return Place(placement, stop, flush: false);
        try
        {
            Reach("place.before-parents");
            using var parent = batch.TryMakeParent(addition.Name, OpenOrMakeParent);
            Reach("place.before-rename");
            if (parent.Directory is not null && MoveWithoutReplacing(batch.Store, batch.Staging, StagedNameOf(addition), parent.Directory, addition.Name) == Move.Done)
            {
                Reach("place.after-rename");
                SetModes(parent.Directory, NameOf(addition.Name), stop);
                copy.IsConsumed = true;
                return Placed(placement, recovered: false);
            }
        }
        catch (PosixException failure)
        {
            return Failed(failure);
        }

        // The name is taken, a directory vanished, or another file system is mounted there.
        return Place(placement, stop, flush: false);
    }

    /// <summary>An earlier attempt may have got as far as the rename: then the data are recognised where they are.</summary>
    private AdditionResult? Recognise(AdditionBatch batch, Addition addition, AdditionOptions options, CancellationToken stop, out StagedCopy? copy)
    {
        copy = null;
        using var parent = batch.TryParent(addition.Name);
        if (parent.Directory?.Status(NameOf(addition.Name)) is null) return null;
        if (Read(parent.Directory, addition.Name, null, addition, options, stop, out copy) is null
            && (copy is not { IsDirectory: true } || TreeInspection.Inspect(parent.Directory, NameOf(addition.Name), checkOwners: false, stop).IsAcceptable)) return null;
        copy = null;
        return new AdditionResult(addition, AdditionStatus.NameTaken, $"Other data lie at '{addition.Name}' in store '{Options.Name}'; they were left as they are.");
    }

    /// <summary>Reads what is expected; into staging, or, without <paramref name="to"/>, where it lies.</summary>
    private AdditionResult? Read(PosixDirectory from, StorePath source, PosixDirectory? to, Addition addition, AdditionOptions options, CancellationToken stop, out StagedCopy? copy)
    {
        copy = null;
        var (checking, written) = (new MemberFingerprint(), new MemberFingerprint());
        var spool = options.SpoolDirectory is null ? null : new Lazy<MemberSpool>(() => new MemberSpool(options.SpoolDirectory, addition.Id));
        string? refusedMember = null;
        void Member(MemberDigest member)
        {
            if (member.Path.Length == 0) return;
            refusedMember ??= options.RefuseMember?.Invoke(member.Path);
            var sha = member.Checksums[ChecksumAlgorithm.Sha256].Digest;
            checking.Add(member.Path, member.SizeBytes, sha);
            written.Add(member.Path, member.SizeBytes, member.Checksums[ChecksumAlgorithm.Xxh3].Digest);
            spool?.Value.Add(new MemberLine(member.Path, member.SizeBytes, sha));
        }

        try
        {
            var told = 0L;
            var progress = options.OnBytes is null ? null : new Forward(now => options.OnBytes(now - Interlocked.Exchange(ref told, now)));
            var plan = to is null ? null : new CopyPlan(to, StagedNameOf(addition), FollowSymlinks: false, GroupWritable: false);
            var pass = new TreePass([addition.Expected.Checksum.Algorithm, ChecksumAlgorithm.Sha256, ChecksumAlgorithm.Xxh3],
                new DigestOptions { MaxParallelism = Math.Max(1, options.Parallelism), OnMember = Member, MaxBytes = addition.Expected.SizeBytes }, progress, plan);
            var read = pass.DigestEntry(from, NameOf(source), stop);
            var sha = read.IsDirectory || !read.IsComplete ? null : read.Checksums[ChecksumAlgorithm.Sha256].Digest;
            var refused = read switch
            {
                { Status: DigestStatus.Missing } => (AdditionStatus.SourceMissing, read.Message!),
                { Status: DigestStatus.NoSpace } => (AdditionStatus.NoSpace, read.Message!),
                { Status: DigestStatus.SymlinkRefused or DigestStatus.SpecialFile or DigestStatus.BrokenSymlink or DigestStatus.TooDeep } => (AdditionStatus.Refused, read.Message!),
                { Status: DigestStatus.Changed } => (AdditionStatus.SourceDiffers, read.Message!),
                { IsComplete: false } => (read.Message!.Contains(_stagingRoot + "/", StringComparison.Ordinal) ? AdditionStatus.IoError : AdditionStatus.SourceError, read.Message!),
                _ when !read.Matches(addition.Expected) => (AdditionStatus.SourceDiffers, $"'{addition.Source}' is not what the catalog says: {read.SizeBytes} bytes, {read.Checksums[addition.Expected.Checksum.Algorithm]} instead of {addition.Expected.SizeBytes} bytes, {addition.Expected.Checksum}."),
                _ when addition.ExpectedSha256 is { } expected && expected != sha => (AdditionStatus.SourceDiffers, $"'{addition.Source}' has SHA-256 {sha ?? "of a directory"} instead of {expected}."),
                _ when addition.ExpectedMembers is { } members && (!read.IsDirectory || members != checking.ToString()) => (AdditionStatus.SourceDiffers, $"The files in '{addition.Source}' are not those of the manifest."),
                _ when refusedMember is not null => (AdditionStatus.Refused, $"'{addition.Source}': {refusedMember}."),
                _ => ((AdditionStatus Status, string Message)?)null,
            };
            if (refused is { } no)
            {
                if (spool?.IsValueCreated == true) spool.Value.Discard();
                return new AdditionResult(addition, no.Status, no.Message);
            }

            copy = new StagedCopy(new ContentDescription(read.Checksums[ChecksumAlgorithm.Xxh3], read.SizeBytes), sha, read.FileCount, read.IsDirectory, written.ToString(), spool?.IsValueCreated == true ? spool.Value.Path : null, IsPlaced: to is null);
            return null;
        }
        finally
        {
            if (spool?.IsValueCreated == true) spool.Value.Dispose();
        }
    }

    private AdditionResult? ReadBack(AdditionBatch batch, Addition addition, StagedCopy copy, CancellationToken stop)
    {
        var found = new MemberFingerprint();
        var pass = new TreePass([ChecksumAlgorithm.Xxh3], new DigestOptions
        {
            FromMedium = true,
            MaxParallelism = 2,
            OnMember = m =>
            {
                if (m.Path.Length > 0) found.Add(m.Path, m.SizeBytes, m.Checksums[ChecksumAlgorithm.Xxh3].Digest);
            },
        }, progress: null);
        var read = copy.IsPlaced
            ? DigestBelow(_storeRoot, root => TryOpenParent(root, addition.Name), addition.Name, pass, stop)
            : pass.DigestEntry(batch.Staging, StagedNameOf(addition), stop);
        if (read.Matches(copy.Expected) && found.ToString() == copy.Written) return null;
        return read.IsComplete
            ? new AdditionResult(addition, AdditionStatus.CopyDiffers, $"'{addition.Name}' could not be read back as it was written: the medium of store '{Options.Name}' is bad. Nothing of it was kept; the source is untouched.")
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

    /// <summary>Nothing of an addition stays in staging; a copy that was not added leaves no list of members either.</summary>
    private void Tidy(AdditionBatch batch, Addition addition, AdditionResult result, StagedCopy? copy)
    {
        if (result.Status != AdditionStatus.Added && copy?.MembersFile is { } list) File.Delete(list);
        if (copy is { IsConsumed: true }) return;
        try
        {
            RemoveStaged(batch, addition);
            // A placement that copies (across file systems) may have been interrupted between its rename and its tidying.
            if (copy is null or { IsPlaced: true } || result.Status != AdditionStatus.Added) RemoveIncoming(addition.Id);
        }
        catch (PosixException)
        {
            // A medium that fails keeps its litter; the sweep of staging comes back to it.
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
        if (batch.Staging.Status(StagedNameOf(addition)) is not null) TreeRemoval.Remove(batch.Staging, StagedNameOf(addition), CancellationToken.None);
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
        var threads = Enumerable.Range(0, Math.Min(parallelism, count)).Select(_ => new Thread(() =>
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
        { IsBackground = true, Name = "store addition" }).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        if (failures.TryDequeue(out var first)) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
    }

    /// <summary>A copy in staging that is what was expected, and how it is told again.</summary>
    private sealed record StagedCopy(ContentDescription Expected, string? Sha256, long Files, bool IsDirectory, string Written, string? MembersFile, bool IsPlaced)
    {
        /// <summary>The rename took it out of staging.</summary>
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
            _writer = new StreamWriter(new FileStream(Path, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16), new UTF8Encoding(false));
        }

        internal string Path { get; }

        public void Dispose() => _writer.Dispose();

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
