using System.Text.Json.Serialization;

namespace Librarian.Adopt;

/// <summary>An administrator's request.</summary>
/// <param name="From">Connection string of the Python site's database: <c>Data Source=…</c> (SQLite) or <c>Host=…;Database=…</c>
/// (PostgreSQL).</param>
/// <param name="ReportFile">File that gets a line for every row that was not simply adopted.</param>
public sealed record AdoptRequest(string From, string ReportFile)
{
    /// <summary>Do everything and roll it back at the end.</summary>
    public bool DryRun { get; init; }

    /// <summary>Stores of the Python site whose copies are not adopted.</summary>
    public IReadOnlyList<string> SkippedStores { get; init; } = [];

    /// <summary>Check that every available copy is on the disk with the right size.</summary>
    public bool CheckDisk { get; init; }
}

/// <summary>How an adoption ended.</summary>
public enum AdoptOutcome
{
    /// <summary>Committed; the catalog was read back and holds what it should.</summary>
    Adopted,

    /// <summary>As <see cref="Adopted"/>, but some files of the source cannot be adopted; the report names them.</summary>
    AdoptedWithoutSomeFiles,

    /// <summary>Nothing was changed; <see cref="AdoptReport.Refusals"/> says why.</summary>
    Refused,
}

/// <summary>Effect of the adoption on a row of the source.</summary>
public enum AdoptEffect
{
    /// <summary>It is in the catalog now.</summary>
    Adopted,

    /// <summary>The catalog had it already, from an earlier run or of its own.</summary>
    AlreadyThere,

    /// <summary>Another row says the same; that one was adopted.</summary>
    Folded,

    /// <summary>Not adopted.</summary>
    Skipped,

    /// <summary>The catalog holds something else under the same key.</summary>
    Conflict,

    /// <summary>Adopted with another state than in the source.</summary>
    Changed,

    /// <summary>Adopted as it is; an administrator should check it.</summary>
    Noted,
}

/// <summary>Why nothing was changed.</summary>
/// <param name="Code">Stable, for scripts.</param>
/// <param name="Message">What is wrong, what was not lost, what to do.</param>
public sealed record AdoptRefusal(string Code, string Message);

/// <summary>Rows with the same effect for the same reason.</summary>
/// <param name="Effect">The effect.</param>
/// <param name="Text">The reason.</param>
public sealed record AdoptReason(AdoptEffect Effect, string Text)
{
    private const int Named = 5;

    /// <summary>Number of rows.</summary>
    public long Count { get; private set; }

    /// <summary>The first of them, by name or id; the report file has all.</summary>
    public List<string> First { get; } = [];

    internal void Add(string label)
    {
        Count++;
        if (First.Count < Named)
            First.Add(label);
    }
}

/// <summary>Counts of one table: in the source and in the catalog.</summary>
/// <param name="Name">The table's name, the same on both sides.</param>
public sealed record AdoptKind(string Name)
{
    private readonly Dictionary<(AdoptEffect, string), AdoptReason> _reasons = [];

    /// <summary>Number of rows in the source.</summary>
    public long InSource { get; internal set; }

    /// <summary>Rows read from the source.</summary>
    public long Read { get; internal set; }

    /// <summary>Rows written to the catalog.</summary>
    public long Adopted { get; internal set; }

    /// <summary>Rows that the catalog already had.</summary>
    public long AlreadyThere { get; internal set; }

    /// <summary>Rows that repeat another one.</summary>
    public long Folded { get; internal set; }

    /// <summary>Rows that were left out.</summary>
    public long Skipped { get; internal set; }

    /// <summary>Rows that contradict the catalog.</summary>
    public long Conflicts { get; internal set; }

    /// <summary>Rows in the catalog's table before and after.</summary>
    public long CatalogBefore { get; internal set; }

    /// <inheritdoc cref="CatalogBefore" />
    public long CatalogAfter { get; internal set; }

    /// <summary>
    /// Sum of the hashes of all rows as they should be in the catalog; a row that was there already counts with its identifying values
    /// only.
    /// </summary>
    public string SourceChecksum { get; internal set; } = "";

    /// <summary>The same for the rows read back from the catalog.</summary>
    public string CatalogChecksum { get; internal set; } = "";

    /// <summary>Rows that differ from what was written when they were read back.</summary>
    public long Differences { get; internal set; }

    /// <summary>Whether every row is accounted for, and the catalog holds what it should.</summary>
    public bool Matches =>
        InSource == Read
        && Read == Adopted + AlreadyThere + Folded + Skipped
        && CatalogAfter == CatalogBefore + Adopted
        && Differences == 0
        && Conflicts == 0
        && SourceChecksum == CatalogChecksum;

    /// <summary>Reasons, most frequent first.</summary>
    public IReadOnlyList<AdoptReason> Reasons => [.. _reasons.Values.OrderByDescending(r => r.Count)];

    internal void Add(AdoptEffect effect, string reason, string label)
    {
        if (!_reasons.TryGetValue((effect, reason), out var entry))
            _reasons[(effect, reason)] = entry = new AdoptReason(effect, reason);
        entry.Add(label);
    }
}

/// <summary>Results and findings of an adoption.</summary>
public sealed record AdoptReport
{
    /// <summary>How it ended.</summary>
    public AdoptOutcome Outcome { get; internal set; }

    /// <summary>True when everything was rolled back at the end, as requested.</summary>
    public required bool DryRun { get; init; }

    /// <summary>The source, without passwords.</summary>
    public required string Source { get; init; }

    /// <summary>The catalog, without passwords.</summary>
    public required string Catalog { get; init; }

    /// <summary>The file with a line for every row that was not simply adopted.</summary>
    public required string ReportFile { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>Seconds.</summary>
    public double Seconds { get; internal set; }

    /// <summary>Why nothing was changed; empty after success.</summary>
    public List<AdoptRefusal> Refusals { get; } = [];

    /// <summary>What an administrator should know or do.</summary>
    public List<string> Notes { get; } = [];

    /// <summary>Per table, in the order of adoption.</summary>
    public List<AdoptKind> Kinds { get; } = [];
}

/// <summary>JSON of the report.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UseStringEnumConverter = true,
    WriteIndented = true
)]
[JsonSerializable(typeof(AdoptReport))]
public sealed partial class AdoptJson : JsonSerializerContext;
