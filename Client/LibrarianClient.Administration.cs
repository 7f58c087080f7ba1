using System.Text.Json;
using Librarian.Client.Wire;

namespace Librarian.Client;

public sealed partial class LibrarianClient
{
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

    private static Reply<IReadOnlyList<T>> EmptyWhen<T>(string reason, Reply<IReadOnlyList<T>> reply) =>
        reply.Error is Refused { Status: 404 } refused && refused.Reason == reason ? Array.Empty<T>() : reply;
}
