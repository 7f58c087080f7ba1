using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Files;

/// <summary>A file as a peer or client declares it.</summary>
/// <param name="Name">Name of the file.</param>
/// <param name="Size">In bytes.</param>
/// <param name="Checksum">Checksum, verbatim.</param>
/// <param name="TreeDigest">Tree digest of a directory; null if not declared.</param>
public sealed record DeclaredFile(string Name, long Size, string Checksum, string? TreeDigest = null);

/// <summary>Whether this site really has a file that it catalogues.</summary>
public enum FilePresence
{
    /// <summary>A copy was probed and has the declared content.</summary>
    Intact,

    /// <summary>Other content has this name.</summary>
    OtherContent,

    /// <summary>The file should have copies, and each of them is missing or damaged.</summary>
    Lost,

    /// <summary>
    /// The file is catalogued, but no copy is meant to be here (it is on a drive, deleted, or sent away with its store); or all copies are
    /// lost, and the declared checksum has another algorithm, so the declared content cannot replace them.
    /// </summary>
    NoCopy,

    /// <summary>No copy can be probed now.</summary>
    Unknown,

    /// <summary>A copy is being read, which takes longer than the caller waits. The caller asks again.</summary>
    Reading,
}

/// <summary>The result of a probe of a file.</summary>
/// <param name="Presence">Whether the file is here.</param>
/// <param name="Message">For people.</param>
/// <param name="StoreId">For an intact file: the store of the copy.</param>
/// <param name="VerifiedTime">For an intact file: when that copy was last verified; UTC.</param>
/// <param name="LostCopies">For a lost file: ids of the copies that wait for a replacement.</param>
public sealed record FileFinding(
    FilePresence Presence,
    string Message,
    long? StoreId = null,
    DateTime? VerifiedTime = null,
    IReadOnlyList<long>? LostCopies = null
);

/// <summary>
/// Probes the copies of files before this site says that it has them, because the catalog only records what was once true. A copy counts as
/// intact if its last verification is recent and its fingerprint has not changed since; any other copy is read.
/// </summary>
/// <remarks>
/// A reading continues when its caller stops waiting, and concurrent callers share it: a file that takes an hour to read is read once, and
/// the next call finds the result in the catalog. A reading has no state outside the process, so a crash loses only the reading.
/// </remarks>
public sealed class CopyProbe(CatalogDatabase database, CopyChecks checks, IOptions<SiteOptions> options, TimeProvider time) : IDisposable
{
    /// <summary>
    /// How long a store may take to answer a probe. A copy in a store that does not answer is <see cref="FilePresence.Unknown"/>.
    /// </summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(30);

    private const int ProbesAtOnce = 8;

    private static readonly FileFinding OtherNames = new(
        FilePresence.OtherContent,
        "A directory whose members have the same contents under other names is here."
    );

    /// <summary>Upper limit of readings that are running or queued. Above it, a reading starts only when a caller asks again.</summary>
    private const int MostReadings = 4096;

    private readonly CancellationTokenSource _stop = new();
    private readonly Dictionary<(long Copy, ChecksumAlgorithm? Also), Task<CopyFinding>> _readings = [];

