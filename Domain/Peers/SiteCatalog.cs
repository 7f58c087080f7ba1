using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Peers;

/// <summary>
/// This site's catalog as peers know it. Every start of a process is an incarnation with a counter, which is committed before it is sent to
/// a peer. So a catalog that does not know a state that a peer has seen was restored from a backup.
/// </summary>
/// <remarks>
/// A crash after the commit of a counter and before it is sent leaves a number that no peer has seen, which is harmless. Former ids of this
/// catalog are in <c>catalog_incarnations</c> too, with a prefix: a peer may mention one until it has seen the new id.
/// </remarks>
public sealed class SiteCatalog(CatalogDatabase database, TimeProvider time, ILogger<SiteCatalog> log) : IDisposable
{
    /// <summary>How far ids jump above the last known one: more transfers than a site makes between a backup and a disaster.</summary>
    public const long Stride = 10_000_000;

    /// <summary>Python sites keep ids in columns of 32 bits.</summary>
    private const long HighestId = int.MaxValue - Stride;

    private const string FormerPrefix = "former:";

    /// <summary>
    /// Most new ids within <see cref="CountedOver"/>: an operator may restore several backups in an hour; a peer that sends nonsense is
    /// stopped here.
    /// </summary>
    private const int MostRestores = 8;

    /// <summary>Most jumps of the ids within <see cref="CountedOver"/>: ids are finite.</summary>
    private const int MostSkips = 4;

    private static readonly TimeSpan CountedOver = TimeSpan.FromDays(1);

    private static readonly string[] Numbered = ["incoming_transfers", "outgoing_transfers"];

    private readonly SemaphoreSlim _turn = new(1, 1);
    private volatile CatalogVersion? _current;

    /// <summary>The state that peers get; null before the start.</summary>
    public CatalogVersion? Current => _current;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var made = CatalogVersion.NewId();
        await db.Site.Where(s => s.CatalogId == null).ExecuteUpdateAsync(s => s.SetProperty(x => x.CatalogId, made), cancellationToken);
        var id = await db.Site.AsNoTracking().Select(s => s.CatalogId).FirstAsync(cancellationToken);
        var incarnation = new CatalogIncarnation { Id = CatalogVersion.NewId(), StartedTime = time.GetUtcNow().UtcDateTime };
        db.CatalogIncarnations.Add(incarnation);
        await db.SaveChangesAsync(cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        _current = new CatalogVersion(id!, incarnation.Id, 0);
    }

    /// <summary>
    /// Increments the counter before a peer gets information that it will rely on, such as a copy or an id. The next header carries the new
    /// value. It costs one statement, so call it once per exchange and never per file.
    /// </summary>
    public async Task AdvanceAsync(CancellationToken cancellationToken)
    {
        if (_current is null)
            return;
        await _turn.WaitAsync(cancellationToken);
        try
        {
            var (id, incarnation, counter) = _current;
            await using var db = database.Open();
            // Another process of the site may have given the catalog a new id.
            if (database.Kind == DatabaseKind.PostgreSql)
                id = await db.Site.AsNoTracking().Select(s => s.CatalogId).FirstAsync(cancellationToken) ?? id;
            while (true)
            {
                var from = counter;
                if (
                    await db
                        .CatalogIncarnations.Where(c => c.Id == incarnation && c.Counter == from)
                        .ExecuteUpdateAsync(s => s.SetProperty(c => c.Counter, from + 1), cancellationToken) == 1
                )
                {
                    _current = new CatalogVersion(id, incarnation, from + 1);
                    return;
                }

                // An earlier commit may have succeeded although its answer was lost; otherwise the row is from an earlier time.
                if (
                    await db
                        .CatalogIncarnations.AsNoTracking()
                        .Where(c => c.Id == incarnation)
                        .Select(c => (long?)c.Counter)
                        .SingleOrDefaultAsync(cancellationToken)
                        is not { } further
                    || further <= from
                )
                    break;
                counter = further;
            }
        }
        finally
        {
            _turn.Release();
        }

        // The database was restored while this process was running.
        var lost = _current;
        if (await RestoredAsync("this process itself", lost, cancellationToken))
            await StartAsync(cancellationToken);
    }

    /// <summary>Whether this catalog has ever had that state, or is known to have been replaced since.</summary>
    public async Task<bool> KnowsAsync(CatalogVersion seen, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(seen);
        if (_current is not { } now || (seen.Incarnation == now.Incarnation && seen.Counter <= now.Counter))
            return true;
        await using var db = database.Open();
        return await KnowsAsync(db, seen, cancellationToken);
    }

