using System.Net.Http.Headers;
using Librarian.Client;
using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Peers;

/// <summary>A peer that can be called now.</summary>
/// <param name="Login">The peer's address and this site's credentials there.</param>
/// <param name="Client">The client that calls the peer.</param>
public sealed record PeerClient(PeerLogin Login, LibrarianClient Client);

/// <summary>
/// Connections to peers: one pool for the process, with a limited wait for each answer. Every successful answer counts as a sign of life.
/// </summary>
/// <remarks>
/// Every call carries the state of this site's catalog and the last known state of the peer's; the answer carries the same in return.
/// </remarks>
public sealed class PeerConnections : IDisposable
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromMinutes(5);
    private readonly PeerDirectory _directory;
    private readonly HttpClient _http;
    private readonly HttpClient _httpOfRegistered;
    private readonly SiteCatalog _own;
    private readonly PeerCatalogs _catalogs;
    private readonly ILogger<PeerConnections> _log;

    /// <param name="directory">Registered peers.</param>
    /// <param name="presence">Is notified of every peer that answers.</param>
    /// <param name="own">This site's catalog.</param>
    /// <param name="catalogs">Catalogs of peers.</param>
    /// <param name="log">Reports headers that could not be sent or recorded.</param>
    public PeerConnections(
        PeerDirectory directory,
        PeerPresence presence,
        SiteCatalog own,
        PeerCatalogs catalogs,
        ILogger<PeerConnections> log
    )
    {
        (_directory, _own, _catalogs, _log) = (directory, own, catalogs, log);
        var handler = LibrarianClient.CreateHandler();
        _http = new HttpClient(handler, disposeHandler: false) { Timeout = Timeout.InfiniteTimeSpan };
        _httpOfRegistered = new HttpClient(new WakingHandler(presence, handler)) { Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>The peer, or null if it is not registered or its registration is unusable.</summary>
    public async Task<PeerClient?> FindAsync(string name, CancellationToken cancellationToken)
    {
        if (await _directory.FindAsync(name, cancellationToken) is not { } login)
            return null;
        return For(login);
    }

    /// <summary>A connection with given credentials; null if the address is unusable.</summary>
    /// <param name="login">Address and credentials.</param>
    /// <param name="answerTimeout">Longest wait for an answer; five minutes by default.</param>
    /// <param name="isRegistered">False if the name is still unverified, so that an answer is no sign of life.</param>
    public PeerClient? For(PeerLogin login, TimeSpan? answerTimeout = null, bool isRegistered = true)
    {
        ArgumentNullException.ThrowIfNull(login);
        return SiteConnection.TryCreate(login.Url, login.Port, login.User, login.Password, out var connection, out _)
            ? new PeerClient(
                login,
                new LibrarianClient(
                    connection,
                    isRegistered ? _httpOfRegistered : _http,
                    answerTimeout ?? AnswerTimeout,
                    isRegistered ? login.Name : null,
                    isRegistered ? HeadersOf(login.Name) : null
                )
            )
            : null;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _http.Dispose();
        _httpOfRegistered.Dispose();
    }

    private CallHeaders HeadersOf(string peer) =>
        new(token => OfRequestAsync(peer, token), (answer, token) => OfAnswerAsync(peer, answer, token));

    private async Task<IReadOnlyList<KeyValuePair<string, string>>> OfRequestAsync(string peer, CancellationToken cancellationToken)
    {
        if (_own.Current is not { } current)
            return [];
        var headers = new List<KeyValuePair<string, string>> { new(CatalogVersion.Header, current.ToString()) };
        try
        {
            if (await _catalogs.SeenOfAsync(peer, cancellationToken) is { Count: > 0 } seen)
                headers.Add(new(CatalogVersion.SeenHeader, seen.ToString()));
        }
        catch (Exception fault) when (CatalogDatabase.IsDatabaseFailure(fault))
        {
            Logs.CatalogExchangeFailed(_log, fault, peer);
        }

        return headers;
    }

    private async Task OfAnswerAsync(string peer, HttpResponseMessage answer, CancellationToken cancellationToken)
    {
        try
        {
            // A peer that sends its catalog headers has read the request's headers first, so it knows everything that they name.
            await _catalogs.ObserveAsync(
                peer,
                Value(answer.Headers, CatalogVersion.Header),
                Value(answer.Headers, CatalogVersion.SeenHeader),
                SeenCatalogs.TryParse(Value(answer.RequestMessage?.Headers, CatalogVersion.SeenHeader)),
                cancellationToken
            );
        }
        catch (Exception fault) when (CatalogDatabase.IsDatabaseFailure(fault))
        {
            // The next answer repeats it.
            Logs.CatalogExchangeFailed(_log, fault, peer);
        }

        static string? Value(HttpHeaders? headers, string name) =>
            headers is not null && headers.TryGetValues(name, out var values) ? string.Join(',', values) : null;
    }

    /// <summary>Wakes the workflows that wait for a peer when it answers a call.</summary>
    private sealed class WakingHandler(PeerPresence presence, HttpMessageHandler inner) : DelegatingHandler(inner)
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var response = await base.SendAsync(request, cancellationToken);
            if (response.IsSuccessStatusCode && request.Options.TryGetValue(LibrarianClient.PeerName, out var name))
                await presence.WakeWaitingAsync(name, cancellationToken);
            return response;
        }
    }
}