    /// <summary>Probes the copies of files.</summary>
    /// <param name="files">The files to probe; names are unique.</param>
    /// <param name="readWithin">How long to wait for all copies that have to be read.</param>
    /// <param name="cancellationToken">Stops waiting; readings continue.</param>
    /// <returns>Findings by file name, without files that are not catalogued.</returns>
    public async Task<IReadOnlyDictionary<string, FileFinding>> ProbeAsync(
        IReadOnlyCollection<DeclaredFile> files,
        TimeSpan readWithin,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(files);
        var names = files.Select(f => f.Name).ToList();
        List<FileRecord> catalogued;
        HashSet<long> drives;
        Dictionary<long, CorruptFile> bad;
        await using (var db = database.Open())
        {
            catalogued = await db
                .Files.AsNoTracking()
                .Include(f => f.Copies)
                .Where(f => names.Contains(f.Name))
                .ToListAsync(cancellationToken);
            drives = [.. await db.Drives.Select(d => d.StoreId).ToListAsync(cancellationToken)];
            bad = (await db.CorruptFiles.AsNoTracking().Where(c => names.Contains(c.FileName)).ToListAsync(cancellationToken))
                .GroupBy(c => c.CopyId)
                .ToDictionary(g => g.Key, g => g.First());
        }

        var declared = files.ToDictionary(f => f.Name, StringComparer.Ordinal);
        var findings = new ConcurrentDictionary<string, FileFinding>(StringComparer.Ordinal);
        using var waited = new CancellationTokenSource(readWithin, time);
        await Parallel.ForEachAsync(
            catalogued,
            new ParallelOptions { MaxDegreeOfParallelism = ProbesAtOnce, CancellationToken = cancellationToken },
            async (file, stop) =>
            {
                var copies = file
                    .Copies.Where(i => !drives.Contains(i.StoreId) && (i.Available || bad.ContainsKey(i.Id)))
                    .OrderBy(i => i.Id)
                    .ToList();
                findings[file.Name] = await JudgeAsync(file, declared[file.Name], copies, bad, waited.Token, stop);
            }
        );
        return findings;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _stop.Cancel();
        _stop.Dispose();
    }

    private async Task<FileFinding> JudgeAsync(
        FileRecord file,
        DeclaredFile declared,
        List<FileCopy> copies,
        Dictionary<long, CorruptFile> bad,
        CancellationToken waited,
        CancellationToken cancellationToken
    )
    {
        var (ours, theirs) = (Checksum.Parse(file.Checksum), Checksum.Parse(declared.Checksum));
        var comparison = theirs.CompareTo(ours);
        if (file.Size != declared.Size || comparison == ChecksumComparison.Different)
            return new FileFinding(FilePresence.OtherContent, $"Other content has this name here: {file.Size} bytes, {file.Checksum}.");
        var names = TreeDigest.Understood(declared.TreeDigest);
        if (names is not null && file.TreeDigest is not null && names != file.TreeDigest)
            return OtherNames;
        // The file was catalogued before tree digests existed, so a reading has to compute one.
        var unnamed = names is not null && file.TreeDigest is null;
        if (copies.Count == 0)
            return new FileFinding(FilePresence.NoCopy, "The file is catalogued here, but no copy of it is meant to be here.");
        var (worst, why) = (FilePresence.Lost, new List<string>());
        foreach (var copy in copies)
        {
            var finding = await ProbeAsync(
                file,
                copy,
                bad.GetValueOrDefault(copy.Id),
                comparison == ChecksumComparison.DifferentAlgorithms || unnamed ? theirs.Algorithm : null,
                waited,
                cancellationToken
            );
            if (finding.State == CopyState.Intact)
            {
                if (unnamed && finding.Digest?.TreeDigest != names)
                    return OtherNames;
                return Compared(file, copy, finding, comparison, theirs);
            }

            why.Add(finding.Message);
            if (finding.State == CopyState.Reading)
                worst = FilePresence.Reading;
            else if (finding.State == CopyState.Unknown && worst == FilePresence.Lost)
                worst = FilePresence.Unknown;
        }

        var message = string.Join(' ', why);
        if (worst != FilePresence.Lost)
            return new FileFinding(worst, message);
        // Data that cannot be compared with the catalog cannot replace a copy either.
        return comparison == ChecksumComparison.Equal
            ? new FileFinding(FilePresence.Lost, message, LostCopies: copies.ConvertAll(c => c.Id))
            : new FileFinding(
                FilePresence.NoCopy,
                $"{message} It is catalogued with {file.Checksum}, and only content declared by a checksum of that kind can replace it."
            );
    }

