namespace Librarian.Domain.Transfers;

/// <summary>An incoming transfer whose data are complete in staging.</summary>
/// <param name="Id">Incoming transfer.</param>
/// <param name="Policy">Policy of the new copy.</param>
public sealed record StagedTransfer(long Id, DeletionPolicy Policy);
