using Librarian.Domain.Catalog;

namespace Librarian.Adopt;

/// <summary>Adopts one table, a thousand rows at a time: read, decide, write, read back.</summary>
internal sealed class TableAdoption<T>(UpstreamDatabase source, CatalogContext db, AdoptFindings findings, AdoptSeams seams, Kind<T> kind)
    where T : class
{
    private const int ChunkRows = 1000;

    private readonly AdoptKind _entry = findings.Begin(kind.Name);
    private readonly CatalogTable<T> _table = new(db, kind.Identity);

    // Sums of the hashes of the rows as they should be, and as they were read back.
    private UInt128 _wanted;
    private UInt128 _found;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        _entry.CatalogBefore = _entry.CatalogAfter = await _table.CountAsync(cancellationToken);
        _entry.InSource = await source.CountAsync(kind.Name, cancellationToken);
        var chunk = new List<Candidate<T>>(ChunkRows);
        if (source.Has(kind.Name))
        {
            await foreach (var row in source.ReadAsync(kind.Sql, cancellationToken))
            {
                var candidate = kind.Read(row);
                if (row.Problem is { } problem)
                    candidate.Skip(problem);
                chunk.Add(candidate);
                if (chunk.Count < ChunkRows)
                    continue;
                await SettleAsync(chunk, cancellationToken);
                chunk.Clear();
            }
        }

        if (chunk.Count > 0)
            await SettleAsync(chunk, cancellationToken);
        _entry.CatalogAfter = await _table.CountAsync(cancellationToken);
        _entry.SourceChecksum = _wanted.ToString("x32");
        _entry.CatalogChecksum = _found.ToString("x32");
    }

    private async Task SettleAsync(List<Candidate<T>> chunk, CancellationToken cancellationToken)
    {
        seams.Reach?.Invoke($"{kind.Name} {_entry.Read}");
        if (kind.Prepare is not null)
            await kind.Prepare([.. chunk.Where(c => c.Effect is null)]);
        var open = chunk.Where(c => c.Effect is null).ToList();
        await CompareAsync(open);
        await WriteAsync(open.FindAll(c => c.Effect is null).ConvertAll(c => c.Row), cancellationToken);
        foreach (var candidate in chunk)
            findings.Count(_entry, candidate);
        await findings.EndChunkAsync(_entry, cancellationToken);
    }

    /// <summary>Leaves out the rows whose keys the catalog has already.</summary>
    private async Task CompareAsync(List<Candidate<T>> open)
    {
        // A table that was empty has no such rows: the rows of this run have other keys.
        var there = _entry.CatalogBefore == 0 ? [] : (await kind.Find(open.ConvertAll(c => c.Row))).ToDictionary(kind.Key);
        foreach (var candidate in open)
        {
            if (!there.TryGetValue(kind.Key(candidate.Row), out var same))
                continue;
            var (theirs, ours) = (_table.Identity(candidate.Row), _table.Identity(same));
            if (!theirs.AsSpan().SequenceEqual(ours))
            {
                candidate.Contradict("the catalog holds something else under this key");
                continue;
            }

            candidate.IsThere(kind.Kept?.Invoke(candidate.Row, same));
            _wanted += CatalogTable<T>.Hash(theirs);
            _found += CatalogTable<T>.Hash(ours);
        }
    }

    private async Task WriteAsync(List<T> fresh, CancellationToken cancellationToken)
    {
        var written = fresh.ConvertAll(_table.Values);
        await _table.InsertAsync(written, cancellationToken);
        var back = (await kind.Find(fresh)).ToDictionary(kind.Key);
        for (var i = 0; i < fresh.Count; i++)
        {
            var read = back.TryGetValue(kind.Key(fresh[i]), out var row) ? _table.Values(row) : [];
            _wanted += CatalogTable<T>.Hash(written[i]);
            _found += CatalogTable<T>.Hash(read);
            if (!written[i].AsSpan().SequenceEqual(read))
                _entry.Differences++;
        }
    }
}
