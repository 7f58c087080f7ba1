using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

public sealed partial class DriveIngest
{
    /// <summary>How long a probe may read copies; after that the read continues, and a later round decides the files.</summary>
    private static readonly TimeSpan ReadWithin = TimeSpan.FromMinutes(2);

    /// <summary>Decides entries that need no data from the drive: files that are here, and names that cannot be stored.</summary>
    private async Task<List<Entry>> SortAsync(
        CatalogContext db,
        IncomingDrive incoming,
        List<Entry> entries,
        List<Decision> decisions,
        List<FileFinding> later,
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
        List<string> above = [.. names.SelectMany(NestedNames.Ancestors).Distinct(StringComparer.Ordinal)];
        var containers = (await db.Files.Where(f => above.Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken)).ToHashSet(
            StringComparer.Ordinal
        );
        var containing = await NestedNames.ContainingAsync(db, names, cancellationToken);
        var open = new List<Entry>();
        foreach (var entry in entries)
        {
            var file = entry.File;
            if (decided.Contains(file.Name))
                continue;
            if (file.Problem is not null)
                decisions.Add(Decision.Fail(entry, $"The manifest's entry cannot be used: {file.Problem}."));
            else if (entry.Path is null)
                decisions.Add(
                    Decision.Fail(
                        entry,
                        "The name cannot be stored: "
                            + (entry.Refusal == FileNameRefusal.None ? "it is not normalised." : FileName.Describe(entry.Refusal))
                    )
                );
            else if (here.TryGetValue(file.Name, out var known))
            {
                var finding = found.GetValueOrDefault(file.Name);
                if (finding is { Presence: FilePresence.Intact } && entry.Members is not null)
                    finding = await CompareMembersAsync(entry, finding, cancellationToken);
                if (finding is { Presence: FilePresence.Unknown or FilePresence.Reading })
                    later.Add(finding);
                else
                    decisions.Add(
                        finding is { Presence: FilePresence.Intact, StoreId: { } store }
                            ? new Decision(entry, DriveFileOutcome.AlreadyHere, store, null)
                            : Decision.Fail(
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
            else if (NestedNames.Ancestors(file.Name).FirstOrDefault(containers.Contains) is { } container)
                decisions.Add(
                    Decision.Fail(
                        entry,
                        $"'{container}' is a file of its own here (a directory counts as one); nothing can be stored inside it."
                    )
                );
            else if (containing.Contains(file.Name))
                decisions.Add(Decision.Fail(entry, $"Files are stored below '{file.Name}/' here; a file of that name would contain them."));
            else
                open.Add(entry);
        }

        return open;
    }

    /// <summary>Compares names of members, which the manifest lists and the checksum of a directory leaves out.</summary>
    private async Task<FileFinding> CompareMembersAsync(Entry entry, FileFinding intact, CancellationToken cancellationToken)
    {
        if (await stores.FindAsync(intact.StoreId, cancellationToken) is not { } store)
            return new FileFinding(FilePresence.Unknown, "Its store has just gone away.");
        return await IsCommittedAsync(store, entry, flush: false, cancellationToken) switch
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
