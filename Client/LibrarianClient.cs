using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>
/// Calls every endpoint of a site (docs/spec/wire.md#endpoints). HTTP refusals, lost connections and unreadable responses are results; the
/// only exception is the caller's own cancellation. Safe for concurrent use; create one instance per site and account.
/// </summary>
public sealed partial class LibrarianClient : IDisposable
{
    // Enough for trailing-slash and http-to-https redirects, and few enough to end a loop.
    private const int MaxRedirects = 5;

    /// <summary>Request option with the peer's name, for the message handlers; set if the client was created with a peer's name.</summary>
    public static readonly HttpRequestOptionsKey<string> PeerName = new("Librarian.PeerName");

    private readonly HttpClient _http;
    private readonly string? _peerName;
    private readonly bool _ownsHttp;
    private readonly Uri _root;
    private readonly Uri _orchestrations;
    private readonly AuthenticationHeaderValue _credentials;
    private readonly CallHeaders? _headers;

    /// <summary>Creates a client with its own connections.</summary>
    /// <param name="connection">Site and account.</param>
    /// <param name="answerTimeout">
    /// How long to wait for a response. Infinite by default, because validation and commits may take hours
    /// (docs/spec/wire.md#slow-answers). The caller's cancellation token always ends the wait. Connecting is limited to 15 seconds in any
    /// case.
    /// </param>
    public LibrarianClient(SiteConnection connection, TimeSpan? answerTimeout = null)
        : this(connection, new HttpClient(CreateHandler()) { Timeout = Timeout.InfiniteTimeSpan }, answerTimeout) => _ownsHttp = true;

    /// <summary>Creates a client that shares connections with others.</summary>
    /// <param name="connection">Site and account.</param>
    /// <param name="http">
    /// Made with a handler like that of <see cref="CreateHandler"/>. This instance does not dispose it. Its own timeout counts as no
    /// response.
    /// </param>
    /// <param name="answerTimeout">As in the other constructor.</param>
    /// <param name="peerName">Passed to the handlers of <paramref name="http"/> as <see cref="PeerName"/>.</param>
    /// <param name="headers">Adds headers to every call.</param>
    public LibrarianClient(
        SiteConnection connection,
        HttpClient http,
        TimeSpan? answerTimeout = null,
        string? peerName = null,
        CallHeaders? headers = null
    )
    {
        ArgumentNullException.ThrowIfNull(connection);
        ArgumentNullException.ThrowIfNull(http);
        Connection = connection;
        AnswerTimeout = answerTimeout ?? Timeout.InfiniteTimeSpan;
        _http = http;
        _peerName = peerName;
        _headers = headers;
        _root = new Uri(connection.BaseAddress, Routes.Prefix);
        _orchestrations = new Uri(connection.BaseAddress, OrchestrationRoutes.Prefix);
        _credentials = new AuthenticationHeaderValue("Basic", connection.BasicCredentials);
    }

    /// <summary>Site and account.</summary>
    public SiteConnection Connection { get; }

    /// <summary>How long each call waits for its response.</summary>
    public TimeSpan AnswerTimeout { get; }

