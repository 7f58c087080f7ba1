using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Peers;
using Microsoft.AspNetCore.Mvc;
using AuthLevel = Librarian.Domain.Accounts.AuthLevel;

namespace Librarian.Functions.Api;

/// <summary>Neighbouring sites: their addresses, our credentials there, and whether files are sent to them (wire.md §6.10.5).</summary>
[Tags("Neighbours")]
public sealed class LibrarianFunctions(PeerDirectory peers, PeerConnections connections, PeerRemoval removal)
{
    private static readonly TimeSpan PingWait = TimeSpan.FromSeconds(10);

    /// <summary>Registers a neighbour; an unreachable one is reported, not an error (upstream W32).</summary>
    [Function("LibrarianAdd"), Requires(AuthLevel.Admin)]
    [Responds<LibrarianAddResponse>(200, "Registered if `success`.")]
    [Refuses<Failure>(400, "The librarian is not valid.")]
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
    [Responds<LibrarianListResponse>(200, "The neighbours.")]
    public async Task<IResult> ListLibrariansAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansList)] HttpRequest request, [FromBody] LibrarianListRequest body, CancellationToken cancellationToken)
    {
        var all = await peers.ListAsync(cancellationToken);
        var entries = await Task.WhenAll(all.Select(async l => new LibrarianEntry(l.Name, l.Url, l.Port,
            body.Ping ? await peers.FindAsync(l.Name, cancellationToken) is { } login && await AnswersAsync(login, cancellationToken) : null, l.TransfersEnabled)));
        return Answers.Json(new LibrarianListResponse(entries));
    }

    /// <summary>Forgets a neighbour and what we knew of its copies.</summary>
    [Function("LibrarianRemove"), Requires(AuthLevel.Admin)]
    [Responds<LibrarianRemoveResponse>(200, "It is forgotten.")]
    [Refuses<Failure>(400, "Librarian {librarian_name} does not exist.")]
    public async Task<IResult> RemoveLibrarianAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansRemove)] HttpRequest request, [FromBody] LibrarianRemoveRequest body, CancellationToken cancellationToken) =>
        await removal.RemoveAsync(body.LibrarianName, body.RemoveOutgoingTransfers, cancellationToken) is { } given
            ? Answers.Json(new LibrarianRemoveResponse(true, given))
            : Unknown(request, body.LibrarianName);

    /// <summary>Switches transfers to a neighbour on or off.</summary>
    [Function("LibrarianTransferStatusChange"), Requires(AuthLevel.Admin)]
    [Responds<TransferStatusChange>(200, "Switched.")]
    [Refuses<Failure>(400, "Librarian {librarian_name} does not exist.")]
    public async Task<IResult> ChangeTransferStatusAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansTransferStatusChange)] HttpRequest request, [FromBody] TransferStatusChange body, CancellationToken cancellationToken) =>
        await peers.SwitchTransfersAsync(body.LibrarianName, body.TransfersEnabled, cancellationToken) ? Answers.Json(body) : Unknown(request, body.LibrarianName);

    /// <summary>Switches transfers to a neighbour on or off; this is the name that the Python client calls (wire.md §6.10.5).</summary>
    [Function("LibrarianTransferStatusSet"), Requires(AuthLevel.Admin)]
    [Responds<TransferStatusChange>(200, "Switched.")]
    [Refuses<Failure>(400, "Librarian {librarian_name} does not exist.")]
    public Task<IResult> SetTransferStatusAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansTransferStatusSet)] HttpRequest request, [FromBody] TransferStatusChange body, CancellationToken cancellationToken) =>
        ChangeTransferStatusAsync(request, body, cancellationToken);

    private static IResult Unknown(HttpRequest request, string name) => Answers.Fail(request, 400, $"Librarian {name} does not exist.", "List the neighbours with admin/librarians/list.");

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
