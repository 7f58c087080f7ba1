using System.Text.Json;
using Librarian.Client.Wire;

namespace Librarian.Client;

public sealed partial class LibrarianClient
{
    /// <summary>What this client can use; a Python site ignores it.</summary>
    private static readonly (string Name, string Value) Movers = (DataBatchRoutes.MoversHeader, DataBatchRoutes.Https);

    /// <summary>upload/stage: reserves a staging slot.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The answer.</returns>
    public Task<Reply<UploadStageResponse>> StageUploadAsync(UploadStageRequest request, CancellationToken cancellationToken = default) =>
        PostAsync(
            Routes.UploadStage,
            JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.UploadStageRequest),
            WireJson.Wire.UploadStageResponse,
            cancellationToken,
            Movers
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
            cancellationToken,
            Movers
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
}
