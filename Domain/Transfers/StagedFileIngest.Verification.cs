using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

public sealed partial class StagedFileIngest
{
    /// <summary>
    /// Clears the mark that this run has set; the mark of an earlier run stays. A crash before this leaves the mark, which costs a copy.
    /// </summary>
    private async Task ForgetFlushAsync(IncomingTransfer transfer)
    {
        if (transfer.FlushBegun)
            return;
        await using var db = _database.Open();
        await db
            .IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.FlushBegun, false));
    }

    /// <summary>The same for transfers whose mark this run has set.</summary>
    private async Task ForgetFlushesAsync(IReadOnlyCollection<long> transferIds)
    {
        if (transferIds.Count == 0)
            return;
        List<long> ids = [.. transferIds];
        await using var db = _database.Open();
        await db
            .IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Staged)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.FlushBegun, false));
    }

    /// <summary>Larger files wait for each other; small ones cost flushes rather than reads.</summary>
    private SemaphoreSlim? ReadersFor(IncomingTransfer transfer) => transfer.TransferSize > LocalStore.LargestInRound ? _readers : null;

    private FileCommit FileCommitOf(
        IncomingTransfer transfer,
        Guid staging,
        FileName uploadName,
        FileName destination,
        ContentDescription expected
    ) =>
        new(staging, uploadName, destination, expected, CommitId: staging)
        {
            Readers = ReadersFor(transfer),
            Rewrite = transfer.FlushBegun,
        };

    /// <summary>Reads the staged data once and flushes them to the disk; the first result is null when the data are as declared.</summary>
    private async Task<(IngestResult? Unfit, DigestResult? Verified)> VerifyAsync(
        IncomingTransfer transfer,
        LocalStore store,
        Guid staging,
        FileName uploadName,
        FileName? destination,
        ContentDescription expected,
        CancellationToken cancellationToken
    )
    {
        DigestResult digest;
        var readers = ReadersFor(transfer);
        if (readers is not null)
            await readers.WaitAsync(cancellationToken);
        try
        {
            digest = await store.DigestStagedAsync(
                staging,
                uploadName,
                [expected.Checksum.Algorithm, ChecksumAlgorithm.Xxh3],
                new DigestOptions
                {
                    FlushToDisk = true,
                    TakeOver = true,
                    MaxParallelism = _options.Value.ChecksumParallelism,
                },
                cancellationToken: cancellationToken
            );
        }
        finally
        {
            readers?.Release();
        }

        // If the store's lock was lost (an NFS server forgot it), another run may have committed the data meanwhile: then the commit tells.
        if (
            !digest.Matches(expected)
            && transfer.Committing
            && destination is not null
            && await store.ExistsAsync(destination, cancellationToken) != Presence.Absent
        )
            return default;
        var unfit = await JudgeAsync(transfer, digest, expected, cancellationToken);
        return (unfit, unfit is null ? digest : null);
    }

    /// <summary>Ends the transfer, or lets it wait, when the staged data are not as declared; null when they are.</summary>
    private async Task<IngestResult?> JudgeAsync(
        IncomingTransfer transfer,
        DigestResult digest,
        ContentDescription expected,
        CancellationToken cancellationToken
    )
    {
        switch (digest.Status)
        {
            case DigestStatus.Complete when digest.Matches(expected) && transfer.TreeDigest is { } names && digest.TreeDigest != names:
                return await EndAsync(
                    IngestOutcome.Mismatch,
                    "The members of the directory have the declared contents, but not the declared names: "
                        + $"{digest.TreeDigest} instead of {names}."
                );
            case DigestStatus.Complete when digest.Matches(expected):
                return null;
            case DigestStatus.Complete:
                return await EndAsync(
                    IngestOutcome.Mismatch,
                    $"Declared {transfer.TransferSize} bytes with {transfer.TransferChecksum}, "
                        + $"found {digest.SizeBytes} bytes with {digest.Checksums[expected.Checksum.Algorithm]}."
                );
            case DigestStatus.Missing:
                return await EndAsync(IngestOutcome.Missing, "Nothing lies at the staging location.");
            case DigestStatus.IoError or DigestStatus.NoSpace:
                return await WaitAsync(transfer, $"The staged data cannot be read: {digest.Message}");
            case DigestStatus.FlushFailed:
                // Must not be cancelled: the next run would find nothing wrong.
                return await FailAsync(
                    transfer,
                    IngestOutcome.FlushFailed,
                    $"The disk did not keep the staged data ({digest.Message}). "
                        + "They are discarded, for nobody can know what of them is on it. "
                        + "Check the space and health of the staging disk; the file has to be sent again.",
                    transfer.Committing,
                    CancellationToken.None
                );
            case DigestStatus.Changed:
                return await EndAsync(IngestOutcome.Mismatch, $"The staged data changed while they were read: {digest.FailedPath}.");
            default:
                return await EndAsync(IngestOutcome.Unacceptable, digest.Message ?? digest.Status.ToString());
        }

        Task<IngestResult> EndAsync(IngestOutcome outcome, string why) =>
            FailAsync(transfer, outcome, why, transfer.Committing, cancellationToken);
    }

    /// <summary>Data that are committed under their final name.</summary>
    private sealed record Verified(IncomingTransfer Transfer, string Path, DeletionPolicy Policy, string? Fingerprint, string? TreeDigest);
}
