using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>Copies the open entries of a round from the drive to a store, and decides them by the results.</summary>
public sealed class IngestCopying(CatalogDatabase database, DriveArchive archive, ErrorLog errors, IOptions<SiteOptions> options)
{
    private const int MaxDiagnosed = 100_000;

    /// <summary>Copies the files; returns why some entries could not be decided, or null.</summary>
    internal async Task<string?> CopyAsync(
        IncomingDrive incoming,
        OpenDrive held,
        IngestWork work,
        Action<long>? onBytes,
        CancellationToken cancellationToken
    )
    {
        var leftOut = new LeftOut();
        var results = await AddAsync(incoming, held, work, leftOut, onBytes, cancellationToken);
        if (leftOut.Count > 0)
            await RaiseLeftOutAsync(incoming, leftOut, cancellationToken);
        // Checked after the copies: if the medium does not answer now, its failures say nothing about single files.
        var answers = held.Answers();
        if (
            answers
            && incoming.IsUpstream
            && results.All(r => r.Status == AdditionStatus.SourceMissing)
            && !await HoldsEarlierAsync(incoming, held, cancellationToken)
        )
            return $"None of the next {work.Open.Count} files of the manifest is in {incoming.DataPath}. "
                + "Is the right drive mounted there, and was --store-root right? "
                + "If it is, and the files are gone, there is nothing left to take.";
        return await DecideAsync(incoming, held, work, results, answers, cancellationToken);
    }

    private async Task<IReadOnlyList<AdditionResult>> AddAsync(
        IncomingDrive incoming,
        OpenDrive held,
        IngestWork work,
        LeftOut leftOut,
        Action<long>? onBytes,
        CancellationToken cancellationToken
    )
    {
        var store = work.Store!;
        var adding = new AdditionOptions
        {
            Parallelism = options.Value.Drives.Parallelism,
            OnBytes = onBytes,
            MayWrite = () => store.IsMounted,
        };
        var results = await store.Store.AddAsync(
            held.Store,
            [.. work.Open.Select(e => AdditionOf(e, Guid.Parse(work.Reservations[e.File.Name].StagingPath!), leftOut))],
            adding,
            cancellationToken
        );
        if (incoming.IsUpstream && leftOut.Count > 0 && results.Any(r => r.Status == AdditionStatus.SourceDiffers))
        {
            // Such a manifest lists no members: an entry that looks like an operating system's may have been archived.
            var whole = results
                .Where(r => r.Status == AdditionStatus.SourceDiffers)
                .Select(r => r.Addition with { LeaveOut = null })
                .ToList();
            var again = await store.Store.AddAsync(held.Store, whole, adding, cancellationToken);
            results = [.. results.Where(r => r.Status != AdditionStatus.SourceDiffers), .. again];
        }

        return results;
    }

    private static Addition AdditionOf(IngestEntry entry, Guid id, LeftOut leftOut) =>
        new(entry.Path!, entry.Path!, new ContentDescription(Checksum.Parse(entry.File.Checksum), entry.File.Size), id)
        {
            ExpectedSha256 = entry.File.Sha256,
            ExpectedMembers = entry.Members,
            LeaveOut = path =>
            {
                if (!entry.LeavesOut(path))
                    return false;
                leftOut.Add(entry.File.Name, path);
                return true;
            },
        };

    private Task RaiseLeftOutAsync(IncomingDrive incoming, LeftOut leftOut, CancellationToken cancellationToken) =>
        errors.RaiseAsync(
            ErrorSeverity.Info,
            ErrorCategory.DataAvailability,
            $"drive foreign {incoming.Name}",
            $"An operating system had left entries among the data on drive '{incoming.Name}' of '{incoming.Source}'. "
                + $"They are not in its manifest and were left out, {leftOut.Count} so far: {leftOut}. The data are whole.",
            cancellationToken
        );

