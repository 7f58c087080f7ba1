using System.Net.Http.Headers;
using System.Runtime.ExceptionServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>Calls for SneakerNet drives (docs/drives.md). These endpoints are not in upstream's protocol.</summary>
public sealed partial class LibrarianClient
{
    private const int BufferSize = 1 << 16;

    /// <summary>drives/initialise: turns an empty, mounted file system into a drive of the site.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<DriveDone>> InitialiseDriveAsync(DriveInitialiseRequest request, CancellationToken cancellationToken = default) =>
        AskAsync(DriveRoutes.Initialise, request, WireJson.Wire.DriveInitialiseRequest, WireJson.Wire.DriveDone, cancellationToken);

    /// <summary>drives/list: lists the site's drives, and its peers' drives that were plugged in there.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<DriveListResponse>> ListDrivesAsync(DriveListRequest request, CancellationToken cancellationToken = default) =>
        AskAsync(DriveRoutes.List, request, WireJson.Wire.DriveListRequest, WireJson.Wire.DriveListResponse, cancellationToken);

    /// <summary>drives/freeze: ends the filling of a drive. The site then writes the manifest on its own.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<DriveDone>> FreezeDriveAsync(DriveRequest request, CancellationToken cancellationToken = default) =>
        AskAsync(DriveRoutes.Freeze, request, WireJson.Wire.DriveRequest, WireJson.Wire.DriveDone, cancellationToken);

    /// <summary>drives/recycle: wipes an acknowledged drive for its next trip, or gives up a lost one.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<DriveDone>> RecycleDriveAsync(DriveRecycleRequest request, CancellationToken cancellationToken = default) =>
        AskAsync(DriveRoutes.Recycle, request, WireJson.Wire.DriveRecycleRequest, WireJson.Wire.DriveDone, cancellationToken);

    /// <summary>drives/ingest: checks a drive that is mounted at the site, and starts or continues its ingest.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<DriveIngestResponse>> IngestDriveAsync(DriveIngestRequest request, CancellationToken cancellationToken = default) =>
        AskAsync(DriveRoutes.IngestDrive, request, WireJson.Wire.DriveIngestRequest, WireJson.Wire.DriveIngestResponse, cancellationToken);

    /// <summary>drives/arrival_files: lists a drive's files with their outcomes.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<IReadOnlyList<DriveArrivalFileStatus>>> ListDriveArrivalFilesAsync(
        DriveArrivalFilesRequest request,
        CancellationToken cancellationToken = default
    ) =>
        AskAsync(
            DriveRoutes.ArrivalFiles,
            request,
            WireJson.Wire.DriveArrivalFilesRequest,
            WireJson.Wire.DriveArrivalFileStatusList,
            cancellationToken
        );

    /// <summary>drives/key: gets the site's public key.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<SiteKeyResponse>> GetSiteKeyAsync(CancellationToken cancellationToken = default) =>
        AskAsync(DriveRoutes.Key, new PingRequest(), WireJson.Wire.PingRequest, WireJson.Wire.SiteKeyResponse, cancellationToken);

    /// <summary>drives/delivered: a destination reports the outcomes of a drive's files.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<DeliveriesResponse>> ReportDeliveriesAsync(
        DeliveriesRequest request,
        CancellationToken cancellationToken = default
    ) => AskAsync(DriveRoutes.Delivered, request, WireJson.Wire.DeliveriesRequest, WireJson.Wire.DeliveriesResponse, cancellationToken);

    /// <summary>drives/manifest: downloads the manifest of a frozen drive, byte for byte as on the drive.</summary>
    /// <param name="request">The request.</param>
    /// <param name="to">Receives the bytes.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The number of bytes.</returns>
    /// <exception cref="IOException"><paramref name="to"/> refused the bytes, for example because its disk is full.</exception>
    public Task<Reply<long>> GetDriveManifestAsync(DriveRequest request, Stream to, CancellationToken cancellationToken = default) =>
        DownloadAsync(
            DriveRoutes.Manifest,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.DriveRequest),
            to,
            cancellationToken
        );

    /// <summary>drives/receipt: downloads the receipt of a drive that was ingested at the site.</summary>
    /// <param name="request">The request.</param>
    /// <param name="to">Receives the bytes.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The number of bytes.</returns>
    /// <exception cref="IOException"><paramref name="to"/> refused the bytes, for example because its disk is full.</exception>
    public Task<Reply<long>> GetDriveReceiptAsync(DriveReceiptRequest request, Stream to, CancellationToken cancellationToken = default) =>
        DownloadAsync(
            DriveRoutes.Receipt,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.DriveReceiptRequest),
            to,
            cancellationToken
        );

    /// <summary>drives/acknowledge: applies a destination's receipt.</summary>
    /// <param name="receipt">The whole receipt.</param>
    /// <param name="acceptKey">
    /// Fingerprint of the destination's key, which an administrator has compared; null if the site knows the key.
    /// </param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public async Task<Reply<DriveDone>> AcknowledgeDriveAsync(
        Stream receipt,
        string? acceptKey = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(receipt);
        try
        {
            var address = new Uri(
                _root,
                DriveRoutes.Acknowledge + (acceptKey is null ? "" : "?accept_key=" + Uri.EscapeDataString(acceptKey))
            );
            using var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = new StreamContent(receipt) };
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/x-ndjson");
            request.Headers.Authorization = _credentials;
            request.Headers.ExpectContinue = false;
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            return await ReadAsync(response, WireJson.Wire.DriveDone, AnswerLimits.Of(DriveRoutes.Acknowledge), cancellationToken);
        }
        catch (Exception error) when (error is HttpRequestException or IOException)
        {
            return new Unreachable($"{Connection.BaseAddress} cannot be reached: {Reason(error)}", Sent: true);
        }
    }

    private Task<Reply<TAnswer>> AskAsync<TRequest, TAnswer>(
        string route,
        TRequest request,
        JsonTypeInfo<TRequest> how,
        JsonTypeInfo<TAnswer> answer,
        CancellationToken cancellationToken
    ) => PostAsync(route, JsonSerializer.SerializeToUtf8Bytes(request, how), answer, cancellationToken);

    /// <exception cref="IOException">The destination refused the bytes, for example because its disk is full.</exception>
    private async Task<Reply<long>> DownloadAsync(string route, byte[] body, Stream to, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(to);
        // A failure of the destination must not look like a failure of the site.
        ExceptionDispatchInfo? notWritten = null;
        var reply = await ExchangeAsync<long>(
            HttpMethod.Post,
            new Uri(_root, route),
            body,
            null,
            async (response, token) =>
            {
                if (!response.IsSuccessStatusCode)
                    return FailureBody.Decode((int)response.StatusCode, await ReadLimitedAsync(response, token));
                await using var stream = new LimitedStream(await response.Content.ReadAsStreamAsync(token), AnswerLimits.Download);
                var buffer = new byte[BufferSize];
                long written = 0;
                try
                {
                    int read;
                    while ((read = await stream.ReadAsync(buffer, token)) > 0)
                    {
                        try
                        {
                            await to.WriteAsync(buffer.AsMemory(0, read), token);
                        }
                        catch (IOException error)
                        {
                            notWritten = ExceptionDispatchInfo.Capture(error);
                            return written;
                        }

                        written += read;
                    }

                    return written;
                }
                catch (AnswerTooLongException error)
                {
                    return new Malformed((int)response.StatusCode, error.Message);
                }
            },
            cancellationToken
        );
        notWritten?.Throw();
        return reply;
    }
}
