using System.Threading.Channels;
using Librarian.Client.Wire;

namespace Librarian.Client.DataBatches;

/// <summary>Options of sending a data batch.</summary>
public sealed record BatchOptions
{
    /// <summary>Segments that are sent at the same time; memory is this many times 16 MiB, and one more.</summary>
    public int Lanes { get; init; } = 4;

    /// <summary>How long to go on while no byte arrives.</summary>
    public TimeSpan ProgressTimeout { get; init; } = TimeSpan.FromMinutes(5);
}

/// <summary>How the sending of a data batch ended.</summary>
/// <param name="Error">Null if all items were sent; otherwise why the others were not.</param>
/// <param name="IsLayoutRefused">Whether the site can never take these items together; perhaps it takes some of them.</param>
public sealed record BatchEnd(ReplyError? Error, bool IsLayoutRefused = false);

/// <summary>
/// Sends the bytes of staged transfers of one store as a data batch (docs/spec/data-batches.md): one reader fills segments, lanes send
/// them.
/// Sending the same items again goes on where it stopped, also in another process.
/// </summary>
/// <param name="client">Client of the site, with the account that staged the transfers.</param>
/// <param name="time">Clock for pauses.</param>
public sealed class BatchSender(LibrarianClient client, TimeProvider time)
{
    /// <summary>Sends the items.</summary>
    /// <param name="items">The items, in the order in which they are sent.</param>
    /// <param name="onSent">
    /// Called once for each item, in order, as soon as the site has all its bytes; the caller commits or announces it then.
    /// </param>
    /// <param name="options">Options, or null for the defaults.</param>
    /// <param name="progress">Called with the number of bytes that were given to the network or that the site had.</param>
    /// <param name="cancellationToken">Cancels; what has arrived is kept.</param>
    /// <returns>How it ended.</returns>
    /// <exception cref="IOException">A source cannot be listed.</exception>
    public async Task<BatchEnd> SendAsync(
        IReadOnlyList<BatchItem> items,
        Func<SentItem, CancellationToken, ValueTask> onSent,
        BatchOptions? options = null,
        IProgress<long>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(items);
        ArgumentNullException.ThrowIfNull(onSent);
        options ??= new BatchOptions();
        Reply<DataBatchState> made;
        await using (var layout = await BatchLayout.WriteAsync(items, cancellationToken))
            made = await MakeAsync(layout, options, cancellationToken);
        if (!made.IsSuccess)
            return new BatchEnd(made.Error, IsLayoutRefused: made.Error is Refused { Status: 400 or 409 or 413 });
        var abandoned = made.Value.Abandoned.ToHashSet();
        List<BatchItem> wanted = [.. items.Where(i => !abandoned.Contains(i.TransferId))];
        // Their bytes would be dropped. Where something has arrived already, they are sent nevertheless: without them it would be another
        // batch.
        if (wanted.Count == 0 || (wanted.Count < items.Count && Array.TrueForAll(made.Value.Complete, static b => b == 0)))
        {
            foreach (var item in items.Where(i => abandoned.Contains(i.TransferId)))
                await onSent(new SentItem(item, null, null, null, IsAbandoned: true), cancellationToken);
            return wanted.Count == 0 ? new BatchEnd(null) : await SendAsync(wanted, onSent, options, progress, cancellationToken);
        }

        var run = new Run(client, made.Value, options, time, progress);
        // The site removes the batch when its transfers have ended: until then it must not be sent again.
        return new BatchEnd(await run.SendAsync(items, onSent, cancellationToken));
    }

    private async Task<Reply<DataBatchState>> MakeAsync(Stream layout, BatchOptions options, CancellationToken cancellationToken)
    {
        var start = time.GetTimestamp();
        for (var pauses = 0; ; pauses++)
        {
            var made = await client.MakeDataBatchAsync(layout, cancellationToken);
            if (
                made.IsSuccess
                || made.Error is not (Unreachable or Refused { Status: 429 or 502 or 503 or 504 })
                || time.GetElapsedTime(start) > options.ProgressTimeout
            )
                return made;
            await Task.Delay(TimeSpan.FromSeconds(1 << Math.Min(pauses, 5)), time, cancellationToken);
        }
    }

    /// <summary>The sending of one batch.</summary>
    private sealed class Run(
        LibrarianClient client,
        DataBatchState batch,
        BatchOptions options,
        TimeProvider time,
        IProgress<long>? progress
    )
    {
        private readonly SegmentFeed _feed = new(batch, options.Lanes + 1);
        private readonly Channel<(SentItem Item, long End)> _read = Channel.CreateUnbounded<(SentItem, long)>();
        private readonly SegmentsAtSite _atSite = new(batch);

        internal async Task<ReplyError?> SendAsync(
            IReadOnlyList<BatchItem> items,
            Func<SentItem, CancellationToken, ValueTask> onSent,
            CancellationToken cancellationToken
        )
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var sender = new SegmentSender(client, batch, options.ProgressTimeout, time, bytes => progress?.Report(bytes));
            ReplyError? error = null;
            List<Task> work =
            [
                ReadAsync(items, stop.Token),
                CompleteAsync(onSent, stop.Token),
                .. Enumerable.Range(0, options.Lanes).Select(_ => LaneAsync()),
            ];
            foreach (var task in work)
                _ = task.ContinueWith(
                    _ => stop.Cancel(),
                    CancellationToken.None,
                    TaskContinuationOptions.OnlyOnFaulted,
                    TaskScheduler.Default
                );
            try
            {
                await Task.WhenAll(work);
            }
            catch (OperationCanceledException) when (error is not null)
            {
                return error;
            }

            return error;

            async Task LaneAsync()
            {
                await foreach (var segment in _feed.Filled.ReadAllAsync(stop.Token))
                {
                    if (await sender.SendAsync(segment, stop.Token) is { } failure)
                    {
                        Interlocked.CompareExchange(ref error, failure, null);
                        await stop.CancelAsync();
                        return;
                    }

                    _feed.Return(segment);
                    _atSite.Add(segment.Number);
                }
            }
        }

        private async Task ReadAsync(IReadOnlyList<BatchItem> items, CancellationToken cancellationToken)
        {
            long position = 0;
            var abandoned = batch.Abandoned.ToHashSet();
            foreach (var item in items)
            {
                SentItem result;
                if (item.Size > 0 && _feed.Has(position, item.Size))
                {
                    _feed.Skip(item.Size);
                    progress?.Report(item.Size);
                    result = new SentItem(item, null, null, null);
                }
                else
                {
                    using var reading = new ItemReading(item, _feed);
                    result = await reading.ReadAsync(cancellationToken);
                }

                result = result with { IsAbandoned = abandoned.Contains(item.TransferId) };

                position += item.Size;
                await _read.Writer.WriteAsync((result, position), cancellationToken);
            }

            _feed.End();
            _read.Writer.Complete();
        }

        private async Task CompleteAsync(Func<SentItem, CancellationToken, ValueTask> onSent, CancellationToken cancellationToken)
        {
            await foreach (var (item, end) in _read.Reader.ReadAllAsync(cancellationToken))
            {
                await _atSite.UntilAsync(end, cancellationToken);
                await onSent(item, cancellationToken);
            }
        }
    }
}