    /// <summary>
    /// Creates a handler with the settings that this client needs: no automatic redirects, because the platform drops the credentials on
    /// them; no cookies; connecting limited to 15 seconds.
    /// </summary>
    /// <returns>A new handler, owned by the caller.</returns>
    public static SocketsHttpHandler CreateHandler() =>
        new()
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            ConnectTimeout = TimeSpan.FromSeconds(15),
            AutomaticDecompression = DecompressionMethods.GZip | DecompressionMethods.Deflate,
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            SslOptions = { RemoteCertificateValidationCallback = CertificateCheck.Validate },
        };

    /// <summary>ping/: checks that the site answers. Any credentials will do.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<PingResponse>> PingAsync(CancellationToken cancellationToken = default) => PingAsync(Routes.Ping, cancellationToken);

    /// <summary>ping/logged: checks that the site answers and knows this account.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<PingResponse>> PingLoggedAsync(CancellationToken cancellationToken = default) =>
        PingAsync(Routes.PingLogged, cancellationToken);

    /// <summary>ping/admin: checks that this account is an administrator's.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<PingResponse>> PingAdminAsync(CancellationToken cancellationToken = default) =>
        PingAsync(Routes.PingAdmin, cancellationToken);

    /// <summary>Closes the connections if this instance owns them.</summary>
    public void Dispose()
    {
        if (_ownsHttp)
            _http.Dispose();
    }

    private Task<Reply<PingResponse>> PingAsync(string route, CancellationToken cancellationToken) =>
        ExchangeAsync<PingResponse>(
            HttpMethod.Post,
            new Uri(_root, route),
            JsonSerializer.SerializeToUtf8Bytes(new PingRequest(), WireJson.Wire.PingRequest),
            null,
            async (response, token) =>
            {
                var reply = await ReadAsync(response, WireJson.Wire.PingResponse, AnswerLimits.Of(route), token);
                if (!reply.IsSuccess)
                    return reply.Error;
                return
                    response.Headers.TryGetValues(PingResponse.NameHeader, out var values)
                    && Uri.UnescapeDataString(string.Concat(values)) is { Length: > 0 } name
                    ? reply.Value with
                    {
                        LibrarianName = name,
                    }
                    : reply.Value;
            },
            cancellationToken
        );

    private Task<Reply<T>> PostAsync<T>(
        string route,
        byte[]? body,
        JsonTypeInfo<T>? answer,
        CancellationToken cancellationToken,
        (string Name, string Value)? header = null
    ) =>
        ExchangeAsync(
            HttpMethod.Post,
            new Uri(_root, route),
            body,
            header,
            (response, token) => ReadAsync(response, answer, AnswerLimits.Of(route), token),
            cancellationToken
        );

    private Task<Reply<T>> ExchangeAsync<T>(
        HttpMethod method,
        Uri address,
        byte[]? body,
        (string Name, string Value)? header,
        Func<HttpResponseMessage, CancellationToken, Task<Reply<T>>> readAsync,
        CancellationToken cancellationToken
    ) =>
        ExchangeAsync(
            method,
            address,
            request =>
            {
                if (method == HttpMethod.Post)
                {
                    // A call without a body still sends application/json (docs/spec/wire.md#transport).
                    request.Content = new ByteArrayContent(body ?? []);
                    request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
                }

                if (header is { } extra)
                    request.Headers.TryAddWithoutValidation(extra.Name, extra.Value);
            },
            readAsync,
            cancellationToken
        );

    /// <param name="method">Method.</param>
    /// <param name="address">Address.</param>
    /// <param name="prepare">Adds body and headers; called again after a redirect.</param>
    /// <param name="readAsync">Reads the answer.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    private async Task<Reply<T>> ExchangeAsync<T>(
        HttpMethod method,
        Uri address,
        Action<HttpRequestMessage> prepare,
        Func<HttpResponseMessage, CancellationToken, Task<Reply<T>>> readAsync,
        CancellationToken cancellationToken
    )
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        if (AnswerTimeout != Timeout.InfiniteTimeSpan)
            limit.CancelAfter(AnswerTimeout);
        try
        {
            for (var redirects = 0; ; redirects++)
            {
                using var response = await SendAsync(method, address, prepare, limit.Token);
                // No other redirect repeats the request as it was sent (docs/spec/wire.md#transport); a person has to find out why the
                // server sends one.
                if (response.StatusCode != HttpStatusCode.TemporaryRedirect)
                    return await readAsync(response, limit.Token);
                if (Follow(address, response.Headers.Location, redirects) is not { } next)
                    return new Refused(
                        (int)response.StatusCode,
                        $"The site redirects {address} to \"{response.Headers.Location}\", where the credentials are not sent.",
                        "Configure the address the site really has.",
                        Body: null
                    );
                address = next;
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new Unreachable($"{Connection.BaseAddress} gave no answer in time.", Sent: true);
        }
        catch (HttpRequestException error)
        {
            var sent =
                error.HttpRequestError
                is not (
                    HttpRequestError.NameResolutionError
                    or HttpRequestError.ConnectionError
                    or HttpRequestError.SecureConnectionError
                    or HttpRequestError.ProxyTunnelError
                );
            return new Unreachable($"{Connection.BaseAddress} cannot be reached: {Reason(error)}", sent);
        }
        catch (IOException error)
        {
            return new Unreachable($"{Connection.BaseAddress} broke off its answer: {error.Message}", Sent: true);
        }
    }

    // After a failed TLS handshake, the outermost message only refers to the inner exception.
    private static string Reason(Exception error) =>
        error is HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError, InnerException: { } cause }
            ? cause.GetBaseException().Message
            : error.Message;

    private async Task<HttpResponseMessage> SendAsync(
        HttpMethod method,
        Uri address,
        Action<HttpRequestMessage> prepare,
        CancellationToken cancellationToken
    )
    {
        using var request = new HttpRequestMessage(method, address);
        prepare(request);
        if (_peerName is not null)
            request.Options.Set(PeerName, _peerName);
        request.Headers.Authorization = _credentials;
        request.Headers.ExpectContinue = false;
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        return await SendAsync(request, cancellationToken);
    }

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (_headers is null)
            return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        foreach (var (name, value) in await _headers.OfRequestAsync(cancellationToken))
            request.Headers.TryAddWithoutValidation(name, value);
        var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        // Before the caller sees the response: the headers must be recorded before anything relies on them.
        await _headers.OfAnswerAsync(response, cancellationToken);
        return response;
    }

    // Credentials go only to the host that they were given for, and never from https to http.
    private static Uri? Follow(Uri from, Uri? location, int redirects)
    {
        if (location is null || redirects >= MaxRedirects)
            return null;
        var to = new Uri(from, location);
        var safeScheme = to.Scheme == from.Scheme || (from.Scheme == Uri.UriSchemeHttp && to.Scheme == Uri.UriSchemeHttps);
        var samePort = to.Port == from.Port || to.Scheme != from.Scheme;
        return safeScheme && samePort && string.Equals(to.Host, from.Host, StringComparison.OrdinalIgnoreCase) ? to : null;
    }

    private static async Task<Reply<T>> ReadAsync<T>(
        HttpResponseMessage response,
        JsonTypeInfo<T>? answer,
        long limit,
        CancellationToken cancellationToken
    )
    {
        var status = (int)response.StatusCode;
        if (!response.IsSuccessStatusCode)
        {
            return FailureBody.Decode(status, await ReadLimitedAsync(response, cancellationToken)) with
            {
                CopyVerified = Header(response, CopyEvidence.UploadHeader) ?? Header(response, CopyEvidence.CloneHeader),
                RetryAfter = response.Headers.RetryAfter?.Delta,
            };
        }

        if (answer is null)
            return default(T)!;
        await using var stream = new LimitedStream(await response.Content.ReadAsStreamAsync(cancellationToken), limit);
        try
        {
            return await JsonSerializer.DeserializeAsync(stream, answer, cancellationToken) is { } value
                ? value
                : new Malformed(status, "The answer is null.");
        }
        catch (Exception error) when (error is JsonException or AnswerTooLongException)
        {
            return new Malformed(status, error.Message);
        }
        // The response says that it is compressed, and is not.
        catch (InvalidDataException error)
        {
            return new Malformed(status, error.Message);
        }
    }

    private static string? Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out var values) ? string.Join(',', values) : null;

    private static async Task<ReadOnlyMemory<byte>> ReadLimitedAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        await using var stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        using var buffer = new MemoryStream();
        var chunk = new byte[16 << 10];
        int read;
        while (
            buffer.Length < AnswerLimits.Failure
            && (
                read = await stream.ReadAsync(
                    chunk.AsMemory(0, (int)Math.Min(chunk.Length, AnswerLimits.Failure - buffer.Length)),
                    cancellationToken
                )
            ) > 0
        )
            buffer.Write(chunk, 0, read);
        return buffer.GetBuffer().AsMemory(0, (int)buffer.Length);
    }
}
