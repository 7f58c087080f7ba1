namespace Librarian.Domain.Transfers;

/// <summary>A copy that this site was asked to accept, already holds, and has probed.</summary>
/// <param name="SourceTransferId">The sender's transfer; -1 for an upload.</param>
/// <param name="StoreId">The copy's store.</param>
/// <param name="VerifiedTime">When it was last read in full; UTC.</param>
public sealed record VerifiedCopy(long SourceTransferId, long StoreId, DateTime VerifiedTime);
