using System.IO.Hashing;
using Librarian.Client.Wire;

namespace Librarian.Client.DataBatches;

/// <summary>
/// Sends one segment until the site has all of it. A lost connection, a busy or a full site is repeated from the offset that the site
/// names, for as long as bytes arrive; anything else ends it.
/// </summary>
/// <param name="client">Client of the site.</param>
/// <param name="batch">The batch as it was when the sending began.</param>
/// <param name="progressTimeout">How long to go on while no byte arrives.</param>
/// <param name="time">Clock for the pauses.</param>
/// <param name="onBytes">Called with the number of bytes that were given to the network.</param>
internal sealed class SegmentSender(
    LibrarianClient client,
    DataBatchState batch,
    TimeSpan progressTimeout,
    TimeProvider time,
    Action<int> onBytes
)
{
    private const int MaxRestarts = 5;
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    /// <returns>Null when the site has the segment; otherwise why not.</returns>
    internal async Task<ReplyError?> SendAsync(FilledSegment segment, CancellationToken cancellationToken)
    {
        var digest = XxHash128.Hash(segment.Bytes);
        var address = new SegmentAddress(batch.Id, segment.Number, batch.Generations.GetValueOrDefault(segment.Number));
        long offset = 0;
        var (restarts, pauses) = (0, 0);
        var lastProgress = time.GetTimestamp();
        // A segment of which nothing is known may have been begun before.
        var isKnown = address.Generation == 0 && batch.Generations.Count == 0 && IsFresh(batch);
        while (true)
        {
            var reply = isKnown
                ? await client.AppendSegmentAsync(
                    address,
                    new SegmentRest(offset, segment.Bytes.AsMemory((int)offset), segment.HasFill ? null : digest),
                    onBytes,
                    cancellationToken
                )
                : await client.GetSegmentAsync(address, cancellationToken);
            if (reply.IsSuccess)
            {
                if (reply.Value.IsComplete || (segment.HasFill && isKnown && reply.Value.Offset == segment.Bytes.Count))
                    return null;
                if (reply.Value.Offset > offset)
                    (lastProgress, pauses) = (time.GetTimestamp(), 0);
                else if (isKnown && reply.Value.Offset == offset && restarts++ > MaxRestarts)
                    return new Malformed(200, $"The site takes no bytes of segment {segment.Number}.");
                (offset, isKnown) = (Math.Clamp(reply.Value.Offset, 0, segment.Bytes.Count), true);
                continue;
            }

            switch (reply.Error)
            {
                case Refused { Status: 410 or 422 or 500 } when restarts++ < MaxRestarts:
                    if (await RestartAsync(segment.Number, cancellationToken) is not { } next)
                        return reply.Error;
                    if (next.IsComplete(segment.Number))
                        return null;
                    address = address with { Generation = next.Generations.GetValueOrDefault(segment.Number) };
                    (offset, isKnown) = (0, false);
                    break;
                case Unreachable
                or Refused { Status: 429 or 502 or 503 or 504 or 507 } when time.GetElapsedTime(lastProgress) < progressTimeout:
                    await Task.Delay(PauseAfter(reply.Error, pauses++), time, cancellationToken);
                    isKnown = false;
                    break;
                default:
                    return reply.Error;
            }
        }
    }

    private static bool IsFresh(DataBatchState state) => Array.TrueForAll(state.Complete, static b => b == 0);

    private static TimeSpan PauseAfter(ReplyError error, int pauses)
    {
        var wait = (error as Refused)?.RetryAfter ?? TimeSpan.FromSeconds(1 << Math.Min(pauses, 5));
        return wait < LongestPause ? wait : LongestPause;
    }

    private async Task<DataBatchState?> RestartAsync(int segment, CancellationToken cancellationToken)
    {
        var state = await client.GetDataBatchAsync(batch.Id, cancellationToken);
        return state.IsSuccess && segment < state.Value.Segments ? state.Value : null;
    }
}
