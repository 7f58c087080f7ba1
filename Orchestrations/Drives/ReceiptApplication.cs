using System.Collections.Concurrent;
using Librarian.Domain.Drives;
using Librarian.Domain.Formats;

namespace Librarian.Orchestrations.Drives;

/// <summary>Applies the receipts that destinations wrote for this site's drives.</summary>
public sealed class ReceiptApplication(
    DriveArchive archive,
    DriveReceipts receipts,
    SiteKeyring keyring,
    KeyLearning keys,
    DeliveryReports reports
)
{
    private readonly ConcurrentDictionary<string, (DateTime Written, long Length)> _applied = new();

    /// <summary>Applies a receipt. Applying it again is harmless, and costs nothing if its file has not changed.</summary>
    /// <param name="path">Path of the receipt.</param>
    /// <param name="acceptKey">Fingerprint that an administrator has compared; the destination's key is trusted from now on.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task<DriveAnswer> AcknowledgeAsync(string path, string? acceptKey, CancellationToken cancellationToken)
    {
        var stamp = File.Exists(path) ? (File.GetLastWriteTimeUtc(path), new FileInfo(path).Length) : default;
        if (acceptKey is null && _applied.TryGetValue(path, out var before) && before == stamp)
            return DriveAnswer.Done("The receipt was applied before.");
        // Check and apply the same bytes: a drive can change, or fail, between two reads.
        var copy = Path.Combine(archive.Root, $"checked-{Guid.NewGuid():N}.receipt");
        try
        {
            await using (var from = DriveFile.TryOpenRead(path))
            {
                if (from is null)
                    return new DriveAnswer("receipt.missing", $"{path} does not exist. Nothing was changed.");
                await using var to = Domain.Security.PrivateFile.Create(copy);
                await from.CopyToAsync(to, cancellationToken);
            }

            var answer = await ApplyAsync(copy, acceptKey, cancellationToken);
            if (answer.IsOk)
                _applied[path] = stamp;
            return answer;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "receipt.unreadable",
                $"{path} cannot be read: {e.Message} Nothing was changed that the receipt does not say. "
                    + "It is tried again, or bring the receipt another way ('librarian drive receipt' at the destination)."
            );
        }
        finally
        {
            File.Delete(copy);
        }
    }

    private async Task<DriveAnswer> ApplyAsync(string path, string? acceptKey, CancellationToken cancellationToken)
    {
        var check = await ReceiptReader.CheckAsync(path, cancellationToken);
        if (check.Accepted)
            await keys.LearnKeyAsync(check.Header.Site, check.Header.SiteKey, acceptKey, cancellationToken);
        var (drive, answer) = await receipts.ExamineAsync(path, keyring, cancellationToken);
        if (!answer.IsOk)
            return answer;
        var (recorded, refused) = await RecordAsync(path, drive!.Destination, check.Header!.Created, cancellationToken);
        var others = refused > 0 ? $", {refused} could not be (they were decided before, or are of another catalog)" : "";
        return DriveAnswer.Done($"{recorded} files of drive '{drive.Name}' are recorded as the receipt says{others}.");
    }

    /// <summary>Records the lines of a receipt; returns how many were recorded, and how many could not be.</summary>
    private async Task<(long Recorded, long Refused)> RecordAsync(
        string path,
        string destination,
        DateTime written,
        CancellationToken cancellationToken
    )
    {
        var (recorded, refused) = (0L, 0L);
        await using var cursor = await ReceiptCursor.OpenAsync(path, cancellationToken);
        var page = new List<Delivery>(DriveDeliveries.MaxBatch);
        while (true)
        {
            var line = await cursor.ReadLineAsync(cancellationToken);
            if (line is not null)
                page.Add(
                    new Delivery(
                        line.OutgoingTransferId,
                        line.Name,
                        line.Checksum,
                        line.Outcome == ReceiptOutcome.Stored ? line.StoreId ?? 0 : null,
                        line.Message
                    )
                );
            if (page.Count == 0 || (line is not null && page.Count < DriveDeliveries.MaxBatch))
            {
                if (line is null)
                    break;
                continue;
            }

            var no = await reports.RecordAsync(page, destination, cancellationToken, written);
            refused += no.Count;
            recorded += page.Count - no.Count;
            page.Clear();
            if (line is null)
                break;
        }

        return (recorded, refused);
    }
}
