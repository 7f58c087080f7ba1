using Librarian.Client;
using Librarian.Client.DataBatches;
using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Librarian.Domain.TransferManagers;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.TransferManagers.Https;

/// <summary>Sends files as data batches over HTTPS (docs/spec/data-batches.md).</summary>
/// <remarks>
/// A crash leaves the batch at the peer with every segment that was acknowledged. The next call makes the same layout, finds the batch and
/// sends the rest. What was sent of a file that is then abandoned is removed with its staging directory.
/// </remarks>
public sealed class HttpsManager(PeerConnections peers, TimeProvider time) : ITransferManager
{
    /// <summary>Segments have their own limit of idle time; a slow link may need hours for one.</summary>
    private static readonly TimeSpan CallTimeout = TimeSpan.FromHours(12);

    /// <summary>Then the batch waits in its workflow, whose pauses survive a restart.</summary>
    private static readonly BatchOptions Options = new() { Lanes = 2, ProgressTimeout = TimeSpan.FromSeconds(20) };

    /// <summary>Most time for which a batch goes on after transfers to the peer were switched off (upstream weakness W22).</summary>
    private static readonly TimeSpan SwitchedOffWithin = TimeSpan.FromSeconds(15);

    private const int IdsInBatch = 64;

    /// <inheritdoc />
    public string Name => DataBatchRoutes.Provider;

    /// <inheritdoc />
    public int FilesAtOnce => 1024;

    /// <inheritdoc />
    public bool CanUse(AsyncProvider offer) => offer is HttpsProvider { DataVersion: DataBatchRoutes.Version };

    /// <inheritdoc />
    public bool CanReach(string stagingLocation, PeerOptions policy) => true;

    /// <inheritdoc />
    public async Task<ReplyError?> SendAsync(
        PeerClient peer,
        PeerOptions policy,
        IReadOnlyList<OutgoingFile> files,
        Action<OutgoingFile, SendingResult> onEnded,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(peer);
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(onEnded);
        var sender = new BatchSender(peers.For(peer.Login, CallTimeout)!.Client, time);
        // A batch of transfers may have been staged on several stores. Groups of ids stay the same when some of their transfers have ended,
        // so that the others find the data batch of the run before.
        foreach (var store in files.GroupBy(f => (StoreOf(f), f.Transfer.RemoteTransferId!.Value / IdsInBatch)))
        {
            List<BatchItem> items = [];
            foreach (var file in store)
            {
                if (ItemOf(file, out var why) is { } item)
                    items.Add(item);
                else
                    onEnded(file, new SendingResult(SendingStatus.SourceDiffers, why));
            }

            if (
                items.Count > 0
                && await SendWhileOnAsync(peer, stop => SendAsync(sender, items, onEnded, stop), cancellationToken) is { } error
            )
                return error;
        }

        return null;
    }

    /// <summary>Stops sending when transfers to the peer are switched off: a batch may take days.</summary>
    private async Task<ReplyError?> SendWhileOnAsync(
        PeerClient peer,
        Func<CancellationToken, Task<ReplyError?>> sendAsync,
        CancellationToken cancellationToken
    )
    {
        using var off = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = new PeriodicTimer(SwitchedOffWithin, time);
        var sending = sendAsync(off.Token);
        try
        {
            while (await Task.WhenAny(sending, timer.WaitForNextTickAsync(CancellationToken.None).AsTask()) != sending)
            {
                if (await peers.FindAsync(peer.Login.Name, cancellationToken) is { Login.TransfersEnabled: false })
                    return new Unreachable($"Transfers to '{peer.Login.Name}' are switched off.", Sent: false);
            }

            return await sending;
        }
        finally
        {
            // Nothing goes on after this method, whatever ended it.
            await off.CancelAsync();
            await sending.ContinueWith(
                static _ => { },
                CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default
            );
        }
    }

    /// <summary>Sends items. If the peer cannot take them together, it gets halves, down to the item that it cannot take.</summary>
    private static async Task<ReplyError?> SendAsync(
        BatchSender sender,
        List<BatchItem> items,
        Action<OutgoingFile, SendingResult> onEnded,
        CancellationToken cancellationToken
    )
    {
        BatchEnd end;
        try
        {
            end = await sender.SendAsync(
                items,
                (sent, _) =>
                {
                    onEnded(((StoredItem)sent.Item).File, ResultOf(sent));
                    return ValueTask.CompletedTask;
                },
                Options,
                progress: null,
                cancellationToken
            );
        }
        catch (IOException error) when (items is [StoredItem unlisted])
        {
            // It has vanished, or cannot be listed, since it was opened.
            onEnded(unlisted.File, new SendingResult(SendingStatus.SourceDiffers, error.Message));
            return null;
        }
        catch (IOException)
        {
            // One of them cannot be listed; nothing was sent yet.
            return await SendHalvesAsync();
        }

        if (!end.IsLayoutRefused)
            return end.Error;
        if (items is [StoredItem only])
        {
            onEnded(
                only.File,
                new SendingResult(SendingStatus.Failed, $"The peer does not take it: {end.Error} The local copy is untouched.")
            );
            return null;
        }

        return await SendHalvesAsync();

        async Task<ReplyError?> SendHalvesAsync()
        {
            var half = items.Count / 2;
            return await SendAsync(sender, items[..half], onEnded, cancellationToken)
                ?? await SendAsync(sender, items[half..], onEnded, cancellationToken);
        }
    }

    private static SendingResult ResultOf(SentItem sent)
    {
        var expected = ((StoredItem)sent.Item).File.Expected.Checksum;
        if (sent.IsAbandoned)
            return new SendingResult(SendingStatus.Failed, "The peer has abandoned the transfer. The local copy is untouched.");
        if (sent.Problem is { } problem)
            return new SendingResult(SendingStatus.SourceDiffers, $"The copy could not be read to its end: {problem.Message}");
        // Nothing was read when the peer had every byte from an earlier run; it verifies them before it stores them.
        return sent.Checksum is null || Checksum.Parse(sent.Checksum).CompareTo(expected) == ChecksumComparison.Equal
            ? new SendingResult(SendingStatus.Copied)
            : new SendingResult(SendingStatus.SourceDiffers, $"The copy was read with {sent.Checksum}; the catalog says {expected}.");
    }

    /// <summary>The beginning of the staging location, which is the same for transfers on one store.</summary>
    private static string StoreOf(OutgoingFile file)
    {
        var location = file.Transfer.DestPath!;
        var slot = location.EndsWith("/" + file.Transfer.FileName, StringComparison.Ordinal)
            ? location[..^(file.Transfer.FileName.Length + 1)]
            : location;
        return slot[..(slot.LastIndexOf('/') + 1)];
    }

    /// <summary>The layout has to fit what was declared, or the peer refuses the whole batch.</summary>
    private static StoredItem? ItemOf(OutgoingFile file, out string why)
    {
        try
        {
            using var content = file.Store.OpenContent(file.Path);
            why =
                content is null ? $"Nothing is at '{file.Path}'."
                : content.Size != file.Transfer.TransferSize
                    ? $"The copy has {content.Size} bytes; the catalog says {file.Transfer.TransferSize}."
                : "";
            return why.Length == 0 ? new StoredItem(file, content!.IsDirectory) : null;
        }
        catch (IOException error)
        {
            why = error.Message;
            return null;
        }
    }
}
