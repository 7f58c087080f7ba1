namespace Librarian.Domain.Transfers;

/// <summary>Outcome of <c>clone/complete</c> (docs/spec/wire.md#clone-complete).</summary>
public enum AcknowledgeOutcome
{
    /// <summary>The remote copy is recorded, now or by an earlier delivery of the same call.</summary>
    Recorded,

    /// <summary>The caller sees no outgoing transfer with that id.</summary>
    UnknownTransfer,

    /// <summary>
    /// The transfer with that id is for another file, or has another id at the destination: one of the two catalogs was restored from a
    /// backup and uses its ids again.
    /// </summary>
    OtherTransfer,

    /// <summary>Only the id says that it is this transfer; ask the destination.</summary>
    Unproven,

    /// <summary>The transfer is in a state that cannot be completed.</summary>
    WrongState,

    /// <summary>The destination is no longer registered.</summary>
    UnknownLibrarian,
}

/// <summary>The contents of <c>clone/complete</c>.</summary>
/// <param name="TransferId">This site's outgoing transfer.</param>
/// <param name="DestinationTransferId">The destination's incoming transfer; negative when a person or a drive's receipt
/// acknowledges.</param>
/// <param name="StoreId">The destination's store.</param>
/// <param name="FileName">The file, when the destination runs this software.</param>
/// <param name="Checksum">Its checksum, likewise.</param>
/// <param name="Size">Its bytes, likewise.</param>
public sealed record Acknowledgement(
    long TransferId,
    long DestinationTransferId,
    long StoreId,
    string? FileName = null,
    string? Checksum = null,
    long? Size = null
);
