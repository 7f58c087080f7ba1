namespace Librarian.Domain.Adopt;

/// <summary>A row of the source on its way into the catalog.</summary>
/// <param name="label">Its name or id, for reports.</param>
/// <param name="row">What the catalog would hold.</param>
internal sealed class Candidate<T>(string label, T row)
    where T : class
{
    private List<(AdoptEffect, string)>? _remarks;

    /// <summary>Its name or id.</summary>
    public string Label => label;

    /// <summary>What the catalog would hold.</summary>
    public T Row => row;

    /// <summary>Null while it may still be taken.</summary>
    public AdoptEffect? Fate { get; private set; }

    /// <summary>Why it is not taken, if there is something to say.</summary>
    public string? Reason { get; private set; }

    /// <summary>What the reason means for this very row; only for the report file.</summary>
    public string? Detail { get; private set; }

    /// <summary>Remarks about a row that is taken.</summary>
    public IReadOnlyList<(AdoptEffect Effect, string Reason)> Remarks => _remarks ?? [];

    /// <summary>Copies of the source that the row speaks of: file and store.</summary>
    public (string? File, long? Store) From { get; init; }

    /// <inheritdoc cref="From" />
    public (string? File, long? Store) To { get; init; }

    /// <summary>Leaves it out.</summary>
    public void Skip(string reason) => End(AdoptEffect.Skipped, reason);

    /// <summary>Leaves it out, because another row says the same.</summary>
    public void Fold(string reason, string into) => End(AdoptEffect.Folded, reason, into);

    /// <summary>The catalog has it.</summary>
    public void IsThere(string? reason = null, string? detail = null) => End(AdoptEffect.AlreadyThere, reason, detail);

    /// <summary>The catalog contradicts it.</summary>
    public void Contradict(string reason) => End(AdoptEffect.Conflict, reason);

    /// <summary>Says that it is taken in another state, or is worth a look.</summary>
    public void Remark(AdoptEffect effect, string reason) => (_remarks ??= []).Add((effect, reason));

    /// <summary>The first reason counts.</summary>
    private void End(AdoptEffect fate, string? reason, string? detail = null)
    {
        if (Fate is null) (Fate, Reason, Detail) = (fate, reason, detail);
    }
}

/// <summary>How one table is taken over.</summary>
/// <param name="Name">The table, on both sides.</param>
/// <param name="Sql">Reads it, in the order of its key.</param>
/// <param name="Read">Makes the catalog's row of the source's.</param>
/// <param name="Find">The catalog's rows with the keys of these.</param>
/// <param name="Key">The key of a row.</param>
/// <param name="Identity">Properties that must agree when the catalog has the key already; what may have changed since is not among them.</param>
internal sealed record Kind<T>(string Name, string Sql, Func<UpstreamRow, Candidate<T>> Read, Func<IReadOnlyList<T>, Task<List<T>>> Find, Func<T, object> Key, params string[] Identity)
    where T : class
{
    /// <summary>Looks up what a chunk of rows refers to.</summary>
    public Func<IReadOnlyList<Candidate<T>>, Task>? Prepare { get; init; }

    /// <summary>What is to be said about a row of the source for which the catalog keeps its own; null for nothing.</summary>
    public Func<T, T, string?>? Kept { get; init; }
}
