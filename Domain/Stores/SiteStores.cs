using System.Text.Json;
using System.Text.Json.Nodes;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Stores;

/// <summary>A configured store together with its catalog id.</summary>
/// <param name="Id">Row id in <c>store_metadata</c>; neighbours know the store by it.</param>
/// <param name="Store">The store.</param>
/// <param name="Marker">Identity that its root must carry.</param>
/// <param name="Drive">For a hand-carried drive, how it is recognised; null for a configured store.</param>
public sealed record SiteStore(long Id, LocalStore Store, string Marker, DriveMedium? Drive = null)
{
    /// <summary>Name of the marker file below the store's root.</summary>
    public const string MarkerFile = StorePath.WorkingDirectory + "/store-id";

    /// <summary>
    /// Whether the directory really is this store. An empty mount point, or another disk mounted in its place, carries another
    /// marker or none, and nothing is then read from or written to it.
    /// </summary>
    public bool IsMounted
    {
        get
        {
            if (Drive is not null) return Drive.IsPlugged;
            try
            {
                return Store.IsAvailable && File.ReadAllText(Path.Combine(Store.Options.StorePath, MarkerFile)).Trim() == Marker;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return false;
            }
        }
    }
}

/// <summary>The stores of this site: what the configuration says, joined with the catalog's ids and switches.</summary>
public sealed class SiteStores(CatalogDatabase database, IOptions<SiteOptions> options, ILogger<SiteStores> log, TimeProvider? time = null)
{
    private readonly StoreLooks _looks = new(time ?? TimeProvider.System);
    private Dictionary<long, SiteStore> _byId = [];

    /// <summary>All configured stores in configured order; empty before <see cref="SynchroniseAsync"/>.</summary>
    public IReadOnlyList<SiteStore> Configured { get; private set; } = [];

    /// <summary>The configured stores and then the drives.</summary>
    public IReadOnlyList<SiteStore> All { get; private set; } = [];

    /// <summary>
    /// Brings the catalog's rows up to date with the configuration. Directories and marker are made only for a store that is
    /// new to the catalog: a known store whose marker is missing is not mounted, and waits until it is. A row whose store is no
    /// longer configured stays, because instances point to it. Safe to repeat; a crash before the commit leaves a marker that
    /// the next start takes over.
    /// </summary>
    public async Task SynchroniseAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var rows = await db.Stores.ToDictionaryAsync(s => s.Name, cancellationToken);
        var stores = new List<(StoreRecord Row, LocalStore Store, string Marker)>();
        foreach (var configured in options.Value.Stores)
        {
            string marker;
            if (rows.TryGetValue(configured.Name, out var row))
            {
                marker = JsonNode.Parse(row.StoreData)?["marker"]?.GetValue<string>() ?? "";
            }
            else
            {
                marker = EnsureMarker(configured);
                row = new StoreRecord { Name = configured.Name, Ingestable = configured.Ingestable, Enabled = true };
                db.Stores.Add(row);
            }

            row.Ingestable = configured.Ingestable;
            row.StoreData = new JsonObject { ["staging_path"] = configured.StagingPath, ["store_path"] = configured.StorePath, ["marker"] = marker }
                .ToJsonString(JsonSerializerOptions.Web);
            stores.Add((row, new LocalStore(new LocalStoreOptions
            {
                Name = configured.Name,
                StagingPath = configured.StagingPath,
                StorePath = configured.StorePath,
                Ingestable = configured.Ingestable,
                ReportFullFraction = configured.FullFraction,
                GroupWriteAfterStage = configured.GroupWritableStaging,
                OwnAfterCommit = configured.OwnAfterCommit,
                ReadonlyAfterCommit = configured.ReadOnlyAfterCommit,
            }), marker));
        }

        await db.SaveChangesAsync(cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        Configured = [.. stores.Select(s => new SiteStore(s.Row.Id, s.Store, s.Marker))];
        await RefreshDrivesAsync(db, cancellationToken);
        foreach (var store in Configured.Where(s => !s.IsMounted)) Logs.NotMounted(log, store.Store.Options.Name, store.Store.Options.StorePath, SiteStore.MarkerFile);
    }

