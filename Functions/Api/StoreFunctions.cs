using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Drives;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Api;

/// <summary>Stores and the files on them (docs/spec/wire.md#store-manifest).</summary>
[Tags("Stores")]
public sealed class StoreFunctions(CatalogDatabase database, SiteStores stores, StoreManifests manifests, IOptions<SiteOptions> options)
{
    /// <summary>Lists stores. The call needs no body and ignores one.</summary>
    [Function("StoreList"), Requires(AuthLevel.Admin)]
    [Responds<IReadOnlyList<StoreEntry>>(200, "The stores.")]
    public async Task<IResult> ListAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminStoresList)] HttpRequest request,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        var rows = await db.Stores.AsNoTracking().OrderBy(s => s.Id).ToListAsync(cancellationToken);
        IReadOnlyList<StoreEntry> entries = await Task.WhenAll(
            rows.Select(async row =>
            {
                var probe = stores.Known(row.Id) is { } store
                    ? await stores.ProbeAsync(store, cancellationToken)
                    : new StoreProbe(IsMounted: false, FreeBytes: -1);
                return new StoreEntry(row.Name, "local", probe.FreeBytes, row.Ingestable, probe.IsMounted, row.Enabled);
            })
        );
        return Answers.Json(entries);
    }

    /// <summary>Takes a store out of use, or puts it back into use.</summary>
    [Function("StoreStateChange"), Requires(AuthLevel.Admin)]
    [Responds<StoreStateChangeResponse>(200, "Switched.")]
    [Refuses<Failure>(400, "Store {store_name} does not exist.")]
    public async Task<IResult> ChangeStateAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminStoresStateChange)] HttpRequest request,
        [FromBody] StoreStateChangeRequest body,
        CancellationToken cancellationToken
    ) =>
        await manifests.SwitchAsync(body.StoreName, body.Enabled, cancellationToken)
            ? Answers.Json(new StoreStateChangeResponse(body.StoreName, body.Enabled, true))
            : UnknownStore(request, body.StoreName);

    /// <summary>
    /// Lists the files on a store and, on request, prepares the store for transport. As upstream does, it switches the store off before it
    /// looks up the destination.
    /// </summary>
    [Function("StoreManifest"), Requires(AuthLevel.Admin)]
    [Responds<Manifest>(200, "Everything asked for is done once the answer has arrived whole.")]
    [Refuses<Failure>(400, "Store {store_name} does not exist.", "Librarian {destination_librarian} does not exist.")]
    public async Task<IResult> ManifestAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminStoresManifest)] HttpRequest request,
        [FromBody] ManifestRequest body,
        CancellationToken cancellationToken
    )
    {
        if (await manifests.FindAsync(body.StoreName, cancellationToken) is not { } id)
            return UnknownStore(request, body.StoreName);
        if (body.DisableStore)
            await manifests.SwitchAsync(body.StoreName, enabled: false, cancellationToken);
        if (body.CreateOutgoingTransfers && !await manifests.KnowsAsync(body.DestinationLibrarian, cancellationToken))
            return Answers.Fail(
                request,
                400,
                $"Librarian {body.DestinationLibrarian} does not exist.",
                "Add it with admin/librarians/add. No transfer was made" + (body.DisableStore ? "; the store is switched off." : ".")
            );
        return new SpooledManifest(
            options.Value.Name,
            body.StoreName,
            manifests.ListAsync(
                id,
                body.CreateOutgoingTransfers ? body.DestinationLibrarian : null,
                body.MarkLocalInstancesAsUnavailable,
                cancellationToken
            ),
            options.Value.DataDirectory
        );
    }

    private static IResult UnknownStore(HttpRequest request, string name) =>
        Answers.Fail(request, 400, $"Store {name} does not exist.", "List the stores with admin/stores/list.");

    /// <summary>
    /// Writes the lines to a file as they come, because a store may hold millions of files, and sends the file when their changes are
    /// committed. The transaction must not wait for the caller: on SQLite it stops all other writers.
    /// </summary>
    private sealed class SpooledManifest(string site, string store, IAsyncEnumerable<ManifestLine> lines, string directory) : IResult
    {
        private const int FlushAt = 64 * 1024;

        public async Task ExecuteAsync(HttpContext httpContext)
        {
            var stop = httpContext.RequestAborted;
            await using var spool = Spool();
            await WriteAsync(spool, stop);
            spool.Position = 0;
            httpContext.Response.ContentType = "application/json";
            await spool.CopyToAsync(httpContext.Response.Body, stop);
        }

        /// <summary>A file without a name: nothing of it stays after a crash.</summary>
        private FileStream Spool()
        {
            var path = Path.Combine(directory, $"manifest-{Guid.NewGuid():N}.tmp");
            var file = new FileStream(
                path,
                new FileStreamOptions
                {
                    Mode = FileMode.CreateNew,
                    Access = FileAccess.ReadWrite,
                    Share = FileShare.ReadWrite | FileShare.Delete,
                    Options = FileOptions.Asynchronous,
                    UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
                }
            );
            File.Delete(path);
            return file;
        }

        private async Task WriteAsync(FileStream spool, CancellationToken stop)
        {
            await using var writer = new Utf8JsonWriter(spool, new JsonWriterOptions { Encoder = WireJson.Wire.Options.Encoder });
            writer.WriteStartObject();
            writer.WriteString("librarian_name", site);
            writer.WriteString("store_name", store);
            writer.WriteStartArray("store_files");
            await foreach (var (file, copy, path, transfer) in lines.WithCancellation(stop))
            {
                // The Python command passes the entry's source on as the source of the clone, and only a librarian of that name is called
                // back (docs/spec/wire.md#ingest-manifest).
                var source = transfer is null ? file.Source : site;
                JsonSerializer.Serialize(
                    writer,
                    new ManifestEntry(
                        file.Name,
                        file.CreateTime,
                        file.Size,
                        file.Checksum,
                        file.Uploader,
                        source,
                        path,
                        copy.DeletionPolicy,
                        copy.CreatedTime,
                        true,
                        transfer ?? -1
                    ),
                    WireJson.Wire.ManifestEntry
                );
                if (writer.BytesPending < FlushAt)
                    continue;
                await writer.FlushAsync(stop);
            }

            writer.WriteEndArray();
            writer.WriteEndObject();
            await writer.FlushAsync(stop);
        }
    }
}
