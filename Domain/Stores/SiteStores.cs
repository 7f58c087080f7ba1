using System.Text.Json;
using System.Text.Json.Nodes;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Stores;

/// <summary>The stores of this site: the configuration joined with the catalog's ids and switches.</summary>
/// <param name="database">The catalog.</param>
/// <param name="options">The site's settings.</param>
/// <param name="log">Receives log lines about the stores.</param>
/// <param name="time">Measures the timeout of probes.</param>
/// <param name="faults">For tests only.</param>
/// <param name="user">This process, to detect that a process with another catalog uses the same stores; null to skip this check.</param>
public sealed class SiteStores(
    CatalogDatabase database,
    IOptions<SiteOptions> options,
    ILogger<SiteStores> log,
    TimeProvider? time = null,
    IStoreFaults? faults = null,
    StoreUser? user = null
)
{
    private readonly StoreProbes _probes = new(time ?? TimeProvider.System);
    private readonly string _start = Guid.NewGuid().ToString("D");
    private Dictionary<long, SiteStore> _byId = [];
    private Dictionary<long, string> _unconfigured = [];
    private StoreRoots _roots = new([]);

    /// <summary>All configured stores in configured order; empty before <see cref="SynchroniseAsync"/>.</summary>
    public IReadOnlyList<SiteStore> Configured { get; private set; } = [];

    /// <summary>The configured stores, then the drives.</summary>
    public IReadOnlyList<SiteStore> All { get; private set; } = [];

    /// <summary>
    /// Updates the catalog's rows from the configuration. Directories and identity are created only for a store that is new to the catalog:
    /// a known store without its identity is not mounted, and the site waits until it is. A row whose store is no longer configured stays,
    /// because copies refer to it. Safe to repeat; a crash before the database commit leaves an identity that the next start takes over.
    /// </summary>
    /// <exception cref="InvalidOperationException">
    /// A store that is new to the catalog is refused, or two configured stores are the same.
    /// </exception>
    public async Task SynchroniseAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        // Another process of this site may be creating the same stores at this moment; the second attempt finds its rows.
        for (var again = false; ; again = true)
        {
            try
            {
                await RecordAsync(db, cancellationToken);
                break;
            }
            catch (Exception e) when (!again && CatalogDatabase.IsUniqueViolation(e))
            {
                db.ChangeTracker.Clear();
            }
        }

        await RefreshDrivesAsync(db, cancellationToken);
        await ResolvePathsAsync(db, cancellationToken);
    }

    /// <summary>
    /// Makes paths relative that an older release recorded outside their store, once the StorePath is the one of that time. Until then the
    /// copies are neither read nor sent.
    /// </summary>
    private async Task ResolvePathsAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        foreach (var store in All)
        {
            var (id, root) = (store.Id, store.Store.Options.RootPath.TrimEnd('/'));
            // '0' follows '/' in byte order, so this range holds everything that begins with '/'.
            var absolute = db.Copies.Where(i => i.StoreId == id && string.Compare(i.Path, "/") >= 0 && string.Compare(i.Path, "0") < 0);
            if (!await absolute.AnyAsync(cancellationToken))
                continue;
            var (first, end, length) = (root + "/", root + "0", root.EnumerateRunes().Count() + 1);
            var found = await absolute
                .Where(i => string.Compare(i.Path, first) > 0 && string.Compare(i.Path, end) < 0)
                .ExecuteUpdateAsync(s => s.SetProperty(i => i.Path, i => i.Path.Substring(length)), cancellationToken);
            if (found > 0)
                Logs.PathsResolved(log, found, store.Store.Options.Name, root);
            if (await absolute.OrderBy(i => i.Path).Select(i => i.Path).FirstOrDefaultAsync(cancellationToken) is { } left)
                Logs.OutsideStore(log, await absolute.CountAsync(cancellationToken), store.Store.Options.Name, root, left);
        }
    }

    private async Task RecordAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        var rows = await db.Stores.ToDictionaryAsync(s => s.Name, cancellationToken);
        var catalog = user is null ? null : await CatalogAsync(db, cancellationToken);
        var names = rows.Values.Where(r => IdentityOf(r) != Guid.Empty).GroupBy(IdentityOf).ToDictionary(g => g.Key, g => g.First().Name);
        _unconfigured = rows
            .Values.Where(r => !options.Value.Stores.Exists(s => s.Name == r.Name) && Text(r, "store_path") is not null)
            .ToDictionary(r => r.Id, r => Text(r, "store_path")!);
        var (stores, moved) = (new List<(StoreRecord Row, LocalStore Store)>(), new Dictionary<string, string>(StringComparer.Ordinal));
        foreach (var configured in options.Value.Stores)
        {
            Guid identity;
            if (rows.TryGetValue(configured.Name, out var row))
            {
                identity = IdentityOf(row);
                if (Text(row, "store_path") is { } before && before != configured.StorePath)
                    moved[configured.Name] = before;
            }
            else
            {
                identity = await ClaimAsync(configured, names.GetValueOrDefault, cancellationToken);
                names[identity] = configured.Name;
                row = new StoreRecord
                {
                    Name = configured.Name,
                    Ingestable = configured.Ingestable,
                    Enabled = true,
                };
                db.Stores.Add(row);
            }

            row.Ingestable = configured.Ingestable;
            row.StoreData = DataOf(configured, identity);
            stores.Add(
                (
                    row,
                    new LocalStore(
                        OptionsOf(configured, options.Value.Name, identity) with
                        {
                            UseFile = catalog is null ? null : new StoreUseFile(catalog, user!),
                        },
                        faults
                    )
                )
            );
        }

        await db.SaveChangesAsync(cancellationToken);
        Configured =
        [
            .. stores.Select(s => new SiteStore(s.Row.Id, s.Store)
            {
                Watch = new StoreWatch(s.Store.Options, names.GetValueOrDefault, log),
            }),
        ];
        await ExamineAsync(moved, cancellationToken);
    }

    private static string DataOf(StoreOptions configured, Guid identity) =>
        new JsonObject
        {
            ["staging_path"] = configured.StagingPath,
            ["store_path"] = configured.StorePath,
            ["marker"] = identity.ToString("D"),
        }.ToJsonString(JsonSerializerOptions.Web);

    /// <summary>Why a start would refuse a configured store or wait for it; null if it would use the store. Writes nothing.</summary>
    /// <param name="db">The catalog; null if it does not exist yet.</param>
    /// <param name="configured">The store.</param>
    /// <param name="site">This site's name.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task<string?> FindProblemAsync(
        CatalogContext? db,
        StoreOptions configured,
        string site,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(configured);
        var rows = db is null ? [] : await db.Stores.AsNoTracking().ToListAsync(cancellationToken);
        var names = rows.Where(r => IdentityOf(r) != Guid.Empty).GroupBy(IdentityOf).ToDictionary(g => g.Key, g => g.First().Name);
        if (rows.Find(r => r.Name == configured.Name) is { } row)
        {
            var store = new LocalStore(OptionsOf(configured, site, IdentityOf(row)));
            return store.Identify().Explain(store.Options, names.GetValueOrDefault);
        }

        try
        {
            return StoreClaim.Examine(configured, site, names.GetValueOrDefault)?.Refusal;
        }
        catch (IOException e)
        {
            return $"{configured.StorePath} cannot be read: {e.Message}. Let the account of the site read it.";
        }
    }

    private static LocalStoreOptions OptionsOf(StoreOptions configured, string site, Guid identity) =>
        new()
        {
            Name = configured.Name,
            StagingPath = configured.StagingPath,
            RootPath = configured.StorePath,
            Ingestable = configured.Ingestable,
            ReportFullFraction = configured.FullFraction,
            GroupWriteAfterStage = configured.GroupWritableStaging,
            OwnAfterCommit = configured.OwnAfterCommit,
            ReadonlyAfterCommit = configured.ReadOnlyAfterCommit,
            Identity = new StoreIdentity(identity, site, configured.Name),
        };

    /// <summary>Identifies the catalog in use; null if the database server does not tell.</summary>
    private async Task<string?> CatalogAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        if (database.Kind == DatabaseKind.Sqlite)
            return _start;
        try
        {
            return await db
                .Database.SqlQuery<string>(
                    $"""
                    select c.system_identifier::text || '/' || d.oid::text as "Value"
                    from pg_control_system() c, pg_database d where d.datname = current_database()
                    """
                )
                .SingleAsync(cancellationToken);
        }
        catch (Npgsql.PostgresException)
        {
            // An administrator may have revoked access to the function.
            return null;
        }
    }

    /// <summary>The identity of a store that is new to the catalog.</summary>
    private async Task<Guid> ClaimAsync(StoreOptions configured, Func<Guid, string?> nameOf, CancellationToken cancellationToken)
    {
        var claim = await Task.Run(() => StoreClaim.Make(configured, options.Value.Name, nameOf), cancellationToken);
        if (claim.Refusal is { } refusal)
            throw new InvalidOperationException(refusal);
        if (claim.TakenOver)
            Logs.TakenOver(log, configured.Name, configured.StorePath, claim.StoreId!.Value);
        return claim.StoreId!.Value;
    }

    /// <summary>
    /// Probes all stores once, logs those that are not mounted or have moved, and completes identities of the first format.
    /// </summary>
    private async Task ExamineAsync(Dictionary<string, string> moved, CancellationToken cancellationToken)
    {
        var probes = await ProbeAsync(cancellationToken);
        var mounted = Configured.Where(s => probes[s.Id].IsMounted).ToList();
        if (await Task.Run(() => StoreOverlap.Find(mounted.ConvertAll(s => s.Store.Options)), cancellationToken) is { } overlap)
            throw new InvalidOperationException(overlap);
        foreach (var store in mounted)
        {
            var settings = store.Store.Options;
            if (moved.TryGetValue(settings.Name, out var before))
                Logs.Moved(log, settings.Name, before, settings.RootPath);
            if (await Task.Run(store.Store.CompleteIdentity, cancellationToken) is { } problem)
                Logs.IdentityNotWritten(log, settings.Name, problem);
        }
    }

    private static Guid IdentityOf(StoreRecord row) => Guid.TryParse(Text(row, "marker"), out var identity) ? identity : Guid.Empty;

    private static string? Text(StoreRecord row, string key)
    {
        try
        {
            return (JsonNode.Parse(row.StoreData) as JsonObject)?[key]?.GetValue<string>();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>
    /// Reads the drives from the catalog: at start, and whenever one was added or is used, because another process may have added it.
    /// </summary>
    public async Task RefreshDrivesAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var drives = await db.Drives.AsNoTracking().OrderBy(d => d.Id).ToListAsync(cancellationToken);
        SiteStore[] all = [.. Configured, .. drives.Select(d => new SiteStore(d.StoreId, new LocalStore(DriveStore.OptionsOf(d))))];
        _byId = all.ToDictionary(s => s.Id);
        _roots = new StoreRoots(
            _unconfigured.Where(u => !_byId.ContainsKey(u.Key)).Concat(all.Select(s => KeyValuePair.Create(s.Id, s.Store.Options.RootPath)))
        );
        All = all;
    }

    /// <summary>The store of a catalog row; null if it is no longer configured or not mounted.</summary>
    public LocalStore? Find(long? id) => Known(id) is { IsMounted: true } store ? store.Store : null;

    /// <summary>The store of a catalog row, mounted or not; null if it is no longer configured.</summary>
    public SiteStore? Known(long? id) => id is { } key ? _byId.GetValueOrDefault(key) : null;

    /// <summary>Absolute path of a copy, for the wire and for people, at its store's present location, mounted or not.</summary>
    /// <param name="storeId">The copy's store.</param>
    /// <param name="path">The copy's path in the catalog.</param>
    public string Locate(long storeId, string path) => _roots.Locate(storeId, path);

    /// <summary>
    /// The locations of the stores, including all the given ones: drives are read again if one is missing, because another process of this
    /// site may have created it.
    /// </summary>
    public async ValueTask<StoreRoots> RootsAsync(CatalogContext db, IEnumerable<long> storeIds, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(storeIds);
        if (storeIds.Distinct().Any(id => !_byId.ContainsKey(id) && !_unconfigured.ContainsKey(id)))
            await RefreshDrivesAsync(db, cancellationToken);
        return _roots;
    }

    /// <summary>Why a store is not mounted, for messages.</summary>
    public string WhyAway(long storeId) =>
        Known(storeId) is not { } store ? "its store is not configured (Site:Stores)"
        : store.IsDrive ? $"drive '{store.Store.Options.Name}' is not plugged in"
        : store.Watch?.Explanation ?? $"store '{store.Store.Options.Name}' is not mounted";

    /// <summary>Probes whether a store is mounted and how much space it has. Ends in bounded time, whatever its file system does.</summary>
    public Task<StoreProbe> ProbeAsync(SiteStore store, CancellationToken cancellationToken) =>
        _probes.ProbeAsync(store, cancellationToken);

    /// <summary>Probes all configured stores at the same time; results by store id.</summary>
    public async Task<IReadOnlyDictionary<long, StoreProbe>> ProbeAsync(CancellationToken cancellationToken)
    {
        var probes = await Task.WhenAll(Configured.Select(async s => (s.Id, Probe: await ProbeAsync(s, cancellationToken))));
        return probes.ToDictionary(l => l.Id, l => l.Probe);
    }

    /// <summary>Like <see cref="Find"/>, but ends in bounded time; null also if the store does not answer.</summary>
    public async Task<LocalStore?> FindAsync(long? id, CancellationToken cancellationToken) =>
        Known(id) is { } store && (await ProbeAsync(store, cancellationToken)).IsMounted ? store.Store : null;

    /// <summary>
    /// Chooses the first ingestable, enabled and available store with space for <paramref name="bytes"/>, after subtracting the space
    /// reserved for unfinished uploads (upstream weakness W29). Call it in the transaction that records the new transfer: the stores' rows
    /// stay locked until then, so that two uploads cannot reserve the same space.
    /// </summary>
    /// <param name="db">Unit of work with an open transaction.</param>
    /// <param name="bytes">Space wanted, in bytes.</param>
    /// <param name="probes">
    /// Probes taken just before that transaction, because everybody who needs space waits for the rows that it locks, and a file system may
    /// never answer.
    /// </param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The store and its free bytes less all reservations, or null.</returns>
    public async Task<(SiteStore Store, long FreeBytes)?> ChooseAsync(
        CatalogContext db,
        long bytes,
        IReadOnlyDictionary<long, StoreProbe> probes,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(probes);
        await db
            .Stores.Where(s => s.Enabled && s.Ingestable)
            .ExecuteUpdateAsync(s => s.SetProperty(r => r.StoreType, r => r.StoreType), cancellationToken);
        var candidates = await db
            .Stores.AsNoTracking()
            .Where(s => s.Enabled && s.Ingestable)
            .Select(s => new
            {
                s.Id,
                Reserved = db.IncomingTransfers.Where(t =>
                        t.StoreId == s.Id && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing)
                    )
                    .Sum(t => (long?)t.TransferSize)
                    ?? 0,
            })
            .ToDictionaryAsync(s => s.Id, cancellationToken);
        foreach (var store in Configured)
        {
            if (!candidates.TryGetValue(store.Id, out var row) || !probes.TryGetValue(store.Id, out var probe) || !probe.IsMounted)
                continue;
            var free = probe.FreeBytes - row.Reserved;
            if (free > bytes)
                return (store, free);
        }

        return null;
    }
}
