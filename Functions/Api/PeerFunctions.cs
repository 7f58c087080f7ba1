using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Peers;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.PeerUpkeep;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Api;

/// <summary>
/// Peers: their addresses, this site's credentials there, and whether files are sent to them (docs/spec/wire.md#librarians).
/// </summary>
[Tags("Peers")]
public sealed class PeerFunctions(
    PeerDirectory peers,
    PeerConnections connections,
    PeerCheck check,
    PeerPresence presence,
    PeerRemoval removal,
    IOptions<SiteOptions> options
)
{
    private static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Registers a peer, or updates its registration. Unless the peer is offline, the site checks its name and the credentials first; a
    /// registration that cannot work is refused and changes nothing.
    /// </summary>
    /// <remarks>
    /// Where upstream's contract gives an answer, its callers get that one: 200 with `success` false for a librarian that is unreachable,
    /// and also for one that is known with the same values. A caller that sends `offline`, true or false, gets a reason in the first case
    /// and a success in the second.
    /// </remarks>
    [Function("LibrarianAdd"), Requires(AuthLevel.Admin)]
    [Responds<LibrarianAddResponse>(200, "Registered if `success`.")]
    [Refuses<Failure>(
        400,
        "The librarian is not valid.",
        "Librarian {librarian_name} is this site itself.",
        "Librarian {librarian_name} is not the one that answers there.",
        "Librarian {librarian_name} does not accept the credentials.",
        "Librarian {librarian_name} does not answer."
    )]
    public async Task<IResult> AddLibrarianAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansAdd)] HttpRequest request,
        [FromBody] LibrarianAddRequest body,
        CancellationToken cancellationToken
    )
    {
        var (name, explain) = (body.LibrarianName, body.Offline is not null);
        if (Invalid(request, body) is { } invalid)
            return invalid;
        var colon = body.Authenticator.IndexOf(':', StringComparison.Ordinal);
        if (
            !SiteConnection.TryCreate(
                body.Url,
                body.Port,
                body.Authenticator[..colon],
                body.Authenticator[(colon + 1)..],
                out _,
                out var problem
            )
        )
        {
            if (explain)
                return Answers.Fail(request, 400, "The librarian is not valid.", problem + " Nothing was changed.");
            _ = Answers.Fail(request, 200, "The librarian cannot be reached under this address.", problem);
            return Answers.Json(new LibrarianAddResponse(false, false, false));
        }

        var login = new PeerLogin(
            name,
            body.Url,
            (int)body.Port,
            body.Authenticator[..colon],
            body.Authenticator[(colon + 1)..],
            TransfersEnabled: true
        );
        if (!explain && await peers.ChangesAsync(login, cancellationToken) is { Count: 0 })
            return Answers.Json(new LibrarianAddResponse(false, true, false));
        var finding = body.CheckConnection && body.Offline != true ? await check.CheckAsync(login, cancellationToken) : null;
        if (finding is { Fault: PeerFault.Silent } && !explain)
        {
            _ = Answers.Fail(request, 200, $"Librarian {name} does not answer.", finding.Detail);
            return Answers.Json(new LibrarianAddResponse(false, false, false));
        }

        if (finding is { IsGood: false })
            return Refuse(request, name, finding);
        var (wasKnown, changed) = await peers.SaveAsync(login, cancellationToken);
        // Work that waited for the peer under the old address or credentials is retried at once.
        if (!wasKnown || changed.Count > 0)
            await presence.WakeWaitingAsync(name, cancellationToken, force: true);
        return Answers.Json(
            new LibrarianAddResponse(
                true,
                wasKnown,
                finding is null ? null : true,
                explain ? changed : null,
                explain ? finding?.Problems ?? [] : null
            )
        );
    }

    private IResult? Invalid(HttpRequest request, LibrarianAddRequest body)
    {
        var name = body.LibrarianName;
        var colon = body.Authenticator.IndexOf(':', StringComparison.Ordinal);
        if (
            colon < 1
            || name.Length is 0 or > CatalogContext.MaxText
            || body.Url.Length > CatalogContext.MaxText
            || body.Authenticator.Length > 512
        )
            return Answers.Fail(
                request,
                400,
                "The librarian is not valid.",
                "Give a name of 1 to 256 characters and an authenticator of the form user:password."
            );
        return name == options.Value.Name
            ? Answers.Fail(
                request,
                400,
                $"Librarian {name} is this site itself.",
                "Nothing was changed. Give the name and address of the other site."
            )
            : null;
    }

    /// <summary>Lists peers. With <c>ping</c> or <c>check</c>, calls all of them at the same time.</summary>
    [Function("LibrarianList"), Requires(AuthLevel.Admin)]
    [Responds<LibrarianListResponse>(200, "The peers.")]
    public async Task<IResult> ListLibrariansAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansList)] HttpRequest request,
        [FromBody] LibrarianListRequest body,
        CancellationToken cancellationToken
    )
    {
        var all = await peers.ListAsync(cancellationToken);
        var entries = await Task.WhenAll(
            all.Select(async l =>
            {
                var (available, problems) = body is { Ping: false, Check: not true }
                    ? (null, null)
                    : await CheckPeerAsync(l.Name, body.Check == true, cancellationToken);
                return new LibrarianEntry(l.Name, l.Url, l.Port, available, l.TransfersEnabled, problems);
            })
        );
        return Answers.Json(new LibrarianListResponse(entries));
    }

    /// <summary>Removes a peer and everything that this site knew of its copies.</summary>
    [Function("LibrarianRemove"), Requires(AuthLevel.Admin)]
    [Responds<LibrarianRemoveResponse>(200, "It is forgotten.")]
    [Refuses<Failure>(400, "Librarian {librarian_name} does not exist.")]
    public async Task<IResult> RemoveLibrarianAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansRemove)] HttpRequest request,
        [FromBody] LibrarianRemoveRequest body,
        CancellationToken cancellationToken
    ) =>
        await removal.RemoveAsync(body.LibrarianName, body.RemoveOutgoingTransfers, cancellationToken) is { } given
            ? Answers.Json(new LibrarianRemoveResponse(true, given))
            : Unknown(request, body.LibrarianName);

    /// <summary>Switches transfers to a peer on or off.</summary>
    [Function("LibrarianTransferStatusChange"), Requires(AuthLevel.Admin)]
    [Responds<TransferStatusChange>(200, "Switched.")]
    [Refuses<Failure>(400, "Librarian {librarian_name} does not exist.")]
    public async Task<IResult> ChangeTransferStatusAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansTransferStatusChange)]
            HttpRequest request,
        [FromBody] TransferStatusChange body,
        CancellationToken cancellationToken
    ) =>
        await peers.SwitchTransfersAsync(body.LibrarianName, body.TransfersEnabled, cancellationToken)
            ? Answers.Json(body)
            : Unknown(request, body.LibrarianName);

    /// <summary>
    /// Switches transfers to a peer on or off, under the name that the Python client calls (docs/spec/wire.md#transfer-status-alias).
    /// </summary>
    [Function("LibrarianTransferStatusSet"), Requires(AuthLevel.Admin)]
    [Responds<TransferStatusChange>(200, "Switched.")]
    [Refuses<Failure>(400, "Librarian {librarian_name} does not exist.")]
    public Task<IResult> SetTransferStatusAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminLibrariansTransferStatusSet)]
            HttpRequest request,
        [FromBody] TransferStatusChange body,
        CancellationToken cancellationToken
    ) => ChangeTransferStatusAsync(request, body, cancellationToken);

    private static IResult Unknown(HttpRequest request, string name) =>
        Answers.Fail(request, 400, $"Librarian {name} does not exist.", "List the peers with admin/librarians/list.");

    private static IResult Refuse(HttpRequest request, string name, PeerFinding finding) =>
        finding.Fault switch
        {
            PeerFault.Self => Answers.Fail(
                request,
                400,
                $"Librarian {name} is this site itself.",
                $"{finding.Detail} Nothing was changed. Give the address of '{name}'."
            ),
            PeerFault.OtherName => Answers.Fail(
                request,
                400,
                $"Librarian {name} is not the one that answers there.",
                $"{finding.Detail} Nothing was changed. Give its name, or the address of '{name}'."
            ),
            PeerFault.Credentials => Answers.Fail(
                request,
                400,
                $"Librarian {name} does not accept the credentials.",
                $"{finding.Detail} Nothing was changed. Correct the authenticator, or make the account there with create-user."
            ),
            _ => Answers.Fail(
                request,
                400,
                $"Librarian {name} does not answer.",
                $"{finding.Detail} Nothing was changed. Correct url and port, or add --offline when it is merely away."
            ),
        };

    private async Task<(bool? Available, IReadOnlyList<string>? Problems)> CheckPeerAsync(
        string name,
        bool thorough,
        CancellationToken cancellationToken
    )
    {
        if (await peers.FindAsync(name, cancellationToken) is not { } login)
            return (
                false,
                thorough
                    ?
                    [
                        $"The credentials for '{name}' cannot be read with this site's key (Site:EncryptionKey). "
                            + "Register it again with add-librarian.",
                    ]
                    : null
            );
        if (!thorough)
            return (connections.For(login, PingTimeout) is { } peer && (await peer.Client.PingAsync(cancellationToken)).IsSuccess, null);
        var finding = await check.CheckAsync(login, cancellationToken);
        return (finding.Fault is not PeerFault.Silent, finding.IsGood ? finding.Problems : [finding.Detail]);
    }
}
