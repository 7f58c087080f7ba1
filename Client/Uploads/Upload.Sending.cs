using Librarian.Client.DataBatches;
using Librarian.Client.Wire;

namespace Librarian.Client.Uploads;

public sealed partial class Upload
{
    // A crash leaves the data batch and the transfer at the site. The next upload of the same content finds both and goes on
    // (docs/spec/data-batches.md).
    private async Task<UploadOutcome?> SendAsync(
        string localPath,
        UploadStageResponse slot,
        ContentDigest expected,
        UploadOptions options,
        IProgress<UploadProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        try
        {
            var meter = Meter(UploadPhase.Copying, expected.Size, progress);
            UploadOutcome? changed = null;
            var end = await new BatchSender(client, time).SendAsync(
                [new SourceItem(slot.TransferId, SourceTree.List(localPath, cancellationToken))],
                (sent, _) =>
                {
                    changed = ChangeOf(localPath, sent, expected);
                    return ValueTask.CompletedTask;
                },
                options.Batch,
                new Meters(meter),
                cancellationToken
            );
            return changed ?? (end.Error is { } error ? NotSent(error) : null);
        }
        catch (Exception error) when (SourceError(error) is { } outcome)
        {
            return outcome;
        }
    }

    /// <summary>What was sent is not what was hashed before: the source has changed in between.</summary>
    private static UploadOutcome? ChangeOf(string localPath, SentItem sent, ContentDigest expected)
    {
        if (sent.IsAbandoned)
            return Fail(UploadErrors.Refused, "The site has abandoned this upload.", "Upload again.");
        if (sent.Problem is { } problem)
            return SourceError(problem)
                ?? Fail(UploadErrors.SourceUnreadable, problem.Message, "Make the source readable and upload again.");
        // Nothing was read when the site had every byte already; it verifies them before it stores them.
        return sent.Checksum is null || (sent.Checksum == expected.Checksum && sent.TreeDigest == expected.TreeDigest)
            ? null
            : Fail(
                UploadErrors.SourceChanged,
                $"{localPath.Shown()} changed while it was being uploaded ({expected.Checksum} became {sent.Checksum}).",
                "Upload again when nothing writes to it any more."
            );
    }

    private static UploadOutcome NotSent(ReplyError error) =>
        error switch
        {
            Refused { Status: 507 } => Fail(
                UploadErrors.Full,
                "The site's disk is full.",
                "Upload again when space has been made: it goes on where it stopped."
            ),
            Refused refused => Fail(
                UploadErrors.Refused,
                $"The site refused the data: {refused.Reason}",
                refused.SuggestedRemedy.Length == 0 ? "Upload again; if that repeats, ask the site's operator." : refused.SuggestedRemedy
            ),
            Unreachable lost => Fail(UploadErrors.Interrupted, lost.Why, "Upload again: it goes on where it stopped."),
            _ => Fail(UploadErrors.Malformed, error.ToString(), "Check that the address is a librarian's, and the versions on both sides."),
        };

    private sealed class Meters(Action<long> meter) : IProgress<long>
    {
        private readonly Lock _lock = new();

        // Lanes report at the same time.
        public void Report(long value)
        {
            lock (_lock)
                meter(value);
        }
    }
}
