using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>Decides entries that need no data from the drive: files that are here, and names that cannot be stored.</summary>
public sealed class IngestSorting(CopyProbe probe, SiteStores stores)
{
    /// <summary>How long a probe may read copies; after that the read continues, and a later round decides the files.</summary>
    private static readonly TimeSpan ReadWithin = TimeSpan.FromMinutes(2);

    /// <summary>Sorts a window's entries: decided, open, or left for later.</summary>
    internal async Task SortAsync(
        CatalogContext db,
        IncomingDrive incoming,
        List<IngestEntry> entries,
        IngestWork work,
        CancellationToken cancellationToken
    )
    {
        var names = entries.ConvertAll(e => e.File.Name);
        var decided = (
            await db
                .IncomingDriveFiles.AsNoTracking()
                .Where(f => f.IncomingDriveId == incoming.Id && names.Contains(f.FileName))
                .Select(f => f.FileName)
                .ToListAsync(cancellationToken)
        ).ToHashSet(StringComparer.Ordinal);
        var here = await db
            .Files.AsNoTracking()
            .Where(f => names.Contains(f.Name))
            .Select(f => new DeclaredFile(f.Name, f.Size, f.Checksum, f.TreeDigest))
            .ToDictionaryAsync(f => f.Name, cancellationToken);
        var undecided = entries
            .Where(e => !decided.Contains(e.File.Name) && here.GetValueOrDefault(e.File.Name) is { } known && IsSame(known, e.File))
            .Select(e => here[e.File.Name])
            .ToList();
        var found =
            undecided.Count == 0 ? new Dictionary<string, FileFinding>() : await probe.ProbeAsync(undecided, ReadWithin, cancellationToken);
        var conflicts = await NameConflicts.ReadAsync(db, names, cancellationToken);
        foreach (var entry in entries)
        {
            var name = entry.File.Name;
            if (decided.Contains(name))
                continue;
            if (WhyUnusable(entry) is { } refusal)
                work.Decisions.Add(IngestDecision.Fail(entry, refusal));
            else if (here.TryGetValue(name, out var known))
                await DecideKnownAsync(entry, known, found.GetValueOrDefault(name), work, cancellationToken);
            else if (conflicts.Describe(name) is { } conflict)
                work.Decisions.Add(IngestDecision.Fail(entry, conflict));
            else
                work.Open.Add(entry);
        }
    }

    private static string? WhyUnusable(IngestEntry entry)
    {
        if (entry.File.Problem is { } problem)
            return $"The manifest's entry cannot be used: {problem}.";
        return entry.Path is null
            ? "The name cannot be stored: "
                + (entry.Refusal == FileNameRefusal.None ? "it is not normalised." : FileName.Describe(entry.Refusal))
            : null;
    }

    /// <summary>Decides an entry whose name is catalogued here, unless its copies are not proven yet.</summary>
    private async Task DecideKnownAsync(
        IngestEntry entry,
        DeclaredFile known,
        FileFinding? finding,
        IngestWork work,
        CancellationToken cancellationToken
    )
    {
        var file = entry.File;
        if (finding is { Presence: FilePresence.Intact } && entry.Members is not null)
            finding = await CompareMembersAsync(entry, finding, cancellationToken);
        if (finding is { Presence: FilePresence.Unknown or FilePresence.Reading })
            work.Later.Add(finding);
        else
            work.Decisions.Add(
                finding is { Presence: FilePresence.Intact, StoreId: { } store }
                    ? new IngestDecision(entry, DriveFileOutcome.AlreadyHere, store, null)
                    : IngestDecision.Fail(
                        entry,
                        finding is { Presence: FilePresence.OtherContent } ? finding.Message
                            : IsSame(known, file)
                                ? $"The file is catalogued here, but no copy of it is intact ({finding?.Message}). "
                                    + "A copy that is missing or damaged is replaced over the link; "
                                    + "the drive keeps its own until then."
                            : $"Another file has this name here: {known.Size} bytes, {known.Checksum}; "
                                + $"on the drive {file.Size} bytes, {file.Checksum}. "
                                + "Neither was touched. Find out which is right."
                    )
            );
    }

    /// <summary>Compares names of members, which the manifest lists and the checksum of a directory leaves out.</summary>
    private async Task<FileFinding> CompareMembersAsync(IngestEntry entry, FileFinding intact, CancellationToken cancellationToken)
    {
        if (await stores.FindAsync(intact.StoreId, cancellationToken) is not { } store)
            return new FileFinding(FilePresence.Unknown, "Its store has just gone away.");
        return await entry.IsCommittedAsync(store, flush: false, cancellationToken) switch
        {
            true => intact,
            null => new FileFinding(FilePresence.Unknown, $"The copy at {store.Locate(entry.Path!)} cannot be read now."),
            false => new FileFinding(
                FilePresence.OtherContent,
                "A directory of this name whose members have the same contents under other names is here. "
                    + "Neither was touched. Find out which is right."
            ),
        };
    }

    private static bool IsSame(DeclaredFile known, ManifestFile file) =>
        known.Size == file.Size && Checksum.Parse(known.Checksum).CompareTo(Checksum.Parse(file.Checksum)) == ChecksumComparison.Equal;
}
