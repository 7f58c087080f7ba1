using System.Text.Json;

namespace Librarian.Client.Wire;

/// <summary>Body of an ordinary failure. A body must never have a top-level <c>detail</c> object: it crashes Python's client (wire.md §8.1).</summary>
/// <param name="Reason">What happened. Programs compare it with texts that are protocol.</param>
/// <param name="SuggestedRemedy">What a person can do next.</param>
public sealed record Failure(string Reason, string SuggestedRemedy);

/// <summary>Failure about one transfer (F1 of wire.md §6.6); for <c>clone/stage</c> it goes into a <see cref="WrappedFailure"/>.</summary>
/// <param name="Reason">What happened.</param>
/// <param name="SuggestedRemedy">What a person can do next.</param>
/// <param name="SourceTransferId">Outgoing transfer on the source, or -1.</param>
/// <param name="DestinationTransferId">Incoming transfer on the destination, or -1.</param>
public sealed record TransferFailure(string Reason, string SuggestedRemedy, long SourceTransferId, long DestinationTransferId);

/// <summary>Failure about a batch (FB of wire.md §6.6). Peers recover from 409 only if they find the plural ids at top level.</summary>
/// <param name="Reason">What happened.</param>
/// <param name="SuggestedRemedy">What a person can do next.</param>
/// <param name="SourceTransferIds">The bad items' outgoing transfers.</param>
/// <param name="DestinationTransferIds">As many entries, each the incoming transfer or -1.</param>
public sealed record BatchFailure(
    string Reason, string SuggestedRemedy, IReadOnlyList<long> SourceTransferIds, IReadOnlyList<long> DestinationTransferIds);

/// <summary>A failure whose real body is a JSON text inside <c>detail</c>, as clone/stage answers (wire.md §6.6).</summary>
/// <param name="Detail">A <see cref="TransferFailure"/> as JSON text, or a plain sentence such as <c>Not Found</c>.</param>
public sealed record WrappedFailure(string Detail)
{
    /// <summary>Wraps a failure the way clone/stage must answer.</summary>
    /// <param name="failure">The body to wrap.</param>
    /// <returns>The body to send.</returns>
    public static WrappedFailure Of(TransferFailure failure) => new(JsonSerializer.Serialize(failure, WireJson.Wire.TransferFailure));
}

/// <summary>Values of <c>reason</c> that other programs compare with (wire.md §6, §8.3).</summary>
public static class Reasons
{
    /// <summary>404 of search/file; peers test for exactly this.</summary>
    public const string NoFilesFound = "No files found.";

    /// <summary>404 of search/error.</summary>
    public const string NoErrorsFound = "No errors found.";

    /// <summary>404 of search/instance_local and search/instance_remote.</summary>
    public const string NoInstancesFound = "No instances found.";

    /// <summary>400 of stage calls.</summary>
    public const string SizeNegative = "Upload size must be positive.";

    /// <summary>413 of upload/stage when over the site's limit.</summary>
    public const string SizeTooLarge = "Upload size is too large.";

    /// <summary>413 of stage calls when no store has room.</summary>
    public const string NoStore = "No stores available for upload. Your upload is too large.";

    /// <summary>409 of stage calls; the sneakernet client looks for "already exists on librarian".</summary>
    public const string FileExists = "File already exists on librarian.";

    /// <summary>409 of upload/commit when something lies at the destination on disk.</summary>
    public const string FileExistsOnStore = "File already exists on store.";

    /// <summary>404 of upload/commit.</summary>
    public const string NotInStaging = "File not found in staging area.";

    /// <summary>406 of upload/commit when the staged data is not what was declared.</summary>
    public const string Mismatch = "File does not have a valid checksum or size";

    /// <summary>500 of upload/commit.</summary>
    public const string Internal = "Internal server error.";

    /// <summary>425 of clone stage calls.</summary>
    public const string TransferOngoing = "Transfer is ongoing.";

    /// <summary>406 of clone stage calls.</summary>
    public const string TransferDuplicate = "Transfer was already initiated or staged.";

    /// <summary>404 (400 from clone/complete) for a transfer the caller cannot see.</summary>
    public const string TransferNotFound = "Could not find transfer.";

    /// <summary>406 of clone/ongoing.</summary>
    public const string NotInitiated = "Transfer is not in INITIATED status.";

    /// <summary>406 of clone/staged.</summary>
    public const string NotOngoing = "Transfer is not in ONGOING status.";

    /// <summary>406 of clone/complete.</summary>
    public const string NotOngoingOrStaged = "Transfer is not in ONGOING or STAGED status.";

    /// <summary>Entry of checkin/update's <c>reasons</c>, for source ids too.</summary>
    public const string CheckinNotFound = "No destination transfer with the appropriate ID was found.";

    /// <summary>Entry of checkin/update's <c>reasons</c>.</summary>
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
