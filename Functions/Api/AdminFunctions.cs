using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Librarian.Domain.Stores;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Peers;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using AuthLevel = Librarian.Domain.Accounts.AuthLevel;

namespace Librarian.Functions.Api;

/// <summary>Neighbours and stores (wire.md §6.10).</summary>
public sealed class AdminFunctions(CatalogDatabase database, SiteStores stores, PeerDirectory peers, PeerConnections connections)
{
    private static readonly TimeSpan PingWait = TimeSpan.FromSeconds(10);

    /// <summary>Registers a neighbour; an unreachable one is reported, not an error (upstream W32).</summary>
    [Function("LibrarianAdd"), Requires(AuthLevel.Admin)]
    public async Task<IResult> AddLibrarianAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansAdd)] HttpRequest request, [FromBody] LibrarianAddRequest body, CancellationToken cancellationToken)
    {
        var colon = body.Authenticator.IndexOf(':', StringComparison.Ordinal);
        if (colon < 1 || body.LibrarianName.Length is 0 or > CatalogContext.MaxText || body.Url.Length > CatalogContext.MaxText || body.Authenticator.Length > 512)
            return Answers.Fail(request, 400, "The librarian is not valid.", "Give a name of 1 to 256 characters and an authenticator of the form user:password.");
        if ((await peers.ListAsync(cancellationToken)).Any(l => l.Name == body.LibrarianName)) return Answers.Json(new LibrarianAddResponse(false, true, false));
        if (!SiteConnection.TryCreate(body.Url, body.Port, body.Authenticator[..colon], body.Authenticator[(colon + 1)..], out _, out var problem))
        {
            _ = Answers.Fail(request, 200, "The librarian cannot be reached under this address.", problem);
            return Answers.Json(new LibrarianAddResponse(false, false, false));
        }

        var login = new PeerLogin(body.LibrarianName, body.Url, (int)body.Port, body.Authenticator[..colon], body.Authenticator[(colon + 1)..], TransfersEnabled: true);
        if (body.CheckConnection && !await AnswersAsync(login, cancellationToken)) return Answers.Json(new LibrarianAddResponse(false, false, false));
        return await peers.AddAsync(login, cancellationToken)
            ? Answers.Json(new LibrarianAddResponse(true, false, body.CheckConnection ? true : null))
            : Answers.Json(new LibrarianAddResponse(false, true, false));
    }

    /// <summary>Lists neighbours, each asked at the same time whether it answers.</summary>
    [Function("LibrarianList"), Requires(AuthLevel.Admin)]
    public async Task<IResult> ListLibrariansAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansList)] HttpRequest request, [FromBody] LibrarianListRequest body, CancellationToken cancellationToken)
    {
        var all = await peers.ListAsync(cancellationToken);
        var entries = await Task.WhenAll(all.Select(async l => new LibrarianEntry(l.Name, l.Url, l.Port,
            body.Ping ? await peers.FindAsync(l.Name, cancellationToken) is { } login && await AnswersAsync(login, cancellationToken) : null, l.TransfersEnabled)));
        return Answers.Json(new LibrarianListResponse(entries));
    }

    /// <summary>Lists stores; called without a body, and any body is ignored.</summary>
    [Function("StoreList"), Requires(AuthLevel.Admin)]
    public async Task<IResult> ListStoresAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminStoresList)] HttpRequest request, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var rows = await db.Stores.AsNoTracking().OrderBy(s => s.Id).ToListAsync(cancellationToken);
        IReadOnlyList<StoreEntry> entries = [.. rows.Select(row => stores.Find(row.Id) is { } store
            ? new StoreEntry(row.Name, "local", store.FreeBytes(), row.Ingestable, true, row.Enabled)
            : new StoreEntry(row.Name, "local", -1, row.Ingestable, false, row.Enabled))];
        return Answers.Json(entries);
    }

    private async Task<bool> AnswersAsync(PeerLogin login, CancellationToken cancellationToken)
    {
        if (connections.For(login) is not { } peer) return false;
        using var wait = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        wait.CancelAfter(PingWait);
        try
        {
            return (await peer.Client.PingAsync(wait.Token)).IsSuccess;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }
}
