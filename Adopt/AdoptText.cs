using System.Text;

namespace Librarian.Adopt;

/// <summary>Writes the report of an adoption for people.</summary>
internal static class AdoptText
{
    private const int SumShown = 12;

    private static readonly string[] Head =
    [
        "",
        "in source",
        "adopted",
        "already there",
        "folded",
        "skipped",
        "conflicts",
        "catalog before",
        "after",
        "source sum",
        "catalog sum",
        "check",
    ];

    /// <summary>Writes tables of counts and sums, then reasons and notes, then the result.</summary>
    public static async Task WriteAsync(AdoptReport report, TextWriter output)
    {
        await output.WriteLineAsync($"{(report.DryRun ? "Dry run: " : "")}{report.Source} into {report.Catalog}, {report.Seconds:0.0} s");
        if (report.Kinds.Count > 0)
            await output.WriteLineAsync(Table([Head, .. report.Kinds.Select(Line)]));
        foreach (var (kind, reason) in report.Kinds.SelectMany(k => k.Reasons.Select(r => (k, r))))
        {
            var more = reason.Count > reason.First.Count ? ", …" : "";
            await output.WriteLineAsync(
                $"{kind.Name}: {reason.Count} {Words(reason.Effect)}: {reason.Text}{Environment.NewLine}    "
                    + $"{string.Join(", ", reason.First).Shown()}{more}"
            );
        }

        foreach (var note in report.Notes)
            await output.WriteLineAsync($"Note: {note}".Shown());
        await output.WriteLineAsync($"Every row that was not simply taken over has a line in {report.ReportFile}.");
        await output.WriteLineAsync(
            report.Outcome switch
            {
                AdoptOutcome.Refused => "NOTHING WAS CHANGED.",
                AdoptOutcome.AdoptedWithoutSomeFiles =>
                    $"{Verb(report)} FILES ARE LEFT OUT, see above; all else of the source is in the catalog and was compared.",
                _ => $"{Verb(report)} All of the source is in the catalog and was compared.",
            }
        );
    }

    private static string Verb(AdoptReport report) => report.DryRun ? "Dry run, nothing was changed. It would have ended so:" : "Done.";

    private static string[] Line(AdoptKind kind) =>
        [
            kind.Name,
            $"{kind.InSource}",
            $"{kind.Adopted}",
            $"{kind.AlreadyThere}",
            $"{kind.Folded}",
            $"{kind.Skipped}",
            $"{kind.Conflicts}",
            $"{kind.CatalogBefore}",
            $"{kind.CatalogAfter}",
            Short(kind.SourceChecksum),
            Short(kind.CatalogChecksum),
            kind.Matches ? "ok" : "DIFFERS",
        ];

    private static string Short(string sum) => sum.Length > SumShown ? sum[^SumShown..] : "-";

    private static string Words(AdoptEffect effect) =>
        effect switch
        {
            AdoptEffect.AlreadyThere => "already there",
            AdoptEffect.Conflict => "in conflict",
            _ => effect.ToString().ToLowerInvariant(),
        };

    private static string Table(List<string[]> rows)
    {
        var widths = Enumerable.Range(0, Head.Length).Select(i => rows.Max(r => r[i].Length)).ToArray();
        var text = new StringBuilder();
        foreach (var row in rows)
        {
            text.AppendLine();
            for (var i = 0; i < row.Length; i++)
                text.Append(i == 0 ? row[i].PadRight(widths[i]) : "  " + row[i].PadLeft(widths[i]));
        }

        return text.AppendLine().ToString();
    }
}
