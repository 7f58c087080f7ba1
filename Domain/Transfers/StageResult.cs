using Librarian.Domain.Stores;

namespace Librarian.Domain.Transfers;

/// <summary>The staging slot of one file.</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
/// <param name="StagingName">Directory below the staging root.</param>
/// <param name="StagingLocation">Absolute path; its parents exist, it does not.</param>
/// <param name="UploadName">Path inside the staging directory.</param>
/// <param name="Destination">Name of the new file.</param>
public sealed record StagingSlot(
    long TransferId,
    long? SourceTransferId,
    string StagingName,
    string StagingLocation,
    FileName UploadName,
    FileName Destination
);

public abstract record StageResult
{
    private StageResult() { }

    /// <summary>Accepted.</summary>
    /// <param name="Store">Store for all files.</param>
    /// <param name="FreeBytes">Free space, bytes.</param>
    /// <param name="Slots">Staging slots, one per file, in request order.</param>
    public sealed record Accepted(SiteStore Store, long FreeBytes, IReadOnlyList<StagingSlot> Slots) : StageResult
    {
        /// <summary>Files of a batch that this site can never accept, with the reason; they have no staging slot.</summary>
        public IReadOnlyList<(long SourceTransferId, string Reason)> Unfit { get; init; } = [];

        /// <summary>Whether this is an earlier upload of the same content, whose data batch goes on.</summary>
        public bool Resumes { get; init; }
    }

    /// <summary>Refused; nothing was created.</summary>
    /// <param name="Why">The reason.</param>
    /// <param name="Detail">One sentence for people.</param>
    /// <param name="SourceTransferIds">The items concerned, for batches.</param>
    /// <param name="TransferId">The conflicting transfer, if there is one.</param>
    public sealed record Refused(StageRefusal Why, string Detail, IReadOnlyList<long> SourceTransferIds, long? TransferId = null)
        : StageResult
    {
        /// <summary>Those of the items concerned whose copy here was probed and is what the sender declared.</summary>
        public IReadOnlyList<VerifiedCopy> Verified { get; init; } = [];
    }
}
