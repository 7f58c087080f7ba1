using Librarian.Domain.Catalog;

namespace Librarian.Domain.Drives;

/// <summary>What became of an entry of the manifest.</summary>
internal sealed record IngestDecision(IngestEntry Entry, DriveFileOutcome Outcome, long? StoreId, string? Message)
{
    internal static IngestDecision Fail(IngestEntry entry, string message) => new(entry, DriveFileOutcome.Failed, null, message);
}
