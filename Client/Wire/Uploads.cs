using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Request of upload/stage (wire.md §6.3.1).</summary>
/// <param name="UploadSize">Bytes.</param>
/// <param name="UploadChecksum">Algorithm, three colons and lower-case hexadecimal digits, such as <c>xxh3:::…</c> (wire.md §4.1); kept byte for byte.</param>
/// <param name="UploadName">Name inside the staging directory.</param>
/// <param name="DestinationLocation">Path relative to the store, which becomes the file's name in the catalog.</param>
/// <param name="Uploader">Recorded as the file's uploader; not verified.</param>
public sealed record UploadStageRequest(
    long UploadSize,
    string UploadChecksum,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    string Uploader);

/// <summary>201 of upload/stage.</summary>
/// <param name="AvailableBytesOnStore">Bytes; for information.</param>
/// <param name="StoreName">Store chosen, to be echoed in the commit.</param>
/// <param name="StagingName">Directory made for this upload, relative to the staging area.</param>
/// <param name="StagingLocation">Absolute path to put the data at.</param>
/// <param name="UploadName">Echo.</param>
/// <param name="DestinationLocation">Echo.</param>
/// <param name="TransferProviders">Ways to put it there, the preferred first.</param>
/// <param name="TransferId">Incoming transfer.</param>
public sealed record UploadStageResponse(
    long AvailableBytesOnStore,
    string StoreName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingLocation,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    OrderedDictionary<string, SyncProvider> TransferProviders,
    long TransferId);

/// <summary>Request of upload/commit (wire.md §6.3.2); success is 200 with an empty body.</summary>
/// <param name="StoreName">Store from the stage answer.</param>
/// <param name="StagingName">Echo; ignored by the server.</param>
/// <param name="StagingLocation">Echo; ignored by the server.</param>
/// <param name="UploadName">Echo; ignored by the server.</param>
/// <param name="DestinationLocation">The final path, authoritative.</param>
/// <param name="TransferProviderName">Key of the provider used.</param>
/// <param name="TransferProvider">The provider used.</param>
/// <param name="MetaMode">Always <c>infer</c>.</param>
/// <param name="DeletionPolicy">
/// <c>allowed</c> in any case allows deletion. All else, also the <c>"1"</c> of Python's client, does not.
/// </param>
/// <param name="Uploader">Echo; ignored by the server.</param>
/// <param name="NullObsid">Of no effect.</param>
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
    bool NullObsid = false)
{
    // The captured client sends null_obsid before transfer_id, and an optional parameter cannot come before a required one.
    /// <summary>Transfer from the stage answer.</summary>
    public required long TransferId { get; init; }
}
