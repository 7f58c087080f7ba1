using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Request to upload/stage (docs/spec/wire.md#upload-stage).</summary>
/// <param name="UploadSize">Size in bytes.</param>
/// <param name="UploadChecksum">
/// Algorithm, three colons and lower-case hexadecimal digits, such as <c>xxh3:::…</c> (docs/spec/wire.md#checksum-text); kept byte for
/// byte.
/// </param>
/// <param name="UploadName">Name inside the staging directory.</param>
/// <param name="DestinationLocation">Path relative to the store; it becomes the file's name in the catalog.</param>
/// <param name="Uploader">The file's uploader in the catalog; not verified.</param>
/// <param name="TreeDigest">
/// Digest over names and contents of a directory's members (docs/formats/tree-digest-v1.md); absent if unknown. Not in upstream's protocol;
/// upstream ignores it.
/// </param>
public sealed record UploadStageRequest(
    long UploadSize,
    string UploadChecksum,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    string Uploader,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? TreeDigest = null
);

/// <summary>Response 201 of upload/stage.</summary>
/// <param name="AvailableBytesOnStore">Free space on the store, in bytes; for information.</param>
/// <param name="StoreName">Store that was chosen; the commit repeats it.</param>
/// <param name="StagingName">Directory that was made for this upload, relative to the staging area.</param>
/// <param name="StagingLocation">Absolute path at which the client puts the data.</param>
/// <param name="UploadName">As in the request.</param>
/// <param name="DestinationLocation">As in the request.</param>
/// <param name="TransferProviders">Ways to put the data there, the preferred one first.</param>
/// <param name="TransferId">Incoming transfer.</param>
public sealed record UploadStageResponse(
    long AvailableBytesOnStore,
    string StoreName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingLocation,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    OrderedDictionary<string, SyncProvider> TransferProviders,
    long TransferId
);

/// <summary>Request to upload/commit (docs/spec/wire.md#upload-commit). Success is a 200 with an empty body.</summary>
/// <param name="StoreName">Store from the stage response.</param>
/// <param name="StagingName">As in the stage response; the server ignores it.</param>
/// <param name="StagingLocation">As in the stage response; the server ignores it.</param>
/// <param name="UploadName">As in the stage response; the server ignores it.</param>
/// <param name="DestinationLocation">The authoritative final path.</param>
/// <param name="TransferProviderName">Key of the provider that was used.</param>
/// <param name="TransferProvider">The provider that was used.</param>
/// <param name="MetaMode">Always <c>infer</c>.</param>
/// <param name="DeletionPolicy">
/// <c>allowed</c>, in upper or lower case, allows deletion. Any other value does not, not even the <c>"1"</c> of Python's client.
/// </param>
/// <param name="Uploader">As in the stage response; the server ignores it.</param>
/// <param name="NullObsid">Has no effect.</param>
public sealed record UploadCommitRequest(
    string StoreName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingLocation,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    string TransferProviderName,
    SyncProvider TransferProvider,
    string MetaMode,
    string DeletionPolicy,
    string Uploader,
    bool NullObsid = false
)
{
    // The captured client sends null_obsid before transfer_id, and an optional parameter cannot precede a required one.
    /// <summary>Transfer from the stage response.</summary>
    public required long TransferId { get; init; }
}
