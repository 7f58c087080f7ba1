using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>
/// JSON settings for all wire models (docs/spec/wire.md#json): snake_case, naive UTC times, lax integers and booleans, strict strings;
/// unknown fields are ignored; a missing or null required field causes a <see cref="JsonException"/> that names it. Use <see cref="Wire"/>.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    AllowDuplicateProperties = true,
    Converters = [typeof(LaxInt64Converter), typeof(LaxBooleanConverter), typeof(WireTimeConverter)]
)]
[JsonSerializable(typeof(PingRequest))]
[JsonSerializable(typeof(PingResponse))]
[JsonSerializable(typeof(ListingHead))]
[JsonSerializable(typeof(ListingLine))]
[JsonSerializable(typeof(UserCreateRequest))]
[JsonSerializable(typeof(UserUpdateRequest))]
[JsonSerializable(typeof(UserRequest))]
[JsonSerializable(typeof(UserChangeResponse))]
[JsonSerializable(typeof(UserResponse))]
[JsonSerializable(typeof(PasswordUpdateRequest))]
[JsonSerializable(typeof(UploadStageRequest))]
[JsonSerializable(typeof(UploadStageResponse))]
[JsonSerializable(typeof(UploadCommitRequest))]
[JsonSerializable(typeof(FileSearchRequest))]
[JsonSerializable(typeof(LocalInstanceSearchRequest))]
[JsonSerializable(typeof(RemoteInstanceSearchRequest))]
[JsonSerializable(typeof(ErrorSearchRequest))]
[JsonSerializable(typeof(ErrorClearRequest))]
[JsonSerializable(typeof(ErrorClearResponse))]
[JsonSerializable(typeof(CloneStageRequest))]
[JsonSerializable(typeof(CloneStageResponse))]
[JsonSerializable(typeof(CloneBatchStageRequest))]
[JsonSerializable(typeof(CloneBatchStageResponse))]
[JsonSerializable(typeof(TransferPair))]
[JsonSerializable(typeof(TransferPairResponse))]
[JsonSerializable(typeof(CloneCompleteRequest))]
[JsonSerializable(typeof(CloneFailRequest))]
[JsonSerializable(typeof(CheckinUpdateRequest))]
[JsonSerializable(typeof(CheckinUpdateResponse))]
[JsonSerializable(typeof(CheckinStatusRequest))]
[JsonSerializable(typeof(CheckinStatusResponse))]
[JsonSerializable(typeof(ValidateFileRequest))]
[JsonSerializable(typeof(CorruptPrepareRequest))]
[JsonSerializable(typeof(CorruptPrepareResponse))]
[JsonSerializable(typeof(CorruptResendRequest))]
[JsonSerializable(typeof(CorruptResendResponse))]
[JsonSerializable(typeof(AddFileRequest))]
[JsonSerializable(typeof(AddFileResponse))]
[JsonSerializable(typeof(StoreStateChangeRequest))]
[JsonSerializable(typeof(StoreStateChangeResponse))]
[JsonSerializable(typeof(ManifestRequest))]
[JsonSerializable(typeof(Manifest))]
[JsonSerializable(typeof(LibrarianListRequest))]
[JsonSerializable(typeof(LibrarianListResponse))]
[JsonSerializable(typeof(LibrarianAddRequest))]
[JsonSerializable(typeof(LibrarianAddResponse))]
[JsonSerializable(typeof(LibrarianRemoveRequest))]
[JsonSerializable(typeof(LibrarianRemoveResponse))]
[JsonSerializable(typeof(TransferStatusChange))]
[JsonSerializable(typeof(InstanceDeleteRequest))]
[JsonSerializable(typeof(InstanceDeleteResponse))]
[JsonSerializable(typeof(DriveInitialiseRequest))]
[JsonSerializable(typeof(DriveRequest))]
[JsonSerializable(typeof(DriveRecycleRequest))]
[JsonSerializable(typeof(DriveListRequest))]
[JsonSerializable(typeof(DriveListResponse))]
[JsonSerializable(typeof(DriveDone))]
[JsonSerializable(typeof(DriveIngestRequest))]
[JsonSerializable(typeof(DriveIngestResponse))]
[JsonSerializable(typeof(DriveArrivalFilesRequest))]
[JsonSerializable(typeof(DriveReceiptRequest))]
[JsonSerializable(typeof(SiteKeyResponse))]
[JsonSerializable(typeof(DeliveriesRequest))]
[JsonSerializable(typeof(DeliveriesResponse))]
[JsonSerializable(typeof(IReadOnlyList<DriveArrivalFileStatus>), TypeInfoPropertyName = "DriveArrivalFileStatusList")]
[JsonSerializable(typeof(CopiesRequest))]
[JsonSerializable(typeof(CopiesResponse))]
[JsonSerializable(typeof(DataBatchState))]
[JsonSerializable(typeof(UploadProblem))]
[JsonSerializable(typeof(SyncProvider))]
[JsonSerializable(typeof(AsyncProvider))]
[JsonSerializable(typeof(GlobusProvider))]
[JsonSerializable(typeof(RsyncProvider))]
[JsonSerializable(typeof(LocalProvider))]
[JsonSerializable(typeof(HttpsProvider))]
[JsonSerializable(typeof(UnknownProvider))]
[JsonSerializable(typeof(Failure))]
[JsonSerializable(typeof(TransferFailure))]
[JsonSerializable(typeof(BatchFailure))]
[JsonSerializable(typeof(WrappedFailure))]
[JsonSerializable(typeof(IReadOnlyList<FileSearchHit>), TypeInfoPropertyName = "FileSearchHitList")]
[JsonSerializable(typeof(IReadOnlyList<LocalInstance>), TypeInfoPropertyName = "LocalInstanceList")]
[JsonSerializable(typeof(IReadOnlyList<RemoteInstance>), TypeInfoPropertyName = "RemoteInstanceList")]
[JsonSerializable(typeof(IReadOnlyList<ErrorSearchHit>), TypeInfoPropertyName = "ErrorSearchHitList")]
[JsonSerializable(typeof(IReadOnlyList<FileValidation>), TypeInfoPropertyName = "FileValidationList")]
[JsonSerializable(typeof(IReadOnlyList<StoreEntry>), TypeInfoPropertyName = "StoreEntryList")]
public sealed partial class WireJson : JsonSerializerContext
{
    /// <summary>The context to use; it writes non-ASCII text unescaped, as upstream does.</summary>
    public static WireJson Wire => RawText.Context;

    // A separate class, because the order of static initialisers across the two parts of a partial class is undefined.
    private static class RawText
    {
        internal static readonly WireJson Context = new(
            new JsonSerializerOptions(Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }
        );
    }
}
