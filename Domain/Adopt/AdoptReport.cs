using System.Text.Json.Serialization;

namespace Librarian.Domain.Adopt;

/// <summary>What an administrator asked for.</summary>
/// <param name="From">Connection string of the Python site's database: <c>Data Source=…</c> (SQLite) or <c>Host=…;Database=…</c> (PostgreSQL).</param>
/// <param name="ReportFile">File that gets a line for every row that was not simply taken over.</param>
public sealed record AdoptRequest(string From, string ReportFile)
{
    /// <summary>Do everything and take it back at the end.</summary>
    public bool DryRun { get; init; }

    /// <summary>Stores of the Python site whose copies stay behind.</summary>
    public IReadOnlyList<string> SkippedStores { get; init; } = [];

    /// <summary>Look for every available copy on the disk and compare its size.</summary>
    public bool CheckDisk { get; init; }
}

/// <summary>How an adoption ended.</summary>
public enum AdoptOutcome
{
    /// <summary>Committed; everything read back from the catalog is what was to be there.</summary>
    Adopted,

    /// <summary>As <see cref="Adopted"/>, but files of the source cannot be taken over; the report names them.</summary>
    AdoptedWithoutSomeFiles,

    /// <summary>Nothing was changed; <see cref="AdoptReport.Refusals"/> says why.</summary>
    Refused,
}

/// <summary>What became of a row of the source.</summary>
public enum AdoptEffect
{
    /// <summary>It is in the catalog now.</summary>
    Adopted,

    /// <summary>The catalog had it already, from an earlier run or by itself.</summary>
    AlreadyThere,

    /// <summary>Another row says the same; that one was taken.</summary>
    Folded,

    /// <summary>Not taken.</summary>
    Skipped,

    /// <summary>The catalog holds something else under the same key.</summary>
    Conflict,

    /// <summary>Taken, but with another state than in the source.</summary>
    Changed,

    /// <summary>Taken as it is, and worth a look.</summary>
    Noted,
}

/// <summary>Why nothing was changed.</summary>
/// <param name="Code">Stable, for scripts.</param>
/// <param name="Message">What is wrong, what was not lost, what to do.</param>
public sealed record AdoptRefusal(string Code, string Message);

/// <summary>Rows that met one fate for one reason.</summary>
/// <param name="Effect">The fate.</param>
/// <param name="Text">The reason.</param>
public sealed record AdoptReason(AdoptEffect Effect, string Text)
{
    private const int Named = 5;

    /// <summary>Number of rows.</summary>
    public long Count { get; private set; }

    /// <summary>The first of them, by name or id; all are in the report file.</summary>
    public List<string> First { get; } = [];

    internal void Add(string label)
    {
        Count++;
        if (First.Count < Named) First.Add(label);
    }
}

/// <summary>One kind of rows: what was in the source and what is in the catalog.</summary>
/// <param name="Name">The table's name, the same on both sides.</param>
public sealed record AdoptKind(string Name)
{
    private readonly Dictionary<(AdoptEffect, string), AdoptReason> _reasons = [];

    /// <summary>Rows that the source counts.</summary>
    public long InSource { get; internal set; }

    /// <summary>Rows read from it.</summary>
    public long Read { get; internal set; }

    /// <summary>Rows written to the catalog.</summary>
    public long Adopted { get; internal set; }

    /// <summary>Rows that the catalog had.</summary>
    public long AlreadyThere { get; internal set; }

    /// <summary>Rows that repeat another one.</summary>
    public long Folded { get; internal set; }

    /// <summary>Rows left out.</summary>
    public long Skipped { get; internal set; }

    /// <summary>Rows that contradict the catalog.</summary>
    public long Conflicts { get; internal set; }

    /// <summary>Rows in the catalog's table before and after.</summary>
    public long CatalogBefore { get; internal set; }

    /// <inheritdoc cref="CatalogBefore" />
    public long CatalogAfter { get; internal set; }

    /// <summary>Sum of the hashes of all rows as they should be in the catalog; for rows that were there already, of what identifies them.</summary>
    public string SourceChecksum { get; internal set; } = "";

    /// <summary>The same over what was read back from the catalog.</summary>
    public string CatalogChecksum { get; internal set; } = "";

    /// <summary>Rows that were read back differently from what had been written.</summary>
    public long Differences { get; internal set; }

    /// <summary>Every row is accounted for, and the catalog holds what it should.</summary>
    public bool Matches => InSource == Read && Read == Adopted + AlreadyThere + Folded + Skipped && CatalogAfter == CatalogBefore + Adopted
        && Differences == 0 && Conflicts == 0 && SourceChecksum == CatalogChecksum;

    /// <summary>Reasons, most frequent first.</summary>
    public IReadOnlyList<AdoptReason> Reasons => [.. _reasons.Values.OrderByDescending(r => r.Count)];

    internal void Add(AdoptEffect effect, string reason, string label)
    {
        if (!_reasons.TryGetValue((effect, reason), out var entry)) _reasons[(effect, reason)] = entry = new AdoptReason(effect, reason);
        entry.Add(label);
    }
}

/// <summary>What an adoption did and found.</summary>
public sealed record AdoptReport
{
    /// <summary>How it ended.</summary>
    public AdoptOutcome Outcome { get; internal set; }

    /// <summary>True when everything was taken back at the end, as asked.</summary>
    public required bool DryRun { get; init; }

    /// <summary>The source, without passwords.</summary>
    public required string Source { get; init; }

    /// <summary>The catalog, without passwords.</summary>
    public required string Catalog { get; init; }

    /// <summary>Where every row that was not simply taken over has its line.</summary>
    public required string ReportFile { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>Seconds.</summary>
    public double Seconds { get; internal set; }

    /// <summary>Why nothing was changed; empty after success.</summary>
    public List<AdoptRefusal> Refusals { get; } = [];

    /// <summary>What an administrator should know or do.</summary>
    public List<string> Notes { get; } = [];

    /// <summary>Per kind, in the order of adoption.</summary>
    public List<AdoptKind> Kinds { get; } = [];
}

/// <summary>JSON of the report.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true, WriteIndented = true)]
[JsonSerializable(typeof(AdoptReport))]
public sealed partial class AdoptJson : JsonSerializerContext;
