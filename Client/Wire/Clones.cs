using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Request to clone/stage: one file, which is copied while the caller waits (docs/spec/wire.md#clone-stage).</summary>
/// <param name="UploadSize">Size in bytes.</param>
/// <param name="UploadChecksum">Checksum string, kept byte for byte.</param>
/// <param name="UploadName">Name inside the staging directory.</param>
/// <param name="DestinationLocation">Name in the catalog.</param>
/// <param name="Uploader">The file's uploader at its first site; upstream ignores it.</param>
/// <param name="Source">Name of the source site.</param>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
/// <param name="TreeDigest">
/// Digest over names and contents of a directory's members (docs/formats/tree-digest-v1.md); absent if unknown. Not in upstream's protocol;
/// upstream ignores it.
/// </param>
public sealed record CloneStageRequest(
    long UploadSize,
    string UploadChecksum,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    string Uploader,
    string Source,
    long SourceTransferId,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? TreeDigest = null
);

/// <summary>Response 201 of clone/stage.</summary>
/// <param name="AvailableBytesOnStore">Free space on the store, in bytes.</param>
/// <param name="StoreName">Store that was chosen.</param>
/// <param name="StagingName">Directory relative to the staging area.</param>
/// <param name="StagingLocation">Absolute path at which the source puts the data.</param>
/// <param name="UploadName">As in the request.</param>
/// <param name="DestinationLocation">As in the request.</param>
/// <param name="TransferProviders">Ways to put the data there, the preferred one first.</param>
/// <param name="SourceTransferId">As in the request.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination.</param>
public sealed record CloneStageResponse(
    long AvailableBytesOnStore,
    string StoreName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingLocation,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    OrderedDictionary<string, SyncProvider> TransferProviders,
    long SourceTransferId,
    long DestinationTransferId
);

/// <summary>One file of a batch.</summary>
/// <param name="UploadSize">Size in bytes.</param>
/// <param name="UploadChecksum">Checksum string, kept byte for byte.</param>
/// <param name="UploadName">Name inside the staging directory; peers send the whole name of the catalog, with its slashes.</param>
/// <param name="DestinationLocation">Name in the catalog.</param>
/// <param name="Uploader">The file's uploader at its first site; upstream ignores it.</param>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
/// <param name="TreeDigest">
/// Digest over names and contents of a directory's members (docs/formats/tree-digest-v1.md); absent if unknown. Not in upstream's protocol;
/// upstream ignores it.
/// </param>
public sealed record CloneBatchItem(
    long UploadSize,
    string UploadChecksum,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    string Uploader,
    long SourceTransferId,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? TreeDigest = null
);

/// <summary>Request to clone/batch_stage (docs/spec/wire.md#clone-batch-stage). An empty list is valid.</summary>
/// <param name="Uploads">The files.</param>
/// <param name="Source">Name of the source site.</param>
/// <param name="TotalSize">Size in bytes; used only to choose a store.</param>
public sealed record CloneBatchStageRequest(IReadOnlyList<CloneBatchItem> Uploads, string Source, long TotalSize);

/// <summary>The staging slot of one file of a batch.</summary>
/// <param name="StagingName">Directory relative to the staging area.</param>
/// <param name="StagingLocation">Absolute path at which the source puts the data; its parents exist.</param>
/// <param name="UploadName">As in the request.</param>
/// <param name="DestinationLocation">As in the request.</param>
/// <param name="SourceTransferId">As in the request; the source finds its item by it.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination.</param>
public sealed record CloneBatchSlot(
    [property: JsonConverter(typeof(WirePathConverter))] string StagingName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingLocation,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    long SourceTransferId,
    long DestinationTransferId
);

/// <summary>Response 201 of clone/batch_stage. Its 409, 406 and 425 are a plain <see cref="BatchFailure"/>.</summary>
/// <param name="AvailableBytesOnStore">Free space on the store, in bytes.</param>
/// <param name="StoreName">Store that was chosen for all files.</param>
/// <param name="Uploads">Staging slots, in the order of the request.</param>
/// <param name="AsyncTransferProviders">
/// Ways to move the data. An upstream source takes the first one, usable or not (docs/spec/wire.md#first-provider).
/// </param>
public sealed record CloneBatchStageResponse(
    long AvailableBytesOnStore,
    string StoreName,
    IReadOnlyList<CloneBatchSlot> Uploads,
    OrderedDictionary<string, AsyncProvider> AsyncTransferProviders
)
{
    /// <summary>
    /// Files that this site can never take; they are not among <see cref="Uploads"/>. Not in upstream's protocol. A Python source fails the
    /// transfers that it misses there and continues with the rest (docs/spec/wire.md#push); a refusal of the whole batch would block the
    /// rest again and again.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<CloneBatchRefusal>? Refused { get; init; }
}

/// <summary>One file of a batch that the destination cannot take.</summary>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
/// <param name="Reason">What is wrong with the file, and the remedy.</param>
public sealed record CloneBatchRefusal(long SourceTransferId, string Reason);

/// <summary>Request to clone/ongoing and clone/staged; response 200 of clone/ongoing and clone/complete.</summary>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination.</param>
public sealed record TransferPair(long SourceTransferId, long DestinationTransferId);

/// <summary>Response 200 of clone/staged and clone/fail.</summary>
/// <param name="SourceTransferId">As in the request.</param>
/// <param name="DestinationTransferId">As in the request.</param>
/// <param name="Success">Always true.</param>
public sealed record TransferPairResponse(long SourceTransferId, long DestinationTransferId, bool Success);

/// <summary>Request to clone/complete, from destination to source (docs/spec/wire.md#clone-complete).</summary>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination, or -1 for a hand-carried copy.</param>
/// <param name="StoreId">Id of the store at the destination.</param>
/// <param name="FileName">Name of the file. Sent only to sites of this project, because a restored catalog assigns its ids again.</param>
/// <param name="Checksum">Checksum as the source declared it; sent together with the name.</param>
/// <param name="Size">Size in bytes; sent together with the name.</param>
public sealed record CloneCompleteRequest(
    long SourceTransferId,
    long DestinationTransferId,
    long StoreId,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? FileName = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Checksum = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? Size = null
);

/// <summary>Request to clone/fail, from source to destination (docs/spec/wire.md#clone-fail).</summary>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination.</param>
/// <param name="Reason">Reason for the failure, for people.</param>
public sealed record CloneFailRequest(long SourceTransferId, long DestinationTransferId, string Reason);

/// <summary>Request to checkin/update (docs/spec/wire.md#checkin-update).</summary>
/// <param name="SourceTransferIds">Outgoing transfers of the called site.</param>
/// <param name="DestinationTransferIds">Incoming transfers of the called site.</param>
/// <param name="NewStatus">Requested state of all of them.</param>
/// <param name="SourceCounterpartIds">
/// The caller's own incoming transfer for each of the source ids. Sent only to sites of this project.
/// </param>
/// <param name="DestinationCounterpartIds">
/// The caller's own outgoing transfer for each of the destination ids. Sent only to sites of this project.
/// </param>
public sealed record CheckinUpdateRequest(
    IReadOnlyList<long> SourceTransferIds,
    IReadOnlyList<long> DestinationTransferIds,
    TransferStatus NewStatus,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<long>? SourceCounterpartIds = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<long>? DestinationCounterpartIds = null
);

/// <summary>Response 200 of checkin/update; sent even if nothing changed.</summary>
/// <param name="ModifiedSourceTransferIds">Outgoing transfers that were changed.</param>
/// <param name="ModifiedDestinationTransferIds">Incoming transfers that were changed.</param>
/// <param name="UnmodifiedSourceTransferIds">Outgoing transfers that were not changed.</param>
/// <param name="UnmodifiedDestinationTransferIds">Incoming transfers that were not changed.</param>
/// <param name="Reasons">Distinct reasons, in no order.</param>
public sealed record CheckinUpdateResponse(
    IReadOnlyList<long> ModifiedSourceTransferIds,
    IReadOnlyList<long> ModifiedDestinationTransferIds,
    IReadOnlyList<long> UnmodifiedSourceTransferIds,
    IReadOnlyList<long> UnmodifiedDestinationTransferIds,
    IReadOnlyList<string> Reasons
);

/// <summary>Request to checkin/status (docs/spec/wire.md#checkin-status).</summary>
/// <param name="SourceTransferIds">Outgoing transfers of the called site.</param>
/// <param name="DestinationTransferIds">Incoming transfers of the called site.</param>
/// <param name="SourceCounterpartIds">
/// The caller's own incoming transfer for each of the source ids. Sent only to sites of this project.
/// </param>
/// <param name="DestinationCounterpartIds">
/// The caller's own outgoing transfer for each of the destination ids. Sent only to sites of this project.
/// </param>
public sealed record CheckinStatusRequest(
    IReadOnlyList<long> SourceTransferIds,
    IReadOnlyList<long> DestinationTransferIds,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<long>? SourceCounterpartIds = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<long>? DestinationCounterpartIds = null
);

/// <summary>
/// Response 200 of checkin/status. Every requested id is a key; its value is null if the transfer is unknown or not the caller's.
/// </summary>
/// <param name="SourceTransferStatus">State of each outgoing transfer; the keys are ids as decimal text.</param>
/// <param name="DestinationTransferStatus">State of each incoming transfer; the keys are ids as decimal text.</param>
public sealed record CheckinStatusResponse(
    OrderedDictionary<long, TransferStatus?> SourceTransferStatus,
    OrderedDictionary<long, TransferStatus?> DestinationTransferStatus
);
