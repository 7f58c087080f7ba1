using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Request of clone/stage: one file, copied while the caller waits (wire.md §6.6.1).</summary>
/// <param name="UploadSize">Bytes.</param>
/// <param name="UploadChecksum">Checksum string, kept byte for byte.</param>
/// <param name="UploadName">Name inside the staging directory.</param>
/// <param name="DestinationLocation">Name in the catalog.</param>
/// <param name="Uploader">Original uploader; upstream ignores it.</param>
/// <param name="Source">Name of the sending site.</param>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
public sealed record CloneStageRequest(
    long UploadSize,
    string UploadChecksum,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    string Uploader,
    string Source,
    long SourceTransferId);

/// <summary>201 of clone/stage.</summary>
/// <param name="AvailableBytesOnStore">Bytes.</param>
/// <param name="StoreName">Store chosen.</param>
/// <param name="StagingName">Directory relative to the staging area.</param>
/// <param name="StagingLocation">Absolute path to put the data at.</param>
/// <param name="UploadName">Echo.</param>
/// <param name="DestinationLocation">Echo.</param>
/// <param name="TransferProviders">Ways to put it there, the preferred first.</param>
/// <param name="SourceTransferId">Echo.</param>
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
    long DestinationTransferId);

/// <summary>One file of a batch.</summary>
/// <param name="UploadSize">Bytes.</param>
/// <param name="UploadChecksum">Checksum string, kept byte for byte.</param>
/// <param name="UploadName">Name inside the staging directory; peers send the whole catalog name, slashes and all.</param>
/// <param name="DestinationLocation">Name in the catalog.</param>
/// <param name="Uploader">Original uploader; upstream ignores it.</param>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
public sealed record CloneBatchItem(
    long UploadSize,
    string UploadChecksum,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    string Uploader,
    long SourceTransferId);

/// <summary>Request of clone/batch_stage (wire.md §6.6.2); an empty list is valid.</summary>
/// <param name="Uploads">The files.</param>
/// <param name="Source">Name of the sending site.</param>
/// <param name="TotalSize">Bytes; used only to choose a store.</param>
public sealed record CloneBatchStageRequest(IReadOnlyList<CloneBatchItem> Uploads, string Source, long TotalSize);

/// <summary>Where one file of a batch goes.</summary>
/// <param name="StagingName">Directory relative to the staging area.</param>
/// <param name="StagingLocation">Absolute path to put the data at; its parents exist.</param>
/// <param name="UploadName">Echo.</param>
/// <param name="DestinationLocation">Echo.</param>
/// <param name="SourceTransferId">Echo, by which the source finds its item.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination.</param>
public sealed record CloneBatchPlace(
    [property: JsonConverter(typeof(WirePathConverter))] string StagingName,
    [property: JsonConverter(typeof(WirePathConverter))] string StagingLocation,
    [property: JsonConverter(typeof(WirePathConverter))] string UploadName,
    [property: JsonConverter(typeof(WirePathConverter))] string DestinationLocation,
    long SourceTransferId,
    long DestinationTransferId);

/// <summary>201 of clone/batch_stage; its 409/406/425 are a plain <see cref="BatchFailure"/>.</summary>
/// <param name="AvailableBytesOnStore">Bytes.</param>
/// <param name="StoreName">Store chosen for all.</param>
/// <param name="Uploads">In the order of the request.</param>
/// <param name="AsyncTransferProviders">An upstream source takes the first, usable or not (wire.md §5.3).</param>
public sealed record CloneBatchStageResponse(
    long AvailableBytesOnStore,
    string StoreName,
    IReadOnlyList<CloneBatchPlace> Uploads,
    OrderedDictionary<string, AsyncProvider> AsyncTransferProviders);

/// <summary>Request of clone/ongoing and clone/staged; 200 of clone/ongoing and clone/complete.</summary>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination.</param>
public sealed record TransferPair(long SourceTransferId, long DestinationTransferId);

/// <summary>200 of clone/staged and clone/fail.</summary>
/// <param name="SourceTransferId">Echo.</param>
/// <param name="DestinationTransferId">Echo.</param>
/// <param name="Success">True.</param>
public sealed record TransferPairResponse(long SourceTransferId, long DestinationTransferId, bool Success);

/// <summary>Request of clone/complete, destination to source (wire.md §6.6.4).</summary>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination, or -1 for a hand-carried copy.</param>
/// <param name="StoreId">Store on the destination.</param>
public sealed record CloneCompleteRequest(long SourceTransferId, long DestinationTransferId, long StoreId);

/// <summary>Request of clone/fail, source to destination (wire.md §6.6.5).</summary>
/// <param name="SourceTransferId">Outgoing transfer on the source.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination.</param>
/// <param name="Reason">Why, for people.</param>
public sealed record CloneFailRequest(long SourceTransferId, long DestinationTransferId, string Reason);

/// <summary>Request of checkin/update (wire.md §6.7.1).</summary>
/// <param name="SourceTransferIds">Outgoing transfers of the callee.</param>
/// <param name="DestinationTransferIds">Incoming transfers of the callee.</param>
/// <param name="NewStatus">State wanted for all.</param>
public sealed record CheckinUpdateRequest(
    IReadOnlyList<long> SourceTransferIds, IReadOnlyList<long> DestinationTransferIds, TransferStatus NewStatus);

/// <summary>200 of checkin/update, given even when nothing changed.</summary>
/// <param name="ModifiedSourceTransferIds">Changed.</param>
/// <param name="ModifiedDestinationTransferIds">Changed.</param>
/// <param name="UnmodifiedSourceTransferIds">Not changed.</param>
/// <param name="UnmodifiedDestinationTransferIds">Not changed.</param>
/// <param name="Reasons">Distinct, in no order.</param>
public sealed record CheckinUpdateResponse(
    IReadOnlyList<long> ModifiedSourceTransferIds,
    IReadOnlyList<long> ModifiedDestinationTransferIds,
    IReadOnlyList<long> UnmodifiedSourceTransferIds,
    IReadOnlyList<long> UnmodifiedDestinationTransferIds,
    IReadOnlyList<string> Reasons);

/// <summary>Request of checkin/status (wire.md §6.7.2).</summary>
/// <param name="SourceTransferIds">Outgoing transfers of the callee.</param>
/// <param name="DestinationTransferIds">Incoming transfers of the callee.</param>
public sealed record CheckinStatusRequest(IReadOnlyList<long> SourceTransferIds, IReadOnlyList<long> DestinationTransferIds);

/// <summary>200 of checkin/status; every id asked is a key, null when unknown or not the caller's.</summary>
/// <param name="SourceTransferStatus">State of each outgoing transfer; the keys are ids as decimal text.</param>
/// <param name="DestinationTransferStatus">State of each incoming transfer; the keys are ids as decimal text.</param>
public sealed record CheckinStatusResponse(
    OrderedDictionary<long, TransferStatus?> SourceTransferStatus, OrderedDictionary<long, TransferStatus?> DestinationTransferStatus);
