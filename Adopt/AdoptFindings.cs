namespace Librarian.Adopt;

/// <summary>What an administrator learns of an adoption: its report, the lines of the report file, and its progress.</summary>
internal sealed class AdoptFindings(AdoptReport report, AdoptLog log, Action<AdoptProgress>? progress)
{
    /// <summary>Whether nothing may be changed.</summary>
    public bool AreRefused => report.Refusals.Count > 0;

    /// <summary>Begins the counts of a table.</summary>
    public AdoptKind Begin(string table)
    {
        var entry = new AdoptKind(table);
        report.Kinds.Add(entry);
        return entry;
    }

    public void Refuse(string code, string message) => report.Refusals.Add(new AdoptRefusal(code, message));

    /// <summary>Adds what an administrator should know or do.</summary>
    public void Note(string text) => report.Notes.Add(text);

    public void Count<T>(AdoptKind entry, Candidate<T> candidate)
        where T : class
    {
        entry.Read++;
        switch (candidate.Effect)
        {
            case null:
                entry.Adopted++;
                foreach (var (effect, reason) in candidate.Remarks)
                    Report(entry, effect, reason, candidate.Label);
                return;
            case AdoptEffect.AlreadyThere:
                entry.AlreadyThere++;
                break;
            case AdoptEffect.Folded:
                entry.Folded++;
                break;
            case AdoptEffect.Skipped:
                entry.Skipped++;
                break;
            case AdoptEffect.Conflict:
                entry.Conflicts++;
                break;
        }

        if (candidate.Reason is { } why)
            Report(entry, candidate.Effect.Value, why, candidate.Label, candidate.Detail);
    }

    public void Report(AdoptKind entry, AdoptEffect effect, string reason, string label, string? detail = null)
    {
        entry.Add(effect, reason, label);
        log.Add(entry.Name, label, effect, reason, detail);
    }

    /// <summary>Writes the lines of a chunk to the report file, and shows the progress.</summary>
    public async Task EndChunkAsync(AdoptKind entry, CancellationToken cancellationToken)
    {
        await log.FlushAsync(cancellationToken);
        progress?.Invoke(new AdoptProgress(entry.Name, entry.Read, entry.InSource));
    }

    /// <summary>Compares the catalog with the source before anything is committed.</summary>
    public void Judge()
    {
        var conflicts = report.Kinds.Where(k => k.Conflicts > 0).Select(k => $"{k.Conflicts} in {k.Name}").ToList();
        if (conflicts.Count > 0)
            Refuse(
                "catalog-conflict",
                $"The catalog holds other things under keys of the source: {string.Join(", ", conflicts)}; the report names them. "
                    + "Peers know these ids, so none is changed. Nothing was changed. "
                    + "Adopt into an empty catalog, before the site takes files of its own."
            );
        else if (report.Kinds.FindAll(k => !k.Matches) is { Count: > 0 } wrong)
            Refuse(
                "catalog-differs",
                "What was read back from the catalog is not what the source holds: "
                    + $"{string.Join(", ", wrong.Select(k => k.Name))}. "
                    + "Nothing was changed. This is a defect of the program; report it with the report file."
            );
        report.Outcome = report.Kinds.Find(k => k.Name == "files") is { Skipped: > 0 }
            ? AdoptOutcome.AdoptedWithoutSomeFiles
            : AdoptOutcome.Adopted;
    }

    /// <summary>Names for a sentence.</summary>
    public static string Quoted(IEnumerable<string> names) => string.Join(", ", names.Select(n => $"'{n}'"));
}
