namespace Librarian.Adopt;

/// <summary>A row of the source on its way into the catalog.</summary>
/// <param name="label">Its name or id, for reports.</param>
/// <param name="row">The catalog's row.</param>
internal sealed class Candidate<T>(string label, T row)
    where T : class
{
    private List<(AdoptEffect, string)>? _remarks;

    /// <summary>Its name or id, for reports.</summary>
    public string Label => label;

    /// <summary>The row that the catalog would get.</summary>
    public T Row => row;

    /// <summary>Effect on the row; null while it may still be adopted.</summary>
    public AdoptEffect? Effect { get; private set; }

    /// <summary>Why it is not adopted, if there is a reason to report.</summary>
    public string? Reason { get; private set; }

    /// <summary>Details of the reason for this row; only for the report file.</summary>
    public string? Detail { get; private set; }

    /// <summary>Remarks about a row that is adopted.</summary>
    public IReadOnlyList<(AdoptEffect Effect, string Reason)> Remarks => _remarks ?? [];

    /// <summary>Copies of the source that the row refers to: file and store.</summary>
    public (string? File, long? Store) From { get; init; }

    /// <inheritdoc cref="From" />
    public (string? File, long? Store) To { get; init; }

    /// <summary>Leaves the row out.</summary>
    public void Skip(string reason) => End(AdoptEffect.Skipped, reason);

    /// <summary>Leaves the row out, because another row says the same.</summary>
    public void Fold(string reason, string into) => End(AdoptEffect.Folded, reason, into);

    /// <summary>Leaves the row out, because the catalog has it.</summary>
    public void IsThere(string? reason = null, string? detail = null) => End(AdoptEffect.AlreadyThere, reason, detail);

    /// <summary>Leaves the row out, because the catalog contradicts it.</summary>
    public void Contradict(string reason) => End(AdoptEffect.Conflict, reason);

    /// <summary>Notes that the row is adopted with another state, or should be checked.</summary>
    public void Remark(AdoptEffect effect, string reason) => (_remarks ??= []).Add((effect, reason));

    /// <summary>Sets the effect; the first reason counts.</summary>
    private void End(AdoptEffect effect, string? reason, string? detail = null)
    {
        if (Effect is null)
            (Effect, Reason, Detail) = (effect, reason, detail);
    }
}

/// <summary>How one table is adopted.</summary>
/// <param name="Name">The table, on both sides.</param>
/// <param name="Sql">Reads it, in the order of its key.</param>
/// <param name="Read">Converts the source's row to the catalog's.</param>
/// <param name="Find">The catalog's rows with the keys of these.</param>
/// <param name="Key">The key of a row.</param>
/// <param name="Identity">Properties that must agree when the catalog has the key already; properties that may have changed since are not
/// among them.</param>
internal sealed record Kind<T>(
    string Name,
    string Sql,
    Func<UpstreamRow, Candidate<T>> Read,
    Func<IReadOnlyList<T>, Task<List<T>>> Find,
    Func<T, object> Key,
    params string[] Identity
)
    where T : class
{
    /// <summary>Loads what a chunk of rows refers to.</summary>
    public Func<IReadOnlyList<Candidate<T>>, Task>? Prepare { get; init; }

    /// <summary>Remark about a row of the source for which the catalog keeps its own; null for none.</summary>
    public Func<T, T, string?>? Kept { get; init; }
}
