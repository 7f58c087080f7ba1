using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <remarks>
/// <para>Adopts data that lie under a file's name without a row (the catalog is older than the disk, or rows were lost): they are compared
/// with the staged data. Identical data are catalogued where they lie, and the staged data are removed. Identical data that are shared
/// (further links, another owner) are quarantined, and the staged data are committed instead. Different data stay, and the sender learns
/// what lies there.</para>
/// <para>A crash between two steps leaves the following, and the next call continues from there: after the comparison – nothing, they are
/// compared again; after the quarantine – no data under the name, they are restored and compared again; after the commit of the file – the
/// staged data under the name, recognised by size and checksum, catalogued next; after the final transaction – only a staging directory,
/// removed by the next call or the sweep.</para>
/// </remarks>
public sealed partial class StagedFileIngest
{
    /// <summary>Handles a transfer whose name is reserved for it but taken on the disk.</summary>
    /// <param name="transfer">The transfer, in the state of committing.</param>
    /// <param name="store">Its store.</param>
    /// <param name="commit">What is to be committed.</param>
    /// <param name="policy">Policy of the new copy.</param>
    /// <param name="interrupted">Whether an earlier run reserved the name: it may have died before it checked the names above and
    /// below.</param>
    /// <param name="cancellationToken">Stops while reading.</param>
    private async Task<IngestResult> AdoptAsync(
        IncomingTransfer transfer,
        LocalStore store,
        FileCommit commit,
        DeletionPolicy policy,
        bool interrupted,
        CancellationToken cancellationToken
    )
    {
        if (interrupted && await ReserveNameAsync(transfer, cancellationToken) is { } refused)
            return refused;
        if (await HolderAsync(transfer, commit.Destination.Value, cancellationToken) is { } holder)
        {
            return await FailAsync(
                transfer,
                IngestOutcome.NameTaken,
                $"What lies at '{commit.Destination}' belongs to the catalogued file '{holder}', or contains it; "
                    + "two files cannot share data. It was left as it is. Choose another name.",
                committing: true,
                cancellationToken
            );
        }

        var taken = await store.ExamineTakenAsync(commit, cancellationToken);
        switch (taken.Status)
        {
            case TakenStatus.Identical:
                Logs.Adopted(_log, commit.Destination.Value, transfer.Id);
                return await CatalogueAsync(transfer, store, commit.Destination, policy, names: null, cancellationToken);
            case TakenStatus.Shared:
                return await ReplaceSharedAsync(transfer, store, commit, policy, taken.Message, cancellationToken);
            case TakenStatus.Different:
                return await FailAsync(transfer, IngestOutcome.NameTaken, taken.Message, committing: true, cancellationToken);
            case TakenStatus.StagedMissing:
                return await FailAsync(transfer, IngestOutcome.Missing, taken.Message, committing: true, cancellationToken);
            default:
                return Result(transfer, IngestOutcome.TryLater, taken.Message);
        }
    }

    /// <summary>The catalogued file that has data at, above or below a path.</summary>
    private async Task<string?> HolderAsync(IncomingTransfer transfer, string location, CancellationToken cancellationToken)
    {
        await using var db = _database.Open();
        return await SharedData.At(db, transfer.StoreId!.Value, location).Select(i => i.FileName).FirstOrDefaultAsync(cancellationToken);
    }

    private async Task<IngestResult> ReplaceSharedAsync(
        IncomingTransfer transfer,
        LocalStore store,
        FileCommit commit,
        DeletionPolicy policy,
        string why,
        CancellationToken cancellationToken
    )
    {
        var quarantined = await store.QuarantineAsync(commit.Destination, commit.StagingName, cancellationToken);
        if (quarantined.Status == QuarantineStatus.IoError)
            return Result(transfer, IngestOutcome.TryLater, quarantined.Message);
        if (quarantined.Status == QuarantineStatus.Moved)
            Logs.Quarantined(_log, commit.Destination.Value, transfer.Id, why);
        var committed = await store.CommitFileAsync(commit, cancellationToken);
        switch (committed.Status)
        {
            case FileCommitStatus.Committed:
                return await CatalogueAsync(transfer, store, commit.Destination, policy, names: null, cancellationToken);
            case FileCommitStatus.NoSpace or FileCommitStatus.IoError or FileCommitStatus.TargetExists:
                return await WaitAsync(transfer, committed);
            default:
                var back = await store.RestoreFromQuarantineAsync(commit.Destination, commit.StagingName, cancellationToken);
                return back.Status == QuarantineStatus.IoError
                    ? Result(transfer, IngestOutcome.TryLater, back.Message)
                    : await FailAsync(
                        transfer,
                        committed.Status switch
                        {
                            FileCommitStatus.StagedMissing => IngestOutcome.Missing,
                            FileCommitStatus.Mismatch => IngestOutcome.Mismatch,
                            _ => IngestOutcome.Unacceptable,
                        },
                        $"{committed.Message} What lay at '{commit.Destination}' is there again.",
                        committing: true,
                        cancellationToken
                    );
        }
    }

    /// <summary>
    /// Restores from quarantine what an interrupted run has not replaced, so that it is compared again: if the staged data have vanished
    /// meanwhile, it must not be lost with the quarantine.
    /// </summary>
    /// <returns>Whether something was restored, or is there already; and the answer when a disk fails.</returns>
    private async Task<(bool IsBack, IngestResult? Later)> PutBackAsync(
        IncomingTransfer transfer,
        LocalStore store,
        Guid staging,
        FileName destination,
        CancellationToken cancellationToken
    )
    {
        var quarantine = transfer.Committing ? await store.IsQuarantinedAsync(staging, cancellationToken) : Presence.Absent;
        if (quarantine == Presence.Unknown)
            return (false, await AwayAsync(transfer));
        if (quarantine == Presence.Absent)
            return (false, null);
        var back = await store.RestoreFromQuarantineAsync(destination, staging, cancellationToken);
        return back.Status == QuarantineStatus.IoError
            ? (false, Result(transfer, IngestOutcome.TryLater, back.Message))
            : (back.Status != QuarantineStatus.NothingThere, null);
    }
}
