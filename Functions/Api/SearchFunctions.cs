using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using AuthLevel = Librarian.Domain.Accounts.AuthLevel;

namespace Librarian.Functions.Api;

/// <summary>Where is it (wire.md §6.4.1).</summary>
public sealed class SearchFunctions(CatalogDatabase database, IOptions<SiteOptions> options)
{
    /// <summary>Files with all their copies, newest first; three statements whatever the number of hits.</summary>
    [Function("SearchFile"), Requires(AuthLevel.ReadOnly)]
    public async Task<IResult> FilesAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.SearchFile)] HttpRequest request, [FromBody] FileSearchRequest body, CancellationToken cancellationToken)
    {
        var take = (int)Math.Clamp(body.MaxResults, 0, options.Value.MaxSearchResults);
        await using var db = database.Open();
        var query = db.Files.AsNoTracking();
        if (body.Name is { } name) query = query.Where(f => f.Name == name);
        if (body.Uploader is { } uploader) query = query.Where(f => f.Uploader == uploader);
        if (body.Source is { } source) query = query.Where(f => f.Source == source);
        if (body.CreateTimeWindow is { } window)
        {
            var (from, to) = (DateTime.SpecifyKind(window.Start, DateTimeKind.Utc), DateTime.SpecifyKind(window.End, DateTimeKind.Utc));
            query = query.Where(f => f.CreateTime >= from && f.CreateTime <= to);
        }

        var files = take == 0 ? [] : await query.OrderByDescending(f => f.CreateTime).ThenBy(f => f.Name).Take(take)
            .Include(f => f.Instances).Include(f => f.RemoteInstances).ThenInclude(r => r.Librarian)
            .AsSplitQuery().ToListAsync(cancellationToken);
        if (files.Count == 0) return Answers.Json(new Failure(Reasons.NoFilesFound, "Check the name, which must match exactly, or widen the search."), StatusCodes.Status404NotFound);
        IReadOnlyList<FileSearchHit> hits = [.. files.Select(f => new FileSearchHit(f.Name, f.CreateTime, f.Size, f.Checksum, f.Uploader, f.Source,
            [.. f.Instances.OrderBy(i => i.Id).Select(i => new LocalInstance(i.Path, (Client.Wire.DeletionPolicy)i.DeletionPolicy, i.CreatedTime, i.Available, StoreId: i.StoreId))],
            [.. f.RemoteInstances.OrderBy(r => r.Id).Select(r => new Client.Wire.RemoteInstance(r.Librarian!.Name, r.CopyTime))]))];
        return Answers.Json(hits);
    }
}
