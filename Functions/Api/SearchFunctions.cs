using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Peers;
using Librarian.Domain.Stores;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Api;

/// <summary>Searches for files, copies and errors (docs/spec/wire.md#searches). Every search answers newest first.</summary>
[Tags("Searches")]
public sealed class SearchFunctions(
    CatalogDatabase database,
    SiteStores stores,
    SiteCatalog catalog,
    ErrorLog errors,
    IOptions<SiteOptions> options
)
{
    /// <summary>Finds files, with all their copies.</summary>
    [Function("SearchFile"), Requires(AuthLevel.ReadOnly)]
    [Responds<IReadOnlyList<FileSearchHit>>(200, "The files, at least one.")]
    [Refuses<Failure>(404, Reasons.NoFilesFound)]
    public async Task<IResult> FilesAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.SearchFile)] HttpRequest request,
        [FromBody] FileSearchRequest body,
        CancellationToken cancellationToken
    )
    {
        var take = Limit(body.MaxResults);
        await using var db = database.Open();
        // One connection for all three queries instead of one for each.
        await db.Database.OpenConnectionAsync(cancellationToken);
        var query = Filtered(db.Files.AsNoTracking(), body);
        // Copies are selected by name, not by the same search again: a file that arrives in between would push another one out of the
        // second result, and a hit without instances stops a peer's recovery (docs/spec/wire.md#search-file-store-id).
        var files =
            take == 0 ? [] : await query.OrderByDescending(f => f.CreateTime).ThenBy(f => f.Name).Take(take).ToListAsync(cancellationToken);
        if (files.Count == 0)
            return Answers.Json(
                new Failure(Reasons.NoFilesFound, "Check the name, which must match exactly, or widen the search."),
                StatusCodes.Status404NotFound
            );
        // A peer relies on the copies in this answer, so this catalog must record that it was given.
        if (request.IsFromPeer())
            await catalog.AdvanceAsync(cancellationToken);
        return Answers.Json(await HitsAsync(db, files, cancellationToken));
    }

    private static IQueryable<FileRecord> Filtered(IQueryable<FileRecord> query, FileSearchRequest body)
    {
        if (body.Name is { } name)
            query = query.Where(f => f.Name == name);
        if (body.Uploader is { } uploader)
            query = query.Where(f => f.Uploader == uploader);
        if (body.Source is { } source)
            query = query.Where(f => f.Source == source);
        if (body.CreateTimeWindow is { } window)
        {
            var (from, to) = Utc(window);
            query = query.Where(f => f.CreateTime >= from && f.CreateTime <= to);
        }

        return query;
    }

    /// <summary>The files with their copies.</summary>
    private async Task<IReadOnlyList<FileSearchHit>> HitsAsync(
        CatalogContext db,
        List<FileRecord> files,
        CancellationToken cancellationToken
    )
    {
        var names = files.ConvertAll(f => f.Name);
        var local = (
            await db
                .Copies.AsNoTracking()
                .Where(i => names.Contains(i.FileName))
                .Select(i => new { Copy = i, Intact = db.IntactCopies.Any(c => c.Id == i.Id) })
                .ToListAsync(cancellationToken)
        ).ToLookup(i => i.Copy.FileName, StringComparer.Ordinal);
        // A copy in doubt does not count: somebody may delete their own copy because of this answer.
        var remote = (
            await db
                .RemoteCopies.Where(r => names.Contains(r.FileName) && r.UnconfirmedSince == null)
                .Select(r => new
                {
                    r.Id,
                    r.FileName,
                    Librarian = r.Peer!.Name,
                    r.CopyTime,
                })
                .ToListAsync(cancellationToken)
        ).ToLookup(r => r.FileName, StringComparer.Ordinal);
        var roots = await stores.RootsAsync(db, local.SelectMany(l => l).Select(i => i.Copy.StoreId), cancellationToken);
        return
        [
            .. files.Select(f => new FileSearchHit(
                f.Name,
                f.CreateTime,
                f.Size,
                f.Checksum,
                f.Uploader,
                f.Source,
                [
                    .. local[f.Name]
                        .OrderBy(i => i.Copy.Id)
                        .Select(i => new LocalInstance(
                            roots.Locate(i.Copy.StoreId, i.Copy.Path),
                            i.Copy.DeletionPolicy,
                            i.Copy.CreatedTime,
                            i.Intact,
                            StoreId: i.Copy.StoreId
                        )),
                ],
                [.. remote[f.Name].OrderBy(r => r.Id).Select(r => new Client.Wire.RemoteInstance(r.Librarian, r.CopyTime))],
                f.TreeDigest
            )),
        ];
    }

    /// <summary>Finds recorded errors (docs/spec/wire.md#search-error).</summary>
    [Function("SearchError"), Requires(AuthLevel.Admin)]
    [Responds<IReadOnlyList<ErrorSearchHit>>(200, "The errors, at least one.")]
    [Refuses<Failure>(404, Reasons.NoErrorsFound)]
    public async Task<IResult> ErrorsAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.SearchError)] HttpRequest request,
        [FromBody] ErrorSearchRequest body,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        var query = db.Errors.AsNoTracking();
        if (body.Id is { } id)
            query = query.Where(e => e.Id == id);
        if (body.Category is { } category)
            query = query.Where(e => e.Category == category);
        if (body.Severity is { } severity)
            query = query.Where(e => e.Severity == severity);
        if (!body.IncludeResolved)
            query = query.Where(e => !e.Cleared);
        if (body.CreateTimeWindow is { } window)
        {
            var (from, to) = Utc(window);
            query = query.Where(e => e.RaisedTime >= from && e.RaisedTime <= to);
        }

        var take = Limit(body.MaxResults);
        var found =
            take == 0
                ? []
                : await query.OrderByDescending(e => e.RaisedTime).ThenByDescending(e => e.Id).Take(take).ToListAsync(cancellationToken);
        if (found.Count == 0)
            return Answers.Json(
                new Failure(Reasons.NoErrorsFound, "Widen the search, or include resolved errors."),
                StatusCodes.Status404NotFound
            );
        IReadOnlyList<ErrorSearchHit> hits =
        [
            .. found.Select(e => new ErrorSearchHit(
                e.Id,
                e.Severity,
                e.Category,
                e.Message,
                e.RaisedTime,
                e.ClearedTime,
                e.Cleared,
                e.Caller
            )),
        ];
        return Answers.Json(hits);
    }

    /// <summary>Finds copies on this site's stores (docs/spec/wire.md#search-instance-local).</summary>
    [Function("SearchInstanceLocal"), Requires(AuthLevel.Admin)]
    [Responds<IReadOnlyList<LocalInstance>>(200, "The copies, at least one.")]
    [Refuses<Failure>(404, Reasons.NoInstancesFound)]
    public async Task<IResult> LocalInstancesAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.SearchInstanceLocal)] HttpRequest request,
        [FromBody] LocalInstanceSearchRequest body,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        var query = db.Copies.AsNoTracking();
        if (body.Id is { } id)
            query = query.Where(i => i.Id == id);
        if (body.Path is { } path)
            query = await AtPathAsync(db, query, path, cancellationToken);
        if (body.FileName is { } name)
            query = query.Where(i => i.FileName == name);
        if (body.StoreId is { } store)
            query = query.Where(i => i.StoreId == store);
        if (body.Available is { } available)
            query = query.Where(i => db.IntactCopies.Any(c => c.Id == i.Id) == available);
        if (body.CreatedTime is { } created && DateTime.SpecifyKind(created, DateTimeKind.Utc) is var at)
            query = query.Where(i => i.CreatedTime == at);
        var take = Limit(body.MaxResults);
        if (body.DeletionPolicy is { } policy)
        {
            // Only these two names match anything, as upstream on SQLite.
            if (policy is not ("ALLOWED" or "DISALLOWED"))
                take = 0;
            var wanted = policy == "ALLOWED" ? DeletionPolicy.Allowed : DeletionPolicy.Disallowed;
            query = query.Where(i => i.DeletionPolicy == wanted);
        }

        var found =
            take == 0
                ? []
                : await query
                    .OrderByDescending(i => i.CreatedTime)
                    .ThenByDescending(i => i.Id)
                    .Take(take)
                    .Select(i => new { Copy = i, Intact = db.IntactCopies.Any(c => c.Id == i.Id) })
                    .ToListAsync(cancellationToken);
        if (found.Count == 0)
            return Answers.Json(new Failure(Reasons.NoInstancesFound, "Widen the search."), StatusCodes.Status404NotFound);
        var roots = await stores.RootsAsync(db, found.Select(i => i.Copy.StoreId), cancellationToken);
        IReadOnlyList<LocalInstance> hits =
        [
            .. found.Select(i => new LocalInstance(
                roots.Locate(i.Copy.StoreId, i.Copy.Path),
                i.Copy.DeletionPolicy,
                i.Copy.CreatedTime,
                i.Intact,
                i.Copy.Id,
                i.Copy.FileName,
                i.Copy.StoreId
            )),
        ];
        return Answers.Json(hits);
    }

    private async Task<IQueryable<FileCopy>> AtPathAsync(
        CatalogContext db,
        IQueryable<FileCopy> query,
        string path,
        CancellationToken cancellationToken
    )
    {
        // Every copy is on one of the few stores. With their ids, the index by store and path serves a search that names no store.
        var all = await db.Stores.Select(s => s.Id).ToListAsync(cancellationToken);
        List<(long StoreId, string Path)> inside = [.. (await stores.RootsAsync(db, all, cancellationToken)).Find(path)];
        // A path inside a store would name a copy on every store; paths on the wire are absolute.
        List<string> paths = StoreRoots.IsAbsolute(path) ? [path, .. inside.Select(p => p.Path)] : [];
        var holders = inside.ConvertAll(p => p.StoreId);
        return query.Where(i => all.Contains(i.StoreId) && paths.Contains(i.Path) && (i.Path == path || holders.Contains(i.StoreId)));
    }

    /// <summary>
    /// Finds known copies at peers (docs/spec/wire.md#search-instance-remote). <c>copy_time</c> is compared for equality (upstream fails:
    /// weakness W49).
    /// </summary>
    [Function("SearchInstanceRemote"), Requires(AuthLevel.Admin)]
    [Responds<IReadOnlyList<Client.Wire.RemoteInstance>>(200, "The copies, at least one.")]
    [Refuses<Failure>(404, Reasons.NoInstancesFound)]
    public async Task<IResult> RemoteInstancesAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.SearchInstanceRemote)] HttpRequest request,
        [FromBody] RemoteInstanceSearchRequest body,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        var query = db.RemoteCopies.AsNoTracking();
        if (body.Id is { } id)
            query = query.Where(r => r.Id == id);
        if (body.FileName is { } name)
            query = query.Where(r => r.FileName == name);
        if (body.StoreId is { } store)
            query = query.Where(r => r.StoreId == store);
        if (body.LibrarianId is { } librarian)
            query = query.Where(r => r.PeerId == librarian);
        if (body.Sender is { } sender)
            query = query.Where(r => r.Sender == sender);
        if (body.CopyTime is { } copied && DateTime.SpecifyKind(copied, DateTimeKind.Utc) is var at)
            query = query.Where(r => r.CopyTime == at);
        var take = Limit(body.MaxResults);
        var found =
            take == 0
                ? []
                : await query
                    .OrderByDescending(r => r.CopyTime)
                    .ThenByDescending(r => r.Id)
                    .Take(take)
                    .Include(r => r.Peer)
                    .ToListAsync(cancellationToken);
        if (found.Count == 0)
            return Answers.Json(new Failure(Reasons.NoInstancesFound, "Widen the search."), StatusCodes.Status404NotFound);
        IReadOnlyList<Client.Wire.RemoteInstance> hits =
        [
            .. found.Select(r => new Client.Wire.RemoteInstance(
                r.Peer!.Name,
                r.CopyTime,
                r.Id,
                r.FileName,
                r.StoreId,
                r.Sender,
                r.UnconfirmedSince
            )),
        ];
        return Answers.Json(hits);
    }

    /// <summary>
    /// Marks an error as dealt with (docs/spec/wire.md#error-clear). The client distinguishes the two failures by their text.
    /// </summary>
    [Function("ErrorClear"), Requires(AuthLevel.Admin)]
    [Responds<ErrorClearResponse>(200, "It counts as dealt with.")]
    [Refuses<Failure>(400, "Error with ID {id} has already been cleared.")]
    [Refuses<Failure>(404, "No error found with ID {id} to clear.")]
    public async Task<IResult> ClearErrorAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.ErrorClear)] HttpRequest request,
        [FromBody] ErrorClearRequest body,
        CancellationToken cancellationToken
    )
    {
        var (outcome, at) = await errors.ClearAsync(body.Id, cancellationToken);
        return outcome switch
        {
            ClearOutcome.Cleared => Answers.Json(new ErrorClearResponse(body.Id, at, true)),
            ClearOutcome.Unknown => Answers.Fail(
                request,
                404,
                $"No error found with ID {body.Id} to clear.",
                "Look for it with search/error."
            ),
            _ => Answers.Fail(request, 400, $"Error with ID {body.Id} has already been cleared.", "Nothing is left to do."),
        };
    }

    private int Limit(long wanted) => (int)Math.Clamp(wanted, 0, options.Value.MaxSearchResults);

    private static (DateTime From, DateTime To) Utc(TimeWindow window) =>
        (DateTime.SpecifyKind(window.Start, DateTimeKind.Utc), DateTime.SpecifyKind(window.End, DateTimeKind.Utc));
}
