using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using AuthLevel = Librarian.Domain.Accounts.AuthLevel;

namespace Librarian.Functions.Api;

/// <summary>Where is it, and what went wrong (wire.md §6.4). Every search answers newest first.</summary>
[Tags("Searches")]
public sealed class SearchFunctions(CatalogDatabase database, ErrorLog errors, IOptions<SiteOptions> options)
{
    /// <summary>Finds files, with all their copies.</summary>
    [Function("SearchFile"), Requires(AuthLevel.ReadOnly)]
    [Responds<IReadOnlyList<FileSearchHit>>(200, "The files, at least one.")]
    [Refuses<Failure>(404, Reasons.NoFilesFound)]
    public async Task<IResult> FilesAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.SearchFile)] HttpRequest request, [FromBody] FileSearchRequest body, CancellationToken cancellationToken)
    {
        var take = Limit(body.MaxResults);
        await using var db = database.Open();
        // One connection for all three questions instead of one for each.
        await db.Database.OpenConnectionAsync(cancellationToken);
        var query = db.Files.AsNoTracking();
        if (body.Name is { } name) query = query.Where(f => f.Name == name);
        if (body.Uploader is { } uploader) query = query.Where(f => f.Uploader == uploader);
        if (body.Source is { } source) query = query.Where(f => f.Source == source);
        if (body.CreateTimeWindow is { } window)
        {
            var (from, to) = Utc(window);
            query = query.Where(f => f.CreateTime >= from && f.CreateTime <= to);
        }

        // The copies are asked for by name, not by the same search again: a file that arrives in between would push another one out of the
        // second answer, and a hit without instances stops a neighbour's recovery (wire.md §0.12).
        var files = take == 0 ? [] : await query.OrderByDescending(f => f.CreateTime).ThenBy(f => f.Name).Take(take).ToListAsync(cancellationToken);
        if (files.Count == 0) return Answers.Json(new Failure(Reasons.NoFilesFound, "Check the name, which must match exactly, or widen the search."), StatusCodes.Status404NotFound);
        var names = files.ConvertAll(f => f.Name);
        var local = (await db.Instances.AsNoTracking().Where(i => names.Contains(i.FileName)).ToListAsync(cancellationToken)).ToLookup(i => i.FileName, StringComparer.Ordinal);
        var remote = (await db.RemoteInstances.Where(r => names.Contains(r.FileName)).Select(r => new { r.Id, r.FileName, Librarian = r.Librarian!.Name, r.CopyTime }).ToListAsync(cancellationToken))
            .ToLookup(r => r.FileName, StringComparer.Ordinal);
        IReadOnlyList<FileSearchHit> hits = [.. files.Select(f => new FileSearchHit(f.Name, f.CreateTime, f.Size, f.Checksum, f.Uploader, f.Source,
            [.. local[f.Name].OrderBy(i => i.Id).Select(i => new LocalInstance(i.Path, (Client.Wire.DeletionPolicy)i.DeletionPolicy, i.CreatedTime, i.Available, StoreId: i.StoreId))],
            [.. remote[f.Name].OrderBy(r => r.Id).Select(r => new Client.Wire.RemoteInstance(r.Librarian, r.CopyTime))]))];
        return Answers.Json(hits);
    }

    /// <summary>Finds recorded errors (wire.md §6.4.2).</summary>
    [Function("SearchError"), Requires(AuthLevel.Admin)]
    [Responds<IReadOnlyList<ErrorSearchHit>>(200, "The errors, at least one.")]
    [Refuses<Failure>(404, Reasons.NoErrorsFound)]
    public async Task<IResult> ErrorsAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.SearchError)] HttpRequest request, [FromBody] ErrorSearchRequest body, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var query = db.Errors.AsNoTracking();
        if (body.Id is { } id) query = query.Where(e => e.Id == id);
        if ((Domain.Catalog.ErrorCategory?)body.Category is { } category) query = query.Where(e => e.Category == category);
        if ((Domain.Catalog.ErrorSeverity?)body.Severity is { } severity) query = query.Where(e => e.Severity == severity);
        if (!body.IncludeResolved) query = query.Where(e => !e.Cleared);
        if (body.CreateTimeWindow is { } window)
        {
            var (from, to) = Utc(window);
            query = query.Where(e => e.RaisedTime >= from && e.RaisedTime <= to);
        }

        var take = Limit(body.MaxResults);
        var found = take == 0 ? [] : await query.OrderByDescending(e => e.RaisedTime).ThenByDescending(e => e.Id).Take(take).ToListAsync(cancellationToken);
        if (found.Count == 0) return Answers.Json(new Failure(Reasons.NoErrorsFound, "Widen the search, or include resolved errors."), StatusCodes.Status404NotFound);
        IReadOnlyList<ErrorSearchHit> hits = [.. found.Select(e => new ErrorSearchHit(e.Id, (Client.Wire.ErrorSeverity)e.Severity, (Client.Wire.ErrorCategory)e.Category, e.Message, e.RaisedTime, e.ClearedTime, e.Cleared, e.Caller))];
        return Answers.Json(hits);
    }

    /// <summary>Finds copies on this site's stores (wire.md §6.4.3).</summary>
    [Function("SearchInstanceLocal"), Requires(AuthLevel.Admin)]
    [Responds<IReadOnlyList<LocalInstance>>(200, "The copies, at least one.")]
    [Refuses<Failure>(404, Reasons.NoInstancesFound)]
    public async Task<IResult> LocalInstancesAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.SearchInstanceLocal)] HttpRequest request, [FromBody] LocalInstanceSearchRequest body, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var query = db.Instances.AsNoTracking();
        if (body.Id is { } id) query = query.Where(i => i.Id == id);
        if (body.Path is { } path)
        {
            // Every copy is on one of the few stores; with their ids the index by store and path serves a search that names no store.
            var all = await db.Stores.Select(s => s.Id).ToListAsync(cancellationToken);
            query = query.Where(i => all.Contains(i.StoreId) && i.Path == path);
        }

        if (body.FileName is { } name) query = query.Where(i => i.FileName == name);
        if (body.StoreId is { } store) query = query.Where(i => i.StoreId == store);
        if (body.Available is { } available) query = query.Where(i => i.Available == available);
        if (body.CreatedTime is { } created && DateTime.SpecifyKind(created, DateTimeKind.Utc) is var at) query = query.Where(i => i.CreatedTime == at);
        var take = Limit(body.MaxResults);
        if (body.DeletionPolicy is { } policy)
        {
            // Only the two names; anything else matches nothing (upstream on SQLite).
            if (policy is not ("ALLOWED" or "DISALLOWED")) take = 0;
            var wanted = policy == "ALLOWED" ? Domain.Catalog.DeletionPolicy.Allowed : Domain.Catalog.DeletionPolicy.Disallowed;
            query = query.Where(i => i.DeletionPolicy == wanted);
        }

        var found = take == 0 ? [] : await query.OrderByDescending(i => i.CreatedTime).ThenByDescending(i => i.Id).Take(take).ToListAsync(cancellationToken);
        if (found.Count == 0) return Answers.Json(new Failure(Reasons.NoInstancesFound, "Widen the search."), StatusCodes.Status404NotFound);
        IReadOnlyList<LocalInstance> hits = [.. found.Select(i => new LocalInstance(i.Path, (Client.Wire.DeletionPolicy)i.DeletionPolicy, i.CreatedTime, i.Available, i.Id, i.FileName, i.StoreId))];
        return Answers.Json(hits);
    }

    /// <summary>Finds known copies at neighbours (wire.md §6.4.4); <c>copy_time</c> is compared for equality (upstream fails, W49).</summary>
    [Function("SearchInstanceRemote"), Requires(AuthLevel.Admin)]
    [Responds<IReadOnlyList<Client.Wire.RemoteInstance>>(200, "The copies, at least one.")]
    [Refuses<Failure>(404, Reasons.NoInstancesFound)]
    public async Task<IResult> RemoteInstancesAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.SearchInstanceRemote)] HttpRequest request, [FromBody] RemoteInstanceSearchRequest body, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var query = db.RemoteInstances.AsNoTracking();
        if (body.Id is { } id) query = query.Where(r => r.Id == id);
        if (body.FileName is { } name) query = query.Where(r => r.FileName == name);
        if (body.StoreId is { } store) query = query.Where(r => r.StoreId == store);
        if (body.LibrarianId is { } librarian) query = query.Where(r => r.LibrarianId == librarian);
        if (body.Sender is { } sender) query = query.Where(r => r.Sender == sender);
        if (body.CopyTime is { } copied && DateTime.SpecifyKind(copied, DateTimeKind.Utc) is var at) query = query.Where(r => r.CopyTime == at);
        var take = Limit(body.MaxResults);
        var found = take == 0 ? [] : await query.OrderByDescending(r => r.CopyTime).ThenByDescending(r => r.Id).Take(take).Include(r => r.Librarian).ToListAsync(cancellationToken);
        if (found.Count == 0) return Answers.Json(new Failure(Reasons.NoInstancesFound, "Widen the search."), StatusCodes.Status404NotFound);
        IReadOnlyList<Client.Wire.RemoteInstance> hits = [.. found.Select(r => new Client.Wire.RemoteInstance(r.Librarian!.Name, r.CopyTime, r.Id, r.FileName, r.StoreId, r.Sender))];
        return Answers.Json(hits);
    }

    /// <summary>Marks an error as dealt with (wire.md §6.5); the client tells the two failures apart by their text.</summary>
    [Function("ErrorClear"), Requires(AuthLevel.Admin)]
    [Responds<ErrorClearResponse>(200, "It counts as dealt with.")]
    [Refuses<Failure>(400, "Error with ID {id} has already been cleared.")]
    [Refuses<Failure>(404, "No error found with ID {id} to clear.")]
    public async Task<IResult> ClearErrorAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.ErrorClear)] HttpRequest request, [FromBody] ErrorClearRequest body, CancellationToken cancellationToken)
    {
        var (outcome, at) = await errors.ClearAsync(body.Id, cancellationToken);
        return outcome switch
        {
            ClearOutcome.Cleared => Answers.Json(new ErrorClearResponse(body.Id, at, true)),
            ClearOutcome.Unknown => Answers.Fail(request, 404, $"No error found with ID {body.Id} to clear.", "Look for it with search/error."),
            _ => Answers.Fail(request, 400, $"Error with ID {body.Id} has already been cleared.", "Nothing is left to do."),
        };
    }

    private int Limit(long wanted) => (int)Math.Clamp(wanted, 0, options.Value.MaxSearchResults);

    private static (DateTime From, DateTime To) Utc(TimeWindow window) => (DateTime.SpecifyKind(window.Start, DateTimeKind.Utc), DateTime.SpecifyKind(window.End, DateTimeKind.Utc));
}
