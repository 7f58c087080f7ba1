using System.Text.Json;
using Librarian.Client.Wire;

namespace Librarian.Client;

public sealed partial class LibrarianClient
{
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
}