    /// <summary>Takes the drives from the catalog: at start, and whenever one was added or is worked on (another process may have added it).</summary>
    public async Task RefreshDrivesAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var drives = await db.Drives.AsNoTracking().OrderBy(d => d.Id).ToListAsync(cancellationToken);
        SiteStore[] all = [.. Configured, .. drives.Select(d => new SiteStore(d.StoreId, new DriveMedium(d).Store, "", new DriveMedium(d)))];
        _byId = all.ToDictionary(s => s.Id);
        All = all;
    }

    /// <summary>The store of a catalog row; null when it is no longer configured or not mounted.</summary>
    public LocalStore? Find(long? id) => Known(id) is { IsMounted: true } store ? store.Store : null;

    /// <summary>The store of a catalog row, mounted or not; null when it is no longer configured.</summary>
    public SiteStore? Known(long? id) => id is { } key ? _byId.GetValueOrDefault(key) : null;

    /// <summary>Looks whether a store is mounted and how much room it has; ends in bounded time whatever its file system does.</summary>
    public Task<StoreLook> LookAsync(SiteStore store, CancellationToken cancellationToken) => _looks.LookAsync(store, cancellationToken);

    /// <summary>Looks at all configured stores, at the same time; by their ids.</summary>
    public async Task<IReadOnlyDictionary<long, StoreLook>> LookAsync(CancellationToken cancellationToken)
    {
        var looks = await Task.WhenAll(Configured.Select(async s => (s.Id, Look: await LookAsync(s, cancellationToken))));
        return looks.ToDictionary(l => l.Id, l => l.Look);
    }

    /// <summary>Like <see cref="Find"/>, but ends in bounded time; a store that does not answer is none.</summary>
    public async Task<LocalStore?> FindAsync(long? id, CancellationToken cancellationToken) =>
        Known(id) is { } store && (await LookAsync(store, cancellationToken)).IsMounted ? store.Store : null;

    /// <summary>Makes the directories of a store that is new to the catalog, and its marker; returns that, or the one that is there.</summary>
    internal static string EnsureMarker(StoreOptions configured)
    {
        Directory.CreateDirectory(configured.StagingPath);
        var file = Path.Combine(configured.StorePath, SiteStore.MarkerFile);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        if (File.Exists(file) && File.ReadAllText(file).Trim() is { Length: > 0 } existing) return existing;
        var marker = Guid.NewGuid().ToString("D");
        using var stream = new FileStream(file, FileMode.Create, FileAccess.Write);
        stream.Write(System.Text.Encoding.ASCII.GetBytes(marker));
        stream.Flush(flushToDisk: true);
        return marker;
    }

    /// <summary>
    /// Chooses the first ingestable, enabled and available store with room for <paramref name="bytes"/>, counting what is
    /// promised to uploads still on their way (upstream W29). Call it in the transaction that records the new transfer: the
    /// stores' rows stay locked until then, so that two uploads cannot be promised the same space.
    /// </summary>
    /// <param name="db">Unit of work with an open transaction.</param>
    /// <param name="bytes">Wanted.</param>
    /// <param name="looks">Taken just before that transaction: everybody who wants space waits for the rows locked here, and a file system may never answer.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The store and its free bytes after all promises, or null.</returns>
    public async Task<(SiteStore Store, long FreeBytes)?> ChooseAsync(CatalogContext db, long bytes, IReadOnlyDictionary<long, StoreLook> looks, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(looks);
        await db.Stores.Where(s => s.Enabled && s.Ingestable).ExecuteUpdateAsync(s => s.SetProperty(r => r.StoreType, r => r.StoreType), cancellationToken);
        var candidates = await db.Stores.AsNoTracking().Where(s => s.Enabled && s.Ingestable)
            .Select(s => new
            {
                s.Id,
                Promised = db.IncomingTransfers.Where(t => t.StoreId == s.Id && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing))
                    .Sum(t => (long?)t.TransferSize) ?? 0,
            })
            .ToDictionaryAsync(s => s.Id, cancellationToken);
        foreach (var store in Configured)
        {
            if (!candidates.TryGetValue(store.Id, out var row) || !looks.TryGetValue(store.Id, out var look) || !look.IsMounted) continue;
            var free = look.FreeBytes - row.Promised;
            if (free > bytes) return (store, free);
        }

        return null;
    }
}

/// <summary>Log lines of stores; event ids 2100 to 2119.</summary>
internal static partial class Logs
{
    [LoggerMessage(2100, LogLevel.Error, "Store {Store} is not mounted: {Path} lacks its marker {Marker}. Nothing is read or written there; mount it, the site notices by itself")]
    public static partial void NotMounted(ILogger logger, string store, string path, string marker);
}
