using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Files;

/// <summary>The result of a check of one local copy.</summary>
/// <param name="Copy">The copy.</param>
/// <param name="Checksum">As read, with prefix.</param>
/// <param name="Size">In bytes, as read.</param>
/// <param name="Matches">Whether the copy matches the catalog.</param>
public sealed record CopyCheck(FileCopy Copy, string Checksum, long Size, bool Matches);

/// <summary>State of a copy.</summary>
public enum CopyState
{
    /// <summary>The copy exists and matches the catalog.</summary>
    Intact,

    /// <summary>The copy does not exist, although its store is mounted.</summary>
    Missing,

    /// <summary>The copy exists and differs from the catalog.</summary>
    Damaged,

    /// <summary>The store is not mounted or does not answer, or the data cannot be read.</summary>
    Unknown,

    /// <summary>The copy is being read, which takes longer than the caller waits.</summary>
    Reading,
}

/// <summary>A finding about a copy.</summary>
/// <param name="State">State of the copy.</param>
/// <param name="Message">For people.</param>
/// <param name="Digest">The result of the reading, if the copy was read now.</param>
public sealed record CopyFinding(CopyState State, string Message, DigestResult? Digest = null);

/// <summary>Reads local copies, compares them with the catalog, and records the findings.</summary>
/// <remarks>
/// Findings are kept per copy: a good copy of a file says nothing about a bad one beside it (upstream weakness W16). A copy that cannot be
/// read is neither good nor bad; it is left out of the answer and recorded as an error. A copy is called corrupt after two readings, of
/// which the second comes from the medium as far as the file system allows: a memory fault says nothing about the disk. A copy that is
/// missing although its store is mounted counts as corrupt and not available until a later reading finds it good.
/// </remarks>
public sealed partial class CopyChecks(
    CatalogDatabase database,
    SiteStores stores,
    ErrorLog errors,
    IOptions<SiteOptions> options,
    TimeProvider time,
    ILogger<CopyChecks> log
) : IDisposable
{
    private readonly SemaphoreSlim _readers = new(options.Value.IngestParallelism);

    /// <summary>Checks every copy of a file that should be there, several at the same time; null if the file is unknown.</summary>
    /// <param name="name">Name of the file.</param>
    /// <param name="force">Read also copies that were read recently.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    public async Task<(FileRecord File, IReadOnlyList<CopyCheck> Checks)?> CheckAsync(
        string name,
        bool force,
        CancellationToken cancellationToken
    )
    {
        FileRecord? file;
        HashSet<long> bad;
        await using (var db = database.Open())
        {
            file = await db.Files.AsNoTracking().Include(f => f.Copies).SingleOrDefaultAsync(f => f.Name == name, cancellationToken);
            bad = [.. await db.CorruptFiles.Where(c => c.FileName == name).Select(c => c.CopyId).ToListAsync(cancellationToken)];
        }

        if (file is null)
            return null;
        // A copy that was missing is checked again.
        var checks = await Task.WhenAll(
            file.Copies.Where(i => i.Available || bad.Contains(i.Id))
                .OrderBy(i => i.Id)
                .Select(i => CheckAsync(file, i, force, cancellationToken))
        );
        return (file, [.. checks.OfType<CopyCheck>()]);
    }

    /// <summary>Reads all data of one copy and records the finding.</summary>
    /// <param name="file">The file of the copy.</param>
    /// <param name="copy">The copy.</param>
    /// <param name="also">A further algorithm to compute in the same reading.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <param name="isSecondReading">A first reading differed already: read once, from the medium.</param>
    public async Task<CopyFinding> ReadAsync(
        FileRecord file,
        FileCopy copy,
        ChecksumAlgorithm? also,
        CancellationToken cancellationToken,
        bool isSecondReading = false
    )
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(copy);
        var (store, path, why) = await LocateAsync(copy, cancellationToken);
        if (store is null || path is null)
            return await UnreadableAsync(copy, why, cancellationToken);
        var expected = new ContentDescription(Checksum.Parse(file.Checksum), file.Size);
        bool IsAsCatalogued(DigestResult read) => read.Matches(expected) && (file.TreeDigest is null || read.TreeDigest == file.TreeDigest);
        FingerprintResult before,
            after;
        DigestResult digest;
        await _readers.WaitAsync(cancellationToken);
        try
        {
            before = await store.FingerprintAsync(path, cancellationToken);
            digest = await DigestAsync(fromMedium: isSecondReading);
            if (!isSecondReading && digest.IsComplete && !IsAsCatalogued(digest))
                digest = await DigestAsync(fromMedium: true);
            after = await store.FingerprintAsync(path, cancellationToken);
        }
        finally
        {
            _readers.Release();
        }

        // XXH3 is needed for the tree digest of a directory.
        Task<DigestResult> DigestAsync(bool fromMedium) =>
            store.DigestAsync(
                path,
                new HashSet<ChecksumAlgorithm> { expected.Checksum.Algorithm, also ?? expected.Checksum.Algorithm, ChecksumAlgorithm.Xxh3 },
                new DigestOptions { MaxParallelism = options.Value.ChecksumParallelism, FromMedium = fromMedium },
                cancellationToken: cancellationToken
            );

        if (digest.Status == DigestStatus.Missing)
            return await MissingAsync(file, copy, cancellationToken);
        if (!digest.IsComplete)
            return await UnreadableAsync(copy, digest.Message ?? digest.Status.ToString(), cancellationToken);
        var matches = IsAsCatalogued(digest);
        var checksum = digest.Matches(expected) && !matches ? digest.TreeDigest ?? "" : digest.Checksums[expected.Checksum.Algorithm].Text;
        var found = new Found(
            checksum,
            digest.SizeBytes,
            matches,
            matches && before.Fingerprint == after.Fingerprint ? after.Fingerprint : null,
            digest.TreeDigest
        );
        await RecordAsync(file, copy, found, cancellationToken);
        return matches ? new CopyFinding(CopyState.Intact, "", digest) : Damaged(copy, found, digest);
    }

    private CopyFinding Damaged(FileCopy copy, Found found, DigestResult digest) =>
        new(
            CopyState.Damaged,
            $"The copy at {stores.Locate(copy.StoreId, copy.Path)} has {found.Size} bytes with {found.Checksum}.",
            digest
        );

    /// <summary>
    /// Records that a copy is missing. Its store is probed once more before that: a store that was unmounted between two probes must not
    /// turn all of its files into missing ones.
    /// </summary>
    public async Task<CopyFinding> MissingAsync(FileRecord file, FileCopy copy, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(copy);
        var (store, path, why) = await LocateAsync(copy, cancellationToken);
        if (store is null || path is null)
            return await UnreadableAsync(copy, why, cancellationToken);
        await RecordAsync(
            file,
            copy,
            new Found(CorruptFile.Missing, 0, Matches: false, Fingerprint: null, TreeDigest: null),
            cancellationToken
        );
        return new CopyFinding(CopyState.Missing, $"Nothing lies at {stores.Locate(copy.StoreId, copy.Path)}.");
    }

    /// <summary>The store and the path of a copy, or why there is none. Returns in bounded time.</summary>
    public async Task<(LocalStore? Store, FileName? Path, string Why)> LocateAsync(FileCopy copy, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(copy);
        if (await stores.FindAsync(copy.StoreId, cancellationToken) is not { } store)
            return (null, null, stores.WhyAway(copy.StoreId));
        return FileName.TryParse(copy.Path, out var path, out _)
            ? (store, path, "")
            : (null, null, $"it lies outside store '{store.Options.Name}'");
    }

    /// <inheritdoc />
    public void Dispose() => _readers.Dispose();

    /// <param name="file">The file of the copy.</param>
    /// <param name="copy">The copy.</param>
    /// <param name="force">Read even if it was read recently.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <param name="isSecondReading">A first reading differed already: read once, from the medium.</param>
    private async Task<CopyCheck?> CheckAsync(
        FileRecord file,
        FileCopy copy,
        bool force,
        CancellationToken cancellationToken,
        bool isSecondReading = false
    )
    {
        var expected = new ContentDescription(Checksum.Parse(file.Checksum), file.Size);
        // Checked before the recorded finding is used: if the store is not mounted, nothing is known about the copy now.
        if (await stores.FindAsync(copy.StoreId, cancellationToken) is null)
        {
            await UnreadableAsync(copy, stores.WhyAway(copy.StoreId), cancellationToken);
            return null;
        }

        if (
            !force
            && copy is { CalculatedChecksum: { } known, CalculatedSize: { } size, ChecksumTime: { } read }
            // A time in the future was recorded while the clock was ahead, so the age is unknown.
            && time.GetUtcNow().UtcDateTime - read is var age
            && age >= TimeSpan.Zero
            && age < options.Value.ChecksumLifetime
        )
        {
            var good = size == file.Size && Checksum.Parse(known).CompareTo(expected.Checksum) == ChecksumComparison.Equal;
            // A bad copy stays bad until it is read again. A good one stays good only while its fingerprint is unchanged.
            if (!good || await IsUnchangedSinceReadAsync(copy, cancellationToken))
                return new CopyCheck(copy, known, size, good);
        }

        var found = await ReadAsync(file, copy, also: null, cancellationToken, isSecondReading);
        return found is { State: CopyState.Intact or CopyState.Damaged, Digest: { } digest }
            ? new CopyCheck(copy, digest.Checksums[expected.Checksum.Algorithm].Text, digest.SizeBytes, found.State == CopyState.Intact)
            : null;
    }

    private async Task<bool> IsUnchangedSinceReadAsync(FileCopy copy, CancellationToken cancellationToken) =>
        copy.Fingerprint is { } known
        && await LocateAsync(copy, cancellationToken) is { Store: { } store, Path: { } path }
        && (await store.FingerprintAsync(path, cancellationToken)).Fingerprint == known;

    private async Task<CopyFinding> UnreadableAsync(FileCopy copy, string why, CancellationToken cancellationToken)
    {
        await errors.RaiseAsync(
            ErrorSeverity.Error,
            ErrorCategory.DataAvailability,
            $"copy {copy.Id}",
            $"The copy of '{copy.FileName}' at {stores.Locate(copy.StoreId, copy.Path)} could not be read: "
                + $"{why.TrimEnd('.')}. Whether it is good is not known.",
            cancellationToken
        );
        return new CopyFinding(CopyState.Unknown, why);
    }
}
