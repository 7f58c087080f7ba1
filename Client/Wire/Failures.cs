using System.Text.Json;

namespace Librarian.Client.Wire;

/// <summary>
/// Body of an ordinary failure. A body must never have a top-level <c>detail</c> object: it crashes Python's client
/// (docs/spec/wire.md#python-client-answers).
/// </summary>
/// <param name="Reason">What happened. Programs compare it with texts of the protocol.</param>
/// <param name="SuggestedRemedy">What a person can do next.</param>
public sealed record Failure(string Reason, string SuggestedRemedy);

/// <summary>
/// Failure of one transfer (docs/spec/wire.md#clone-failures); for <c>clone/stage</c> it goes into a <see cref="WrappedFailure"/>.
/// </summary>
/// <param name="Reason">What happened.</param>
/// <param name="SuggestedRemedy">What a person can do next.</param>
/// <param name="SourceTransferId">Outgoing transfer on the source, or -1.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination, or -1.</param>
public sealed record TransferFailure(string Reason, string SuggestedRemedy, long SourceTransferId, long DestinationTransferId);

/// <summary>
/// Failure of a batch (docs/spec/wire.md#clone-failures). Peers recover from a 409 only if they find the plural ids at the top level.
/// </summary>
/// <param name="Reason">What happened.</param>
/// <param name="SuggestedRemedy">What a person can do next.</param>
/// <param name="SourceTransferIds">Outgoing transfers of the failed items.</param>
/// <param name="DestinationTransferIds">The incoming transfer of each of these items, or -1.</param>
public sealed record BatchFailure(
    string Reason,
    string SuggestedRemedy,
    IReadOnlyList<long> SourceTransferIds,
    IReadOnlyList<long> DestinationTransferIds
);

/// <summary>A failure whose body is JSON text inside <c>detail</c>, as clone/stage sends it (docs/spec/wire.md#clone-failures).</summary>
/// <param name="Detail">A <see cref="TransferFailure"/> as JSON text, or a plain sentence such as <c>Not Found</c>.</param>
public sealed record WrappedFailure(string Detail)
{
    /// <summary>Wraps a failure as clone/stage must send it.</summary>
    /// <param name="failure">The body to wrap.</param>
    /// <returns>The body to send.</returns>
    public static WrappedFailure Of(TransferFailure failure) => new(JsonSerializer.Serialize(failure, WireJson.Wire.TransferFailure));
}

/// <summary>Values of <c>reason</c> that other programs compare (docs/spec/wire.md#python-client-reasons).</summary>
public static class Reasons
{
    /// <summary>404 of search/file; peers compare exactly this text.</summary>
    public const string NoFilesFound = "No files found.";

    /// <summary>404 of search/error.</summary>
    public const string NoErrorsFound = "No errors found.";

    /// <summary>404 of search/instance_local and search/instance_remote.</summary>
    public const string NoInstancesFound = "No instances found.";

    /// <summary>400 of stage calls.</summary>
    public const string SizeNegative = "Upload size must be positive.";

    /// <summary>413 of upload/stage for an upload above the site's limit.</summary>
    public const string SizeTooLarge = "Upload size is too large.";

    /// <summary>413 of stage calls when no store has enough free space.</summary>
    public const string NoStore = "No stores available for upload. Your upload is too large.";

    /// <summary>
    /// 503 of upload/stage when no store is mounted. Clone stage calls send <see cref="NoStore"/> instead, the only such refusal that
    /// Python sites know.
    /// </summary>
    public const string StoreAway = "No store of this site is mounted now.";

    /// <summary>409 of stage calls; the sneakernet client looks for "already exists on librarian".</summary>
    public const string FileExists = "File already exists on librarian.";

    /// <summary>
    /// 503 of upload/stage and 425 of clone stage calls: the name is catalogued with this content, but the site cannot check now whether
    /// its copy is good.
    /// </summary>
    public const string CopyUnknown = "The copy of this file cannot be checked now.";

    /// <summary>
    /// 503 of upload/stage and 425 of clone stage calls: the name is catalogued with this content, and its copy is being read or replaced.
    /// Ask again.
    /// </summary>
    public const string CopyBeingRead = "The copy of this file is being checked.";

    /// <summary>409 of upload/commit when something already lies at the final path.</summary>
    public const string FileExistsOnStore = "File already exists on store.";

    /// <summary>404 of upload/commit.</summary>
    public const string NotInStaging = "File not found in staging area.";

    /// <summary>406 of upload/commit when the staged data differ from the declaration.</summary>
    public const string Mismatch = "File does not have a valid checksum or size";

    /// <summary>500 of upload/commit.</summary>
    public const string Internal = "Internal server error.";

    /// <summary>503 of any call while the site's database is unreachable or has no free connection.</summary>
    public const string DatabaseAway = "The site's database cannot be reached at the moment.";

    /// <summary>413 of stage calls when too much space is reserved for the account.</summary>
    public const string PromisedTooMuch = "Too much space is promised to this account.";

    /// <summary>425 of clone stage calls.</summary>
    public const string TransferOngoing = "Transfer is ongoing.";

    /// <summary>406 of clone stage calls.</summary>
    public const string TransferDuplicate = "Transfer was already initiated or staged.";

    /// <summary>404 (400 of clone/complete) for a transfer that the caller cannot see.</summary>
    public const string TransferNotFound = "Could not find transfer.";

    /// <summary>406 of clone/ongoing.</summary>
    public const string NotInitiated = "Transfer is not in INITIATED status.";

    /// <summary>406 of clone/staged.</summary>
    public const string NotOngoing = "Transfer is not in ONGOING status.";

    /// <summary>406 of clone/complete.</summary>
    public const string NotOngoingOrStaged = "Transfer is not in ONGOING or STAGED status.";

    /// <summary>An entry in the <c>reasons</c> of checkin/update; for source ids too.</summary>
    public const string CheckinNotFound = "No destination transfer with the appropriate ID was found.";

    /// <summary>An entry in the <c>reasons</c> of checkin/update.</summary>
    public const string CheckinNotAuthorized = "You are not authorized to modify the transfer.";

    /// <summary>400 of validate/file.</summary>
    public const string FileUnknown = "This file does not exist in the librarian.";

    /// <summary>409 of corrupt/*.</summary>
    public const string AlsoCorrupt = "Our copy of the file is also corrupt";

    /// <summary>409 of corrupt/*.</summary>
    public const string CannotSend = "We are not able to send you files";

    /// <summary>409 of corrupt/resend.</summary>
    public const string CannotQueue = "Error creating send queue item";
}
