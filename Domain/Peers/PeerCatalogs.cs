using System.Collections.Concurrent;
using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Peers;

/// <summary>
/// Handles what peers report about their catalogs and about this site's (docs/adr/0005-restored-catalogs.md). Only authenticated reports
/// come here: from the peer's account, or in an answer from the address that an administrator has registered.
/// </summary>
public sealed class PeerCatalogs(CatalogDatabase database, SiteCatalog own, ErrorLog errors, TimeProvider time, ILogger<PeerCatalogs> log)
{
    /// <summary>Prefix of peers' former catalog ids in <c>catalog_incarnations</c>.</summary>
    internal const string FormerPrefix = "peer:";

    private const int Chunk = 5000;

    /// <summary>Limited, because another process of the site, or an administrator, may change the row.</summary>
    private static readonly TimeSpan RememberFor = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<string, (SeenCatalogs Seen, long At)> _known = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, SemaphoreSlim> _turns = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<(string, string), bool> _unreadable = new();

    /// <summary>What this site has seen of a peer's catalog; it is sent to the peer in every call and answer.</summary>
    public async Task<SeenCatalogs> SeenOfAsync(string peer, CancellationToken cancellationToken)
    {
        if (Remembered(peer, out var seen))
            return seen;
        await using var db = database.Open();
        var row = await db
            .Peers.AsNoTracking()
            .Where(l => l.Name == peer)
            .Select(l => new { l.CatalogSeen })
            .SingleOrDefaultAsync(cancellationToken);
        if (row is null)
            return SeenCatalogs.None;
        seen = SeenCatalogs.TryParse(row.CatalogSeen) ?? SeenCatalogs.None;
        _known[peer] = (seen, time.GetTimestamp());
        return seen;
    }

    /// <summary>Processes a peer's catalog headers.</summary>
    /// <param name="peer">The peer; a name that is not registered is ignored.</param>
    /// <param name="theirs">Its header <see cref="CatalogVersion.Header"/>; a malformed one is ignored, and logged once.</param>
    /// <param name="seen">Its header <see cref="CatalogVersion.SeenHeader"/>, likewise.</param>
    /// <param name="reported">What this site's request had sent, when the headers are from the answer.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Whether copies are newly in doubt.</returns>
    public async Task<bool> ObserveAsync(
        string peer,
        string? theirs,
        string? seen,
        SeenCatalogs? reported,
        CancellationToken cancellationToken
    )
    {
        var inDoubt = false;
        foreach (var stamp in Read(peer, CatalogVersion.SeenHeader, seen, SeenCatalogs.TryParse) ?? SeenCatalogs.None)
        {
            if (!await own.KnowsAsync(stamp, cancellationToken) && await IsRegisteredAsync(peer, cancellationToken))
                inDoubt |= await RestoredAsync(peer, stamp, cancellationToken);
        }

        var current = Read(peer, CatalogVersion.Header, theirs, CatalogVersion.TryParse);
        return (current is not null && await FollowAsync(peer, current, reported, cancellationToken)) || inDoubt;
    }

