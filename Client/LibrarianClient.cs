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

    /// <summary>users/create. The site answers 400 if the account exists.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> CreateUserAsync(UserCreateRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UsersCreate,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserCreateRequest),
            WireJson.Wire.UserChangeResponse,
            cancellationToken
        );

    /// <summary>users/update. For an unknown account the call succeeds, and its value says false.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> UpdateUserAsync(UserUpdateRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UsersUpdate,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserUpdateRequest),
            WireJson.Wire.UserChangeResponse,
            cancellationToken
        );

    /// <summary>users/delete. The site answers 400 for an unknown account.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> DeleteUserAsync(UserRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UsersDelete,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserRequest),
            WireJson.Wire.UserChangeResponse,
            cancellationToken
        );

    /// <summary>users/get. The site answers 400 for an unknown account.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserResponse>> GetUserAsync(UserRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UsersGet,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UserRequest),
            WireJson.Wire.UserResponse,
            cancellationToken
        );

    /// <summary>users/password_update: changes the password of this account.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UserChangeResponse>> UpdatePasswordAsync(
        PasswordUpdateRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.UsersPasswordUpdate,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.PasswordUpdateRequest),
            WireJson.Wire.UserChangeResponse,
            cancellationToken
        );

    /// <summary>upload/stage: reserves a staging slot.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UploadStageResponse>> StageUploadAsync(UploadStageRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UploadStage,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UploadStageRequest),
            WireJson.Wire.UploadStageResponse,
            cancellationToken
        );

    /// <summary>upload/commit: has the site verify and ingest the staged data.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<Acknowledged>> CommitUploadAsync(UploadCommitRequest request, CancellationToken cancellationToken = default) =>
        PostAsync<Acknowledged>(
            Routes.UploadCommit,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UploadCommitRequest),
            answer: null,
            cancellationToken
        );

    /// <summary>search/file. If nothing matches, the list is empty.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public async Task<Reply<IReadOnlyList<FileSearchHit>>> SearchFilesAsync(
        FileSearchRequest request,
        CancellationToken cancellationToken = default
    ) =>
        EmptyWhen(
            Reasons.NoFilesFound,
            await PostAsync(
                Routes.SearchFile,
                JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.FileSearchRequest),
                WireJson.Wire.FileSearchHitList,
                cancellationToken
            )
        );

    /// <summary>search/error. If nothing matches, the list is empty.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public async Task<Reply<IReadOnlyList<ErrorSearchHit>>> SearchErrorsAsync(
        ErrorSearchRequest request,
        CancellationToken cancellationToken = default
    ) =>
        EmptyWhen(
            Reasons.NoErrorsFound,
            await PostAsync(
                Routes.SearchError,
                JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ErrorSearchRequest),
                WireJson.Wire.ErrorSearchHitList,
                cancellationToken
            )
        );

    /// <summary>search/instance_local. If nothing matches, the list is empty.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public async Task<Reply<IReadOnlyList<LocalInstance>>> SearchLocalInstancesAsync(
        LocalInstanceSearchRequest request,
        CancellationToken cancellationToken = default
    ) =>
        EmptyWhen(
            Reasons.NoInstancesFound,
            await PostAsync(
                Routes.SearchInstanceLocal,
                JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.LocalInstanceSearchRequest),
                WireJson.Wire.LocalInstanceList,
                cancellationToken
            )
        );

    /// <summary>search/instance_remote. If nothing matches, the list is empty.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public async Task<Reply<IReadOnlyList<RemoteInstance>>> SearchRemoteInstancesAsync(
        RemoteInstanceSearchRequest request,
        CancellationToken cancellationToken = default
    ) =>
        EmptyWhen(
            Reasons.NoInstancesFound,
            await PostAsync(
                Routes.SearchInstanceRemote,
                JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.RemoteInstanceSearchRequest),
                WireJson.Wire.RemoteInstanceList,
                cancellationToken
            )
        );

    /// <summary>error/clear: marks an error as cleared.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<ErrorClearResponse>> ClearErrorAsync(ErrorClearRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.ErrorClear,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ErrorClearRequest),
            WireJson.Wire.ErrorClearResponse,
            cancellationToken
        );

    /// <summary>clone/stage: announces one file.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CloneStageResponse>> StageCloneAsync(CloneStageRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.CloneStage,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CloneStageRequest),
            WireJson.Wire.CloneStageResponse,
            cancellationToken
        );

    /// <summary>
    /// clone/batch_stage: announces many files. A 409 names the files that the site already has (<see cref="Refused.Ids"/>).
    /// </summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CloneBatchStageResponse>> StageCloneBatchAsync(
        CloneBatchStageRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.CloneBatchStage,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CloneBatchStageRequest),
            WireJson.Wire.CloneBatchStageResponse,
            cancellationToken
        );

    /// <summary>clone/ongoing: reports that data is moving.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferPair>> ReportCloneOngoingAsync(TransferPair request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.CloneOngoing,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.TransferPair),
            WireJson.Wire.TransferPair,
            cancellationToken
        );

    /// <summary>clone/staged: reports that all data is staged.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferPairResponse>> ReportCloneStagedAsync(TransferPair request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.CloneStaged,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.TransferPair),
            WireJson.Wire.TransferPairResponse,
            cancellationToken
        );

    /// <summary>clone/complete: notifies the source that the destination has verified its copy.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferPair>> CompleteCloneAsync(CloneCompleteRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.CloneComplete,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CloneCompleteRequest),
            WireJson.Wire.TransferPair,
            cancellationToken
        );

    /// <summary>clone/fail: notifies the destination that no data will come.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferPairResponse>> FailCloneAsync(CloneFailRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.CloneFail,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CloneFailRequest),
            WireJson.Wire.TransferPairResponse,
            cancellationToken
        );

    /// <summary>checkin/update. A successful call may have changed nothing; check the unmodified ids.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CheckinUpdateResponse>> UpdateCheckinAsync(
        CheckinUpdateRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.CheckinUpdate,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CheckinUpdateRequest),
            WireJson.Wire.CheckinUpdateResponse,
            cancellationToken
        );

    /// <summary>checkin/status: asks for the states of transfers.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CheckinStatusResponse>> GetCheckinStatusAsync(
        CheckinStatusRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.CheckinStatus,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CheckinStatusRequest),
            WireJson.Wire.CheckinStatusResponse,
            cancellationToken
        );

    /// <summary>validate/file. May take hours.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<IReadOnlyList<FileValidation>>> ValidateFileAsync(
        ValidateFileRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.ValidateFile,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ValidateFileRequest),
            WireJson.Wire.FileValidationList,
            cancellationToken
        );

    /// <summary>
    /// validate/file between sites: names the sites that have been asked already, so that the question does not circulate.
    /// </summary>
    /// <param name="request">The request.</param>
    /// <param name="asked">Sites that have received the question or will receive it by another way.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer, and the sites further away that gave none.</returns>
    public Task<Reply<NetworkValidation>> ValidateFileAsync(
        ValidateFileRequest request,
        IReadOnlyCollection<string> asked,
        CancellationToken cancellationToken = default
    ) =>
        ExchangeAsync<NetworkValidation>(
            HttpMethod.Post,
            new Uri(_root, Routes.ValidateFile),
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ValidateFileRequest),
            (NetworkValidation.AskedHeader, NetworkValidation.Join(asked)),
            async (response, token) =>
            {
                var reply = await ReadAsync(response, WireJson.Wire.FileValidationList, AnswerLimits.Of(Routes.ValidateFile), token);
                if (!reply.IsSuccess)
                    return reply.Error;
                var silent = response.Headers.TryGetValues(NetworkValidation.UnreachableHeader, out var values)
                    ? NetworkValidation.Split(string.Join(',', values))
                    : [];
                return new NetworkValidation(reply.Value, silent);
            },
            cancellationToken
        );

    /// <summary>corrupt/prepare: asks whether the site can send a replacement for a corrupt copy.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CorruptPrepareResponse>> PrepareCorruptAsync(
        CorruptPrepareRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.CorruptPrepare,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CorruptPrepareRequest),
            WireJson.Wire.CorruptPrepareResponse,
            cancellationToken
        );

    /// <summary>corrupt/resend: asks for the replacement. The site calls back before it answers.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<CorruptResendResponse>> ResendCorruptAsync(
        CorruptResendRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.CorruptResend,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.CorruptResendRequest),
            WireJson.Wire.CorruptResendResponse,
            cancellationToken
        );

    /// <summary>admin/add_file: catalogs data that already lie on a store.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<AddFileResponse>> AddFileAsync(AddFileRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.AdminAddFile,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.AddFileRequest),
            WireJson.Wire.AddFileResponse,
            cancellationToken
        );

    /// <summary>admin/stores/list: lists the site's stores.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<IReadOnlyList<StoreEntry>>> ListStoresAsync(CancellationToken cancellationToken = default) =>
        PostAsync(Routes.AdminStoresList, null, WireJson.Wire.StoreEntryList, cancellationToken);

    /// <summary>admin/stores/state_change: enables or disables a store.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<StoreStateChangeResponse>> ChangeStoreStateAsync(
        StoreStateChangeRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.AdminStoresStateChange,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.StoreStateChangeRequest),
            WireJson.Wire.StoreStateChangeResponse,
            cancellationToken
        );

    /// <summary>admin/stores/manifest: lists the files on a store.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<Manifest>> GetManifestAsync(ManifestRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.AdminStoresManifest,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.ManifestRequest),
            WireJson.Wire.Manifest,
            cancellationToken
        );

    /// <summary>admin/librarians/list: lists the site's peers.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<LibrarianListResponse>> ListLibrariansAsync(
        LibrarianListRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.AdminLibrariansList,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.LibrarianListRequest),
            WireJson.Wire.LibrarianListResponse,
            cancellationToken
        );

    /// <summary>admin/librarians/add: registers a peer. A successful call may say that nothing was added.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<LibrarianAddResponse>> AddLibrarianAsync(
        LibrarianAddRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.AdminLibrariansAdd,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.LibrarianAddRequest),
            WireJson.Wire.LibrarianAddResponse,
            cancellationToken
        );

    /// <summary>admin/librarians/remove: removes a peer.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<LibrarianRemoveResponse>> RemoveLibrarianAsync(
        LibrarianRemoveRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.AdminLibrariansRemove,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.LibrarianRemoveRequest),
            WireJson.Wire.LibrarianRemoveResponse,
            cancellationToken
        );

    /// <summary>admin/librarians/transfer_status/change: enables or disables transfers to a peer.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<TransferStatusChange>> ChangeTransferStatusAsync(
        TransferStatusChange request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.AdminLibrariansTransferStatusChange,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.TransferStatusChange),
            WireJson.Wire.TransferStatusChange,
            cancellationToken
        );

    /// <summary>admin/instance/delete_local: removes a copy of this site. The site answers 400 for an unknown one.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<InstanceDeleteResponse>> DeleteLocalInstanceAsync(
        InstanceDeleteRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.AdminInstanceDeleteLocal,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.InstanceDeleteRequest),
            WireJson.Wire.InstanceDeleteResponse,
            cancellationToken
        );

    /// <summary>admin/instance/delete_remote: removes the record of a remote copy. The site answers 400 for an unknown one.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<InstanceDeleteResponse>> DeleteRemoteInstanceAsync(
        InstanceDeleteRequest request,
        CancellationToken cancellationToken = default
    ) =>
        PostAsync(
            Routes.AdminInstanceDeleteRemote,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.InstanceDeleteRequest),
            WireJson.Wire.InstanceDeleteResponse,
            cancellationToken
        );

    /// <summary>Closes the connections if this instance owns them.</summary>
    public void Dispose()
    {
        if (_ownsHttp)
            _http.Dispose();
    }

    private static Reply<IReadOnlyList<T>> EmptyWhen<T>(string reason, Reply<IReadOnlyList<T>> reply) =>
        reply.Error is Refused { Status: 404 } refused && refused.Reason == reason ? Array.Empty<T>() : reply;

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

    private Task<Reply<T>> PostAsync<T>(string route, byte[]? body, JsonTypeInfo<T>? answer, CancellationToken cancellationToken) =>
        ExchangeAsync(
            HttpMethod.Post,
            new Uri(_root, route),
            body,
            null,
            (response, token) => ReadAsync(response, answer, AnswerLimits.Of(route), token),
            cancellationToken
        );

    private async Task<Reply<T>> ExchangeAsync<T>(
        HttpMethod method,
        Uri address,
        byte[]? body,
        (string Name, string Value)? header,
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
                using var response = await SendAsync(method, address, body, header, limit.Token);
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
        byte[]? body,
        (string Name, string Value)? header,
        CancellationToken cancellationToken
    )
    {
        using var request = new HttpRequestMessage(method, address);
        if (method == HttpMethod.Post)
        {
            // A call without a body still sends application/json (docs/spec/wire.md#transport).
            request.Content = new ByteArrayContent(body ?? []);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        }

        if (header is { } extra)
            request.Headers.TryAddWithoutValidation(extra.Name, extra.Value);
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