    private FileFinding Compared(FileRecord file, FileCopy copy, CopyFinding finding, ChecksumComparison comparison, Checksum theirs)
    {
        // Checksums of different algorithms cannot be compared, but the reading has computed both.
        return
            comparison == ChecksumComparison.Equal
            || finding.Digest?.Checksums.GetValueOrDefault(theirs.Algorithm).CompareTo(theirs) == ChecksumComparison.Equal
            ? new FileFinding(
                FilePresence.Intact,
                "",
                copy.StoreId,
                finding.Digest is null ? copy.VerifiedTime : time.GetUtcNow().UtcDateTime
            )
            : new FileFinding(FilePresence.OtherContent, $"Other content has this name here: {file.Size} bytes, {file.Checksum}.");
    }

    private async Task<CopyFinding> ProbeAsync(
        FileRecord file,
        FileCopy copy,
        CorruptFile? bad,
        ChecksumAlgorithm? also,
        CancellationToken waited,
        CancellationToken cancellationToken
    )
    {
        var (store, path, why) = await checks.LocateAsync(copy, cancellationToken);
        if (store is null || path is null)
            return new CopyFinding(CopyState.Unknown, $"The copy at {copy.Path} cannot be examined: {why}.");
        FingerprintResult seen;
        try
        {
            seen = await store.FingerprintAsync(path, CancellationToken.None).WaitAsync(Timeout, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            return new CopyFinding(
                CopyState.Unknown,
                $"The copy at {copy.Path} cannot be examined: store '{store.Options.Name}' does not answer."
            );
        }

        if (seen.Status == FingerprintStatus.Missing)
            return await checks.MissingAsync(file, copy, cancellationToken);
        if (seen.Status == FingerprintStatus.IoError)
            return new CopyFinding(CopyState.Unknown, $"The copy at {copy.Path} cannot be examined: {seen.Message}.");
        // The copy is known to be corrupt, and the caller offers a replacement: reading it again would change nothing.
        if (bad is not null && bad.Checksum != CorruptFile.Missing)
            return new CopyFinding(CopyState.Damaged, $"The copy at {copy.Path} has {bad.Size} bytes with {bad.Checksum}.");
        var age = time.GetUtcNow().UtcDateTime - copy.VerifiedTime;
        if (bad is null && also is null && seen.Fingerprint == copy.Fingerprint && age >= TimeSpan.Zero && age < options.Value.ProbeReadAge)
            return new CopyFinding(CopyState.Intact, "");
        return await ReadAsync(file, copy, also, waited, cancellationToken);
    }

    private async Task<CopyFinding> ReadAsync(
        FileRecord file,
        FileCopy copy,
        ChecksumAlgorithm? also,
        CancellationToken waited,
        CancellationToken cancellationToken
    )
    {
        var message = $"The copy at {copy.Path} is being read.";
        if (!TryShare(file, copy, also, out var reading))
            return new CopyFinding(CopyState.Reading, message);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(waited, cancellationToken);
        try
        {
            return await reading.WaitAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new CopyFinding(CopyState.Reading, message);
        }
    }

    /// <summary>Finds or starts the reading of a copy; false if too many are queued.</summary>
    private bool TryShare(FileRecord file, FileCopy copy, ChecksumAlgorithm? also, [NotNullWhen(true)] out Task<CopyFinding>? reading)
    {
        var key = (copy.Id, also);
        lock (_readings)
        {
            if (_readings.TryGetValue(key, out reading))
                return true;
            if (_readings.Count >= MostReadings)
                return false;
            reading = _readings[key] = Task.Run(() => checks.ReadAsync(file, copy, also, _stop.Token), CancellationToken.None);
            _ = reading.ContinueWith(
                ended =>
                {
                    // Callers that still wait see the exception. If none waits, it counts as observed here, and the next caller starts a
                    // new reading.
                    _ = ended.Exception;
                    lock (_readings)
                        _readings.Remove(key);
                },
                CancellationToken.None,
                TaskContinuationOptions.None,
                TaskScheduler.Default
            );
            return true;
        }
    }
}