    /// <summary>
    /// Marks the copies at a peer whose catalog went back in time: they are in doubt until the peer has confirmed them. The marks are set
    /// in bounded transactions; a call after a crash continues where the earlier one ended.
    /// </summary>
    /// <param name="peer">The peer.</param>
    /// <param name="why">How it was noticed, for people.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>How many copies are newly in doubt.</returns>
    public async Task<long> DoubtAsync(string peer, string why, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        var count = 0L;
        await using var db = database.Open();
        var librarian = await db.Peers.Where(l => l.Name == peer).Select(l => l.Id).SingleOrDefaultAsync(cancellationToken);
        // Rows that are inserted meanwhile come from the peer's present catalog. Ids tell them apart, times do not: the clock may have been
        // ahead when a row was recorded.
        var last = await db.RemoteCopies.Where(r => r.PeerId == librarian).MaxAsync(r => (long?)r.Id, cancellationToken) ?? 0;
        for (var after = 0L; ; )
        {
            var from = after;
            var copies = db.RemoteCopies.Where(r => r.PeerId == librarian && r.UnconfirmedSince == null && r.Id <= last && r.Id > from);
            var page = await copies.OrderBy(r => r.Id).Select(r => r.Id).Take(Chunk).ToListAsync(cancellationToken);
            if (page.Count == 0)
                break;
            after = page[^1];
            count += await db
                .RemoteCopies.Where(r => page.Contains(r.Id) && r.UnconfirmedSince == null)
                .ExecuteUpdateAsync(s => s.SetProperty(r => r.UnconfirmedSince, now), cancellationToken);
        }

        Logs.WentBack(log, peer, why, count);
        if (count > 0)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.DataAvailability,
                ErrorKey(peer),
                $"{count} copies at '{peer}' are in doubt since {now:u}: {why} "
                    + $"They do not count as copies until '{peer}' has been asked; this site asks by itself, and sends again what is gone. "
                    + "Nothing was deleted here: keep the local copies.",
                cancellationToken
            );
        }

        return count;
    }

    /// <summary>Error key of copies in doubt; the last answer of the peer clears the error.</summary>
    public static string ErrorKey(string peer) => $"copies at {peer}";

    private async Task<bool> IsRegisteredAsync(string peer, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Peers.AnyAsync(l => l.Name == peer, cancellationToken);
    }

    private T? Read<T>(string peer, string header, string? text, Func<string?, T?> parse)
        where T : class
    {
        if (string.IsNullOrEmpty(text))
            return null;
        var read = parse(text);
        if (read is null && _unreadable.TryAdd((peer, header), true))
            Logs.HeaderIgnored(log, peer, header);
        return read;
    }

    private bool Remembered(string peer, out SeenCatalogs seen)
    {
        var known = _known.TryGetValue(peer, out var entry) && time.GetElapsedTime(entry.At) < RememberFor;
        seen = known ? entry.Seen : SeenCatalogs.None;
        return known;
    }

    /// <summary>
    /// Handles the restore of this site's own catalog. Its knowledge of copies at peers is old too, so copies at peers that support bulk
    /// confirmation are put in doubt. A crash before the marks leaves the state of the backup; a peer that has gone back since is still
    /// noticed by its own id.
    /// </summary>
    private async Task<bool> RestoredAsync(string reportedBy, CatalogVersion seen, CancellationToken cancellationToken)
    {
        if (!await own.RestoredAsync($"'{reportedBy}'", seen, cancellationToken))
            return false;
        List<string> peers;
        await using (var db = database.Open())
        {
            peers = await db.Peers.Where(l => l.CatalogId != null).Select(l => l.Name).ToListAsync(cancellationToken);
        }

        foreach (var peer in peers)
            await DoubtAsync(peer, "this site's own catalog was restored from a backup.", cancellationToken);
        return true;
    }

    private async Task<bool> FollowAsync(string peer, CatalogVersion theirs, SeenCatalogs? reported, CancellationToken cancellationToken)
    {
        if (Remembered(peer, out var last) && last.With(theirs, reported) == last)
            return false;
        var turn = _turns.GetOrAdd(peer, static _ => new SemaphoreSlim(1, 1));
        await turn.WaitAsync(cancellationToken);
        try
        {
            // Repeat when another process of the site has changed the row meanwhile.
            while (true)
            {
                if (await TryFollowAsync(peer, theirs, reported, cancellationToken) is { } inDoubt)
                    return inDoubt;
            }
        }
        finally
        {
            turn.Release();
        }
    }

    private async Task<bool?> TryFollowAsync(
        string peer,
        CatalogVersion theirs,
        SeenCatalogs? reported,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        var row = await db
            .Peers.AsNoTracking()
            .Where(l => l.Name == peer)
            .Select(l => new { l.CatalogId, l.CatalogSeen })
            .SingleOrDefaultAsync(cancellationToken);
        if (row is null)
            return false;
        var seen = SeenCatalogs.TryParse(row.CatalogSeen) ?? SeenCatalogs.None;
        var next = seen.With(theirs, reported);
        if (next == seen)
        {
            _known[peer] = (seen, time.GetTimestamp());
            return false;
        }

        var changed = row.CatalogId is not null && row.CatalogId != theirs.Catalog;
        // The message predates the peer's new id: from another process of that site, or long delayed.
        if (changed && await db.CatalogIncarnations.AnyAsync(c => c.Id == FormerPrefix + theirs.Catalog, cancellationToken))
            return false;
        // Do this before the new id is recorded: after a crash in between, the peer's next message starts it again.
        var inDoubt =
            changed
            && await DoubtAsync(
                peer,
                $"its catalog is another one ({theirs.Catalog}, before {row.CatalogId}), so it was restored from a backup or made anew.",
                cancellationToken
            ) > 0;
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        if (
            await db
                .Peers.Where(l => l.Name == peer && l.CatalogId == row.CatalogId && l.CatalogSeen == row.CatalogSeen)
                .ExecuteUpdateAsync(
                    s => s.SetProperty(l => l.CatalogId, theirs.Catalog).SetProperty(l => l.CatalogSeen, next.ToString()),
                    cancellationToken
                ) == 0
        )
            return null;
        if (changed && !await db.CatalogIncarnations.AnyAsync(c => c.Id == FormerPrefix + row.CatalogId, cancellationToken))
        {
            db.CatalogIncarnations.Add(
                new CatalogIncarnation { Id = FormerPrefix + row.CatalogId, StartedTime = time.GetUtcNow().UtcDateTime }
            );
            await db.SaveChangesAsync(cancellationToken);
        }

        await transaction.CommitAsync(cancellationToken);
        _known[peer] = (next, time.GetTimestamp());
        return inDoubt;
    }
}
