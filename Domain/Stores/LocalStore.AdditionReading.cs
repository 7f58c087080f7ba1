using System.Globalization;
using System.Text;
using System.Text.Json;
using Librarian.Domain.Checksums;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
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
        using var members = new MemberReading(addition, options, isCopied: to is not null);
        var reported = 0L;
        var progress = options.OnBytes is null ? null : new Forward(now => options.OnBytes(now - Interlocked.Exchange(ref reported, now)));
        var plan = to is null ? null : new CopyPlan(to, StagedNameOf(addition), FollowSymlinks: false, GroupWritable: false);
        var pass = new TreePass(
            [addition.Expected.Checksum.Algorithm, ChecksumAlgorithm.Sha256, ChecksumAlgorithm.Xxh3],
            new DigestOptions
            {
                MaxParallelism = Math.Max(1, options.Parallelism),
                OnMember = members.Add,
                MaxBytes = addition.Expected.SizeBytes,
                LeaveOut = addition.LeaveOut,
            },
            progress,
            plan
        );
        var read = pass.DigestEntry(from, NameOf(source), stop);
        var sha = read.IsDirectory || !read.IsComplete ? null : read.Checksums[ChecksumAlgorithm.Sha256].Digest;
        var refused = Refusal(read, addition, sha, members);
        if (refused is { } no)
        {
            members.Discard();
            return new AdditionResult(addition, no.Status, no.Message);
        }

        copy = new StagedCopy(
            new ContentDescription(read.Checksums[ChecksumAlgorithm.Xxh3], read.SizeBytes),
            sha,
            read.FileCount,
            read.IsDirectory,
            members.Written,
            members.SpoolPath
        )
        {
            IsCommitted = to is null,
        };
        return null;
    }

    /// <summary>Why data that were read are not added; null when they are as expected.</summary>
    private (AdditionStatus Status, string Message)? Refusal(DigestResult read, Addition addition, string? sha, MemberReading found) =>
        read switch
        {
            { Status: DigestStatus.Missing } => (AdditionStatus.SourceMissing, read.Message!),
            { Status: DigestStatus.NoSpace } => (AdditionStatus.NoSpace, read.Message!),
            { Status: DigestStatus.Unfit } => (AdditionStatus.Unfit, read.Message!),
            { Status: DigestStatus.SymlinkRefused or DigestStatus.SpecialFile or DigestStatus.BrokenSymlink or DigestStatus.TooDeep } => (
                AdditionStatus.Refused,
                read.Message!
            ),
            { Status: DigestStatus.Changed } => (AdditionStatus.SourceDiffers, read.Message!),
            { IsComplete: false } => (
                read.Message!.Contains(_stagingRoot + "/", StringComparison.Ordinal) ? AdditionStatus.IoError : AdditionStatus.SourceError,
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
            _ when addition.ExpectedMembers is { } members && (!read.IsDirectory || members != found.Members) => (
                AdditionStatus.SourceDiffers,
                $"The files in '{addition.Source}' are not those of the manifest."
            ),
            _ when found.UnfitMember is { } unfit => (AdditionStatus.Unfit, $"{unfit}."),
            _ when found.RefusedMember is { } member => (AdditionStatus.Refused, $"'{addition.Source}': {member}."),
            _ => ((AdditionStatus Status, string Message)?)null,
        };

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

    /// <summary>What the members of an addition are, as they are read.</summary>
    private sealed class MemberReading(Addition addition, AdditionOptions options, bool isCopied) : IDisposable
    {
        private readonly MemberFingerprint _checking = new();
        private readonly MemberFingerprint _written = new();
        private readonly Lazy<MemberSpool>? _spool = options.SpoolDirectory is { } directory
            ? new Lazy<MemberSpool>(() => new MemberSpool(directory, addition.Id))
            : null;

        /// <summary>Why the first member that is refused is refused.</summary>
        internal string? RefusedMember { get; private set; }

        /// <summary>Why this store cannot hold the first member that it cannot hold.</summary>
        internal string? UnfitMember { get; private set; }

        internal string Members => _checking.ToString();

        internal string Written => _written.ToString();

        internal string? SpoolPath => _spool?.IsValueCreated == true ? _spool.Value.Path : null;

        public void Dispose()
        {
            if (_spool?.IsValueCreated == true)
                _spool.Value.Dispose();
        }

        internal void Add(MemberDigest member)
        {
            if (member.Path.Length == 0)
                return;
            RefusedMember ??= options.RefuseMember?.Invoke(member.Path);
            if (isCopied && UnfitMember is null && options.UnfitMember?.Invoke(member.Path) is { } unfit)
                UnfitMember = $"'{member.Path.Shown()}' in it: {unfit}";
            var sha = member.Checksums[ChecksumAlgorithm.Sha256].Digest;
            _checking.Add(member.Path, member.SizeBytes, sha);
            _written.Add(member.Path, member.SizeBytes, member.Checksums[ChecksumAlgorithm.Xxh3].Digest);
            if (RefusedMember is null)
                _spool?.Value.Add(new MemberLine(member.Path, member.SizeBytes, sha));
        }

        internal void Discard()
        {
            if (_spool?.IsValueCreated == true)
                _spool.Value.Discard();
        }
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
