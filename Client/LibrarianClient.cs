using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>
/// Every endpoint of a site as a method (wire.md §6). HTTP refusals, lost connections and unreadable answers are results; the only
/// exception is the caller's own cancellation. Safe for concurrent use; one instance per site and account.
/// </summary>
public sealed partial class LibrarianClient : IDisposable
{
    // Enough for trailing-slash and http-to-https redirects, few enough to end a loop.
    private const int MaxRedirects = 5;

    // Failure bodies are sentences; a proxy's error page is cut here.
    private const int MaxFailureBytes = 4 << 20;

    private readonly HttpClient _http;
    private readonly bool _ownsHttp;
    private readonly Uri _root;
    private readonly Uri _orchestrations;
    private readonly AuthenticationHeaderValue _credentials;

    /// <summary>Creates a client with connections of its own.</summary>
    /// <param name="connection">Site and account.</param>
    /// <param name="answerTimeout">
    /// How long to wait for an answer. Infinite by default, since validation and commits may take hours (wire.md §12); the caller's
    /// cancellation token always ends the wait. Connecting is limited to 15 seconds in any case.
    /// </param>
    public LibrarianClient(SiteConnection connection, TimeSpan? answerTimeout = null)
        : this(connection, new HttpClient(CreateHandler()) { Timeout = Timeout.InfiniteTimeSpan }, answerTimeout) => _ownsHttp = true;

    /// <summary>Creates a client over shared connections.</summary>
    /// <param name="connection">Site and account.</param>
    /// <param name="http">Made from <see cref="CreateHandler"/> or alike; not disposed by this instance. Its own timeout counts as no answer.</param>
    /// <param name="answerTimeout">As for the other constructor.</param>
    public LibrarianClient(SiteConnection connection, HttpClient http, TimeSpan? answerTimeout = null)
    {
        ArgumentNullException.ThrowIfNull(connection);
        ArgumentNullException.ThrowIfNull(http);
        Connection = connection;
        AnswerTimeout = answerTimeout ?? Timeout.InfiniteTimeSpan;
        _http = http;
        _root = new Uri(connection.BaseAddress, Routes.Prefix);
        _orchestrations = new Uri(connection.BaseAddress, OrchestrationRoutes.Prefix);
        _credentials = new AuthenticationHeaderValue("Basic", connection.BasicCredentials);
    }

    /// <summary>Site and account.</summary>
    public SiteConnection Connection { get; }

    /// <summary>How long each call waits for its answer.</summary>
    public TimeSpan AnswerTimeout { get; }

