using System.Globalization;
using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>Copies the reserved files of a round to a drive and has the results recorded.</summary>
public sealed class FillCopying(
    SiteStores stores,
    CopyChecks checks,
    FillRecording recording,
    FillErrors errors,
    FillObstacles obstacles,
    IOptions<SiteOptions> options
)
{
    /// <summary>Copies and records the files of a round.</summary>
    internal async Task<FillResult> CopyAsync(
        Drive drive,
        OpenDrive medium,
        MediumNames? names,
        List<ReservedFile> files,
        Action<long>? onBytes,
        CancellationToken cancellationToken
    )
    {
        var results = await AddAsync(drive, medium, names, files, onBytes, cancellationToken);
        if (names is { IsCaseInsensitive: true })
            await FindSameNamesAsync(medium, results, cancellationToken);

        // A medium that was pulled out says nothing about files: those that were not added stay reserved, and the next round begins by
        // dropping them.
        var answers = medium.Answers();
        if (!answers)
            results.RemoveAll(r => r.Result.Status != AdditionStatus.Added);
        var recorded = await recording.RecordAsync(drive, results, cancellationToken);
        foreach (var (_, result) in results.Where(r => r.Result.MembersFile is not null))
            File.Delete(result.MembersFile!);
        if (!recorded)
        {
            // The drive was frozen meanwhile: its manifest does not list these files, so they must go.
            foreach (var (file, result) in results.Where(r => r.Result.Status == AdditionStatus.Added))
                await UnfinishedCopies.DropDataAsync(medium, file.Row.FileName, result.Addition.Id, cancellationToken);
            return FillResult.FrozenMeanwhile(drive);
        }

        // Before the next round chooses copies: a copy that differs twice is corrupt, and the next round uses another copy or lets the file
        // wait.
        foreach (var (file, _) in results.Where(r => r.Result.Status == AdditionStatus.SourceDiffers))
            await checks.ReadAgainAsync(file.SourceCopy, cancellationToken);
        await errors.RaiseFailedAsync(drive, results, cancellationToken);
        await errors.RaiseUnfitAsync(
            drive,
            [.. results.Where(r => r.Result.Status == AdditionStatus.Unfit).Select(r => (r.File.Row.FileName, r.Result.Message))],
            cancellationToken
        );
        return answers ? await OutcomeAsync(drive, medium, results, cancellationToken) : FillResult.NotPlugged(drive);
    }

    private async Task<List<(ReservedFile File, AdditionResult Result)>> AddAsync(
        Drive drive,
        OpenDrive medium,
        MediumNames? names,
        List<ReservedFile> files,
        Action<long>? onBytes,
        CancellationToken cancellationToken
    )
    {
        var spool = Security
            .PrivateFile.CreateDirectory(Path.Combine(options.Value.DataDirectory, "spool", drive.DriveId.ToString("D")))
            .FullName;
        var results = new List<(ReservedFile File, AdditionResult Result)>();
        foreach (var group in files.GroupBy(f => f.SourceStore))
        {
            var additions = group.ToDictionary(f => f.Row.AdditionId, f => f);
            if (stores.Find(group.Key) is not { } source)
            {
                results.AddRange(
                    group.Select(f => (f, new AdditionResult(Of(f), AdditionStatus.SourceError, "The store of its copy is not mounted.")))
                );
                continue;
            }

            var done = await medium.Store.AddAsync(
                source,
                [.. group.Select(Of)],
                new AdditionOptions
                {
                    Parallelism = options.Value.Drives.Parallelism,
                    SpoolDirectory = spool,
                    OnBytes = onBytes,
                    RefuseMember = LineRules.MemberRefusal,
                    UnfitMember = names is null ? null : names.Refusal,
                },
                cancellationToken
            );
            results.AddRange(done.Select(r => (additions[r.Addition.Id], r)));
        }

        return results;

        static Addition Of(ReservedFile f) =>
            new(f.Source, f.Name, new ContentDescription(Checksum.Parse(f.Checksum), f.Row.Size), f.Row.AdditionId);
    }

    /// <summary>
    /// Tells a name that is taken by another one, which a case-insensitive drive takes for the same, from one whose data are there.
    /// </summary>
    private static async Task FindSameNamesAsync(
        OpenDrive medium,
        List<(ReservedFile File, AdditionResult Result)> results,
        CancellationToken cancellationToken
    )
    {
        for (var i = 0; i < results.Count; i++)
        {
            var (file, result) = results[i];
            if (
                result.Status == AdditionStatus.NameTaken
                && await medium.Store.OtherNameAsync(file.Name, new HashSet<string>(StringComparer.Ordinal), cancellationToken) is { } taken
            )
                results[i] = (
                    file,
                    result with
                    {
                        Status = AdditionStatus.Unfit,
                        Message = $"the drive holds another name that it takes for the same as '{taken.Shown()}'",
                    }
                );
        }
    }

    private async Task<FillResult> OutcomeAsync(
        Drive drive,
        OpenDrive medium,
        List<(ReservedFile File, AdditionResult Result)> results,
        CancellationToken cancellationToken
    )
    {
        var added = results.Where(r => r.Result.Status == AdditionStatus.Added).ToList();
        var bad = results.Where(r => r.Result.Status is AdditionStatus.IoError or AdditionStatus.CopyDiffers).ToList();
        var bytes = added.Sum(r => r.File.Row.Size);
        if (added.Count == 0 && bad.Count > 0)
            return FillResult.Nothing(FillOutcome.Trouble, $"Drive '{drive.Name}' refuses writes: {bad[0].Result.Message}");
        if (added.Count == 0 && results.Find(r => r.Result.Status == AdditionStatus.NoSpace) is { File: { } misfit })
            return await obstacles.MisfitAsync(drive, medium, misfit, cancellationToken);
        return new FillResult(
            FillOutcome.More,
            added.Count,
            bytes,
            string.Create(CultureInfo.InvariantCulture, $"{added.Count} files, {bytes} bytes put on.")
        );
    }
}