    /// <summary>Decides entries by the results of their copies; returns why some could not be decided, or null.</summary>
    /// <param name="incoming">The incoming drive.</param>
    /// <param name="held">The drive.</param>
    /// <param name="work">The work; it takes the decisions.</param>
    /// <param name="results">Results of the copies.</param>
    /// <param name="answers">Whether the medium still answers after them.</param>
    /// <param name="cancellationToken">Cancels.</param>
    private async Task<string?> DecideAsync(
        IncomingDrive incoming,
        OpenDrive held,
        IngestWork work,
        IReadOnlyList<AdditionResult> results,
        bool answers,
        CancellationToken cancellationToken
    )
    {
        string? undecided = null;
        var store = work.Store!;
        var byName = work.Open.ToDictionary(e => e.File.Name, StringComparer.Ordinal);
        var holders = await HoldersAsync(store, results, cancellationToken);
        foreach (var result in results)
        {
            var entry = byName[result.Addition.Name.Value];
            switch (result.Status)
            {
                case AdditionStatus.Added when holders.TryGetValue(result.Addition.Name.Value, out var holder):
                    work.Decisions.Add(
                        IngestDecision.Fail(
                            entry,
                            $"What lies at '{entry.File.Name}' belongs to the catalogued file '{holder}', or contains it; "
                                + "two files cannot share data. It was left as it is."
                        )
                    );
                    break;
                case AdditionStatus.Added:
                    work.Decisions.Add(new IngestDecision(entry, DriveFileOutcome.Stored, store.Id, null));
                    break;
                case AdditionStatus.SourceDiffers
                or AdditionStatus.SourceMissing
                or AdditionStatus.SourceError
                or AdditionStatus.Refused when answers:
                    work.Decisions.Add(
                        IngestDecision.Fail(entry, await DiagnoseAsync(incoming, held.Store, entry, result, cancellationToken))
                    );
                    break;
                case AdditionStatus.NameTaken:
                    work.Decisions.Add(
                        IngestDecision.Fail(
                            entry,
                            $"{result.Message} They are not in the catalog; "
                                + "examine them, then move them away or catalogue them with admin/add_file."
                        )
                    );
                    break;
                default:
                    undecided ??= result.Message;
                    break;
            }
        }

        return undecided;
    }

    /// <summary>For data that were in the store already, by location: the catalogued file that they belong to.</summary>
    private async Task<Dictionary<string, string>> HoldersAsync(
        SiteStore store,
        IReadOnlyList<AdditionResult> results,
        CancellationToken cancellationToken
    )
    {
        List<string> locations =
        [
            .. results.Where(r => r is { Status: AdditionStatus.Added, WasThere: true }).Select(r => r.Addition.Name.Value),
        ];
        if (locations.Count == 0)
            return [];
        await using var db = database.Open();
        return await SharedData.HoldersAsync(db, store.Id, locations, cancellationToken);
    }

    /// <summary>Whether a file that was stored from this drive before is still on it.</summary>
    private async Task<bool> HoldsEarlierAsync(IncomingDrive incoming, OpenDrive held, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        foreach (
            var name in await db
                .IncomingDriveFiles.AsNoTracking()
                .Where(f => f.IncomingDriveId == incoming.Id && f.Outcome == DriveFileOutcome.Stored)
                .OrderByDescending(f => f.Id)
                .Take(100)
                .Select(f => f.FileName)
                .ToListAsync(cancellationToken)
        )
        {
            if (FileName.TryParse(name, out var path, out _) && await held.Store.ExistsAsync(path, cancellationToken) == Presence.Present)
                return true;
        }

        return false;
    }

    /// <summary>Finds the bad members of a bad directory.</summary>
    private async Task<string> DiagnoseAsync(
        IncomingDrive incoming,
        LocalStore drive,
        IngestEntry entry,
        AdditionResult result,
        CancellationToken cancellationToken
    )
    {
        if (result.Status != AdditionStatus.SourceDiffers || entry.File.Members is not (> 0 and <= MaxDiagnosed) || incoming.IsUpstream)
            return result.Message;
        var expected = new Dictionary<string, ManifestMember>(StringComparer.Ordinal);
        await using (
            var cursor = await ManifestCursor.OpenAsync(archive.ArrivedManifest(incoming.DriveId, incoming.Trip), cancellationToken)
        )
        {
            cursor.Seek(entry.Offset);
            await cursor.ReadFileAsync(cancellationToken);
            while (await cursor.ReadMemberAsync(cancellationToken) is { } member)
                expected[member.Path] = member;
        }

        var bad = new List<string>();
        await drive.DigestAsync(
            entry.Path!,
            [ChecksumAlgorithm.Sha256],
            new DigestOptions
            {
                LeaveOut = entry.LeavesOut,
                OnMember = m =>
                {
                    if (!expected.Remove(m.Path, out var member))
                        bad.Add($"'{m.Path.Shown()}' is not in the manifest");
                    else if (member.Size != m.SizeBytes)
                        bad.Add($"'{m.Path.Shown()}' has {m.SizeBytes} bytes instead of {member.Size}");
                    else if (member.Sha256 != m.Checksums[ChecksumAlgorithm.Sha256].Digest)
                        bad.Add($"'{m.Path.Shown()}' has other bytes than the manifest says");
                },
            },
            cancellationToken: cancellationToken
        );
        bad.AddRange(expected.Keys.Select(p => $"'{p.Shown()}' is missing"));
        return bad.Count == 0
            ? result.Message
            : $"{bad.Count} of {entry.File.Members} files in it are bad: {string.Join("; ", bad.Order(StringComparer.Ordinal).Take(10))}.";
    }
}