    /// <summary>
    /// The handler this client wants: no automatic redirects, since the platform drops the credentials on them, no proxy guessing by
    /// cookies, connecting limited to 15 seconds.
    /// </summary>
    /// <returns>A new handler, owned by the caller.</returns>
    public static SocketsHttpHandler CreateHandler() => new()
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        ConnectTimeout = TimeSpan.FromSeconds(15),
        AutomaticDecompression = DecompressionMethods.GZip | DecompressionMethods.Deflate,
        PooledConnectionLifetime = TimeSpan.FromMinutes(5),
    };

    /// <summary>ping/: is the site there; any credentials do.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<PingResponse>> PingAsync(CancellationToken cancellationToken = default) =>
        PostAsync(Routes.Ping, JsonSerializer.SerializeToUtf8Bytes(new PingRequest(), WireJson.Wire.PingRequest), WireJson.Wire.PingResponse, cancellationToken);

    /// <summary>ping/logged: is the site there and does it know this account.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<PingResponse>> PingLoggedAsync(CancellationToken cancellationToken = default) =>
        PostAsync(Routes.PingLogged, JsonSerializer.SerializeToUtf8Bytes(new PingRequest(), WireJson.Wire.PingRequest), WireJson.Wire.PingResponse, cancellationToken);

    /// <summary>ping/admin: is this account an administrator.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<PingResponse>> PingAdminAsync(CancellationToken cancellationToken = default) =>
        PostAsync(Routes.PingAdmin, JsonSerializer.SerializeToUtf8Bytes(new PingRequest(), WireJson.Wire.PingRequest), WireJson.Wire.PingResponse, cancellationToken);

    /// <summary>users/create; an existing account is a 400.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> CreateUserAsync(UserCreateRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.UsersCreate, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserCreateRequest), WireJson.Wire.UserChangeResponse, cancellationToken);

    /// <summary>users/update; an unknown account is a success whose value says false.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> UpdateUserAsync(UserUpdateRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.UsersUpdate, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserUpdateRequest), WireJson.Wire.UserChangeResponse, cancellationToken);

    /// <summary>users/delete; an unknown account is a 400.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> DeleteUserAsync(UserRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.UsersDelete, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserRequest), WireJson.Wire.UserChangeResponse, cancellationToken);

    /// <summary>users/get; an unknown account is a 400.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserResponse>> GetUserAsync(UserRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.UsersGet, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserRequest), WireJson.Wire.UserResponse, cancellationToken);

    /// <summary>users/password_update of this account.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> UpdatePasswordAsync(PasswordUpdateRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.UsersPasswordUpdate, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.PasswordUpdateRequest), WireJson.Wire.UserChangeResponse, cancellationToken);

    /// <summary>upload/stage: reserve a place.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UploadStageResponse>> StageUploadAsync(UploadStageRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.UploadStage, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UploadStageRequest), WireJson.Wire.UploadStageResponse, cancellationToken);

    /// <summary>upload/commit: verify and ingest what was put there.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<Acknowledged>> CommitUploadAsync(UploadCommitRequest request, CancellationToken cancellationToken = default) =>
        PostAsync<Acknowledged>(Routes.UploadCommit, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UploadCommitRequest), answer: null, cancellationToken);

    /// <summary>search/file; nothing found is an empty list.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public async Task<Reply<IReadOnlyList<FileSearchHit>>> SearchFilesAsync(FileSearchRequest request, CancellationToken cancellationToken = default) =>
        EmptyWhen(Reasons.NoFilesFound, await PostAsync(Routes.SearchFile, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.FileSearchRequest), WireJson.Wire.FileSearchHitList, cancellationToken));

    /// <summary>search/error; nothing found is an empty list.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public async Task<Reply<IReadOnlyList<ErrorSearchHit>>> SearchErrorsAsync(ErrorSearchRequest request, CancellationToken cancellationToken = default) =>
        EmptyWhen(Reasons.NoErrorsFound, await PostAsync(Routes.SearchError, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ErrorSearchRequest), WireJson.Wire.ErrorSearchHitList, cancellationToken));

    /// <summary>search/instance_local; nothing found is an empty list.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public async Task<Reply<IReadOnlyList<LocalInstance>>> SearchLocalInstancesAsync(LocalInstanceSearchRequest request, CancellationToken cancellationToken = default) =>
        EmptyWhen(Reasons.NoInstancesFound, await PostAsync(Routes.SearchInstanceLocal, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.LocalInstanceSearchRequest), WireJson.Wire.LocalInstanceList, cancellationToken));

    /// <summary>search/instance_remote; nothing found is an empty list.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public async Task<Reply<IReadOnlyList<RemoteInstance>>> SearchRemoteInstancesAsync(RemoteInstanceSearchRequest request, CancellationToken cancellationToken = default) =>
        EmptyWhen(Reasons.NoInstancesFound, await PostAsync(Routes.SearchInstanceRemote, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.RemoteInstanceSearchRequest), WireJson.Wire.RemoteInstanceList, cancellationToken));

    /// <summary>error/clear.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<ErrorClearResponse>> ClearErrorAsync(ErrorClearRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.ErrorClear, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ErrorClearRequest), WireJson.Wire.ErrorClearResponse, cancellationToken);

    /// <summary>clone/stage: announce one file.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CloneStageResponse>> StageCloneAsync(CloneStageRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CloneStage, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CloneStageRequest), WireJson.Wire.CloneStageResponse, cancellationToken);

    /// <summary>clone/batch_stage: announce many files; 409 names those already there (<see cref="Refused.Ids"/>).</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CloneBatchStageResponse>> StageCloneBatchAsync(CloneBatchStageRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CloneBatchStage, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CloneBatchStageRequest), WireJson.Wire.CloneBatchStageResponse, cancellationToken);

    /// <summary>clone/ongoing: data is moving.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferPair>> ReportCloneOngoingAsync(TransferPair request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CloneOngoing, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.TransferPair), WireJson.Wire.TransferPair, cancellationToken);

    /// <summary>clone/staged: data is all there.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferPairResponse>> ReportCloneStagedAsync(TransferPair request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CloneStaged, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.TransferPair), WireJson.Wire.TransferPairResponse, cancellationToken);

    /// <summary>clone/complete: tell the source that its copy is verified.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferPair>> CompleteCloneAsync(CloneCompleteRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CloneComplete, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CloneCompleteRequest), WireJson.Wire.TransferPair, cancellationToken);

    /// <summary>clone/fail: tell the destination that nothing will come.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferPairResponse>> FailCloneAsync(CloneFailRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CloneFail, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CloneFailRequest), WireJson.Wire.TransferPairResponse, cancellationToken);

    /// <summary>checkin/update; a success may have changed nothing, so look at the unmodified ids.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CheckinUpdateResponse>> UpdateCheckinAsync(CheckinUpdateRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CheckinUpdate, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CheckinUpdateRequest), WireJson.Wire.CheckinUpdateResponse, cancellationToken);

    /// <summary>checkin/status.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CheckinStatusResponse>> GetCheckinStatusAsync(CheckinStatusRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CheckinStatus, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CheckinStatusRequest), WireJson.Wire.CheckinStatusResponse, cancellationToken);

    /// <summary>validate/file; may take hours.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<IReadOnlyList<FileValidation>>> ValidateFileAsync(ValidateFileRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.ValidateFile, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ValidateFileRequest), WireJson.Wire.FileValidationList, cancellationToken);

    /// <summary>validate/file as one site asks another: says which sites have been asked already, so that the question does not go round.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="asked">Sites that the question has reached or will reach otherwise.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer, and which sites beyond did not give theirs.</returns>
    public Task<Reply<NetworkValidation>> ValidateFileAsync(ValidateFileRequest request, IReadOnlyCollection<string> asked, CancellationToken cancellationToken = default) =>
        ExchangeAsync<NetworkValidation>(HttpMethod.Post, new Uri(_root, Routes.ValidateFile), JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ValidateFileRequest),
            (NetworkValidation.AskedHeader, NetworkValidation.Join(asked)),
            async (response, token) =>
            {
                var reply = await ReadAsync(response, WireJson.Wire.FileValidationList, token);
                if (!reply.IsSuccess)
                    return reply.Error;
                var silent = response.Headers.TryGetValues(NetworkValidation.UnreachableHeader, out var values) ? NetworkValidation.Split(string.Join(',', values)) : [];
                return new NetworkValidation(reply.Value, silent);
            },
            cancellationToken);

    /// <summary>corrupt/prepare: can the site resend a file.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CorruptPrepareResponse>> PrepareCorruptAsync(CorruptPrepareRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CorruptPrepare, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CorruptPrepareRequest), WireJson.Wire.CorruptPrepareResponse, cancellationToken);

    /// <summary>corrupt/resend; the site calls back before it answers.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CorruptResendResponse>> ResendCorruptAsync(CorruptResendRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.CorruptResend, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CorruptResendRequest), WireJson.Wire.CorruptResendResponse, cancellationToken);

    /// <summary>admin/add_file: catalog what lies on a store.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<AddFileResponse>> AddFileAsync(AddFileRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminAddFile, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.AddFileRequest), WireJson.Wire.AddFileResponse, cancellationToken);

    /// <summary>admin/stores/list.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<IReadOnlyList<StoreEntry>>> ListStoresAsync(CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminStoresList, null, WireJson.Wire.StoreEntryList, cancellationToken);

    /// <summary>admin/stores/state_change.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<StoreStateChangeResponse>> ChangeStoreStateAsync(StoreStateChangeRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminStoresStateChange, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.StoreStateChangeRequest), WireJson.Wire.StoreStateChangeResponse, cancellationToken);

    /// <summary>admin/stores/manifest.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<Manifest>> GetManifestAsync(ManifestRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminStoresManifest, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ManifestRequest), WireJson.Wire.Manifest, cancellationToken);

    /// <summary>admin/librarians/list.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<LibrarianListResponse>> ListLibrariansAsync(LibrarianListRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminLibrariansList, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.LibrarianListRequest), WireJson.Wire.LibrarianListResponse, cancellationToken);

    /// <summary>admin/librarians/add; a success may say that nothing was added.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<LibrarianAddResponse>> AddLibrarianAsync(LibrarianAddRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminLibrariansAdd, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.LibrarianAddRequest), WireJson.Wire.LibrarianAddResponse, cancellationToken);

    /// <summary>admin/librarians/remove.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<LibrarianRemoveResponse>> RemoveLibrarianAsync(LibrarianRemoveRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminLibrariansRemove, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.LibrarianRemoveRequest), WireJson.Wire.LibrarianRemoveResponse, cancellationToken);

    /// <summary>admin/librarians/transfer_status/change.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferStatusChange>> ChangeTransferStatusAsync(TransferStatusChange request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminLibrariansTransferStatusChange, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.TransferStatusChange), WireJson.Wire.TransferStatusChange, cancellationToken);

    /// <summary>admin/instance/delete_local; an unknown instance is a 400.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<InstanceDeleteResponse>> DeleteLocalInstanceAsync(InstanceDeleteRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminInstanceDeleteLocal, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.InstanceDeleteRequest), WireJson.Wire.InstanceDeleteResponse, cancellationToken);

    /// <summary>admin/instance/delete_remote; an unknown instance is a 400.</summary>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<InstanceDeleteResponse>> DeleteRemoteInstanceAsync(InstanceDeleteRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminInstanceDeleteRemote, JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.InstanceDeleteRequest), WireJson.Wire.InstanceDeleteResponse, cancellationToken);

    /// <summary>Closes the connections if they are this instance's own.</summary>
    public void Dispose()
    {
        if (_ownsHttp)
            _http.Dispose();
    }

    private static Reply<IReadOnlyList<T>> EmptyWhen<T>(string reason, Reply<IReadOnlyList<T>> reply) =>
        reply.Error is Refused { Status: 404 } refused && refused.Reason == reason ? Array.Empty<T>() : reply;

    private Task<Reply<T>> PostAsync<T>(string route, byte[]? body, JsonTypeInfo<T>? answer, CancellationToken cancellationToken) =>
        ExchangeAsync(HttpMethod.Post, new Uri(_root, route), body, null, (response, token) => ReadAsync(response, answer, token), cancellationToken);

    private async Task<Reply<T>> ExchangeAsync<T>(
        HttpMethod method, Uri address, byte[]? body, (string Name, string Value)? header, Func<HttpResponseMessage, CancellationToken, Task<Reply<T>>> readAsync, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        if (AnswerTimeout != Timeout.InfiniteTimeSpan)
            limit.CancelAfter(AnswerTimeout);
        try
        {
            for (var redirects = 0; ; redirects++)
            {
                using var response = await SendAsync(method, address, body, header, limit.Token);
                // No other redirect repeats the request as it was sent (wire.md §1.1); what a server means by one is for a person to find out.
                if (response.StatusCode != HttpStatusCode.TemporaryRedirect)
                    return await readAsync(response, limit.Token);
                if (Follow(address, response.Headers.Location, redirects) is not { } next)
                    return new Refused((int)response.StatusCode, $"The site redirects {address} to \"{response.Headers.Location}\", where the credentials are not sent.", "Configure the address the site really has.", Body: null);
                address = next;
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new Unreachable($"{Connection.BaseAddress} gave no answer in time.", Sent: true);
        }
        catch (HttpRequestException error)
        {
            var sent = error.HttpRequestError is not (HttpRequestError.NameResolutionError or HttpRequestError.ConnectionError
                or HttpRequestError.SecureConnectionError or HttpRequestError.ProxyTunnelError);
            return new Unreachable($"{Connection.BaseAddress} cannot be reached: {error.Message}", sent);
        }
        catch (IOException error)
        {
            return new Unreachable($"{Connection.BaseAddress} broke off its answer: {error.Message}", Sent: true);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, Uri address, byte[]? body, (string Name, string Value)? header, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(method, address);
        if (method == HttpMethod.Post)
        {
            // A body-less call still says application/json (wire.md §1.1).
            request.Content = new ByteArrayContent(body ?? []);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        }

        if (header is { } extra)
            request.Headers.TryAddWithoutValidation(extra.Name, extra.Value);
        request.Headers.Authorization = _credentials;
        request.Headers.ExpectContinue = false;
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    // Credentials go only to the host they were given for, and never from https down to http.
    private static Uri? Follow(Uri from, Uri? location, int redirects)
    {
        if (location is null || redirects >= MaxRedirects)
            return null;
        var to = new Uri(from, location);
        var safeScheme = to.Scheme == from.Scheme || (from.Scheme == Uri.UriSchemeHttp && to.Scheme == Uri.UriSchemeHttps);
        var samePort = to.Port == from.Port || to.Scheme != from.Scheme;
        return safeScheme && samePort && string.Equals(to.Host, from.Host, StringComparison.OrdinalIgnoreCase) ? to : null;
    }

    private static async Task<Reply<T>> ReadAsync<T>(HttpResponseMessage response, JsonTypeInfo<T>? answer, CancellationToken cancellationToken)
    {
        var status = (int)response.StatusCode;
        await using var stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        if (!response.IsSuccessStatusCode)
            return FailureBody.Decode(status, await ReadLimitedAsync(stream, cancellationToken));
        if (answer is null)
            return default(T)!;
        try
        {
            return await JsonSerializer.DeserializeAsync(stream, answer, cancellationToken) is { } value
                ? value
                : new Garbled(status, "The answer is null.");
        }
        catch (JsonException error)
        {
            return new Garbled(status, error.Message);
        }
    }

    private static async Task<ReadOnlyMemory<byte>> ReadLimitedAsync(Stream stream, CancellationToken cancellationToken)
    {
        using var buffer = new MemoryStream();
        var chunk = new byte[16 << 10];
        int read;
        while (buffer.Length < MaxFailureBytes && (read = await stream.ReadAsync(chunk, cancellationToken)) > 0)
            buffer.Write(chunk, 0, read);
        return buffer.GetBuffer().AsMemory(0, (int)buffer.Length);
    }
}
