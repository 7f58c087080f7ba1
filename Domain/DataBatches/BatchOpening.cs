namespace Librarian.Domain.DataBatches;

/// <summary>Why a data batch is not opened.</summary>
public enum BatchRefusal
{
    /// <summary>The account has no such batch.</summary>
    Unknown,

    /// <summary>The layout cannot be accepted.</summary>
    BadLayout,

    /// <summary>The layout is too large.</summary>
    TooLarge,

    /// <summary>A transfer is not the caller's, or takes no data any more.</summary>
    UnfitTransfer,

    /// <summary>The store is not mounted.</summary>
    StoreAway,

    /// <summary>The disk is full.</summary>
    Full,
}

/// <summary>A data batch, or why it is not opened.</summary>
/// <param name="Batch">The batch; null if it was refused.</param>
/// <param name="Refusal">Why.</param>
/// <param name="Message">For people.</param>
public sealed record BatchOpening(DataBatch? Batch, BatchRefusal Refusal = default, string Message = "");