    /// <summary>
    /// Handles the restore of this catalog from a backup: gives it a new id, so that peers confirm again what they count on, and moves the
    /// ids of transfers far above those that peers may still name. One transaction: a crash before its end changes nothing, and the peer's
    /// next call does it again.
    /// </summary>
    /// <param name="reportedBy">The peer that reported it.</param>
    /// <param name="seen">The state that this peer has seen of this catalog.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Whether it was done now; false when the restore is known already, or was reported too often within a day to be
    /// believed.</returns>
    public async Task<bool> RestoredAsync(string reportedBy, CatalogVersion seen, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(seen);
        await _turn.WaitAsync(cancellationToken);
        try
        {
            var now = time.GetUtcNow().UtcDateTime;
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            // When two processes get the report at once, the second waits here, and then knows the new id.
            await db.Site.ExecuteUpdateAsync(s => s.SetProperty(x => x.CatalogId, x => x.CatalogId), cancellationToken);
            if (await KnowsAsync(db, seen, cancellationToken))
                return false;
            var recently = now - CountedOver;
            var lately = await db
                .CatalogIncarnations.Where(c => c.Id.StartsWith(FormerPrefix) && c.StartedTime > recently)
                .Select(c => c.StartedTime)
                .Distinct()
                .CountAsync(cancellationToken);
            if (lately >= MostRestores)
            {
                Logs.RestoredAgain(log, reportedBy, seen.ToString());
                return false;
            }

            var old = await db.Site.AsNoTracking().Select(s => s.CatalogId).FirstAsync(cancellationToken);
            var newest = await db
                .CatalogIncarnations.Where(c =>
                    !c.Id.StartsWith(FormerPrefix) && !c.Id.StartsWith(PeerCatalogs.FormerPrefix) && c.Id != _current!.Incarnation
                )
                .MaxAsync(c => (DateTime?)c.StartedTime, cancellationToken);
            var id = CatalogVersion.NewId();
            await db.Site.ExecuteUpdateAsync(s => s.SetProperty(x => x.CatalogId, id), cancellationToken);
            db.CatalogIncarnations.AddRange(
                new[] { old, seen.Catalog }
                    .OfType<string>()
                    .Distinct(StringComparer.Ordinal)
                    .Select(former => new CatalogIncarnation { Id = FormerPrefix + former, StartedTime = now })
            );
            var numbers =
                lately < MostSkips
                    ? await SkipNumbersAsync(db, cancellationToken)
                    : "the numbers of its transfers were moved ahead several times today already, and stay where they are.";
            db.Errors.Add(RestoredError(reportedBy, seen, newest, numbers, now));
            await db.SaveChangesAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            _current = _current! with { Catalog = id };
            Logs.Restored(log, reportedBy, seen.ToString(), id);
            return true;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <inheritdoc />
    public void Dispose() => _turn.Dispose();

    private static ErrorRecord RestoredError(string reportedBy, CatalogVersion seen, DateTime? newest, string numbers, DateTime now) =>
        new()
        {
            Severity = ErrorSeverity.Critical,
            Category = ErrorCategory.DataAvailability,
            Caller = "catalog restored",
            RaisedTime = now,
            Message =
                "This catalog was restored from a backup, or its database has lost commits: "
                + $"{reportedBy} has heard from it what it does not know (incarnation {seen.Incarnation}, {seen.Counter}). "
                + $"The newest start that it knows was at {newest:u}; what happened later is not in it. "
                + "Nothing on the stores was changed. By itself the site now tells its peers, "
                + "which ask for the copies that they count on here and send what is gone; "
                + $"it asks for those that it counts on there; {numbers} "
                + "Files that clients have uploaded since the backup lie on the stores and are not in the catalog: "
                + "upload them again, identical data are taken over where they lie.",
        };

    private static async Task<bool> KnowsAsync(CatalogContext db, CatalogVersion seen, CancellationToken cancellationToken)
    {
        var former = FormerPrefix + seen.Catalog;
        return await db.CatalogIncarnations.AnyAsync(
            c => (c.Id == seen.Incarnation && c.Counter >= seen.Counter) || c.Id == former,
            cancellationToken
        );
    }

    private static async Task<string> SkipNumbersAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        var highest = Math.Max(
            await db.IncomingTransfers.MaxAsync(t => (long?)t.Id, cancellationToken) ?? 0,
            await db.OutgoingTransfers.MaxAsync(t => (long?)t.Id, cancellationToken) ?? 0
        );
        if (highest > HighestId - Stride)
            return $"the numbers of its transfers are at {highest} and cannot be moved ahead any more: "
                + $"Python sites hold at most {int.MaxValue}, so old callbacks of such sites may be refused.";
        foreach (var table in Numbered)
        {
            var skip = db.Database.IsNpgsql()
                ? $"select setval(pg_get_serial_sequence('{table}', 'id'), "
                    + $"greatest(nextval(pg_get_serial_sequence('{table}', 'id')), "
                    + $"(select coalesce(max(id), 0) from {table})) + {Stride})"
                // The first insert makes the sequence's row; there may have been no insert.
                : $"insert into sqlite_sequence (name, seq) select '{table}', 0 "
                    + $"where not exists (select 1 from sqlite_sequence where name = '{table}'); "
                    + $"update sqlite_sequence set seq = max(seq, (select coalesce(max(id), 0) from {table})) + {Stride} "
                    + $"where name = '{table}'";
            await db.Database.ExecuteSqlRawAsync(skip, cancellationToken);
        }

        return $"the numbers of its transfers go on {Stride} higher, so that none is used twice.";
    }
}
