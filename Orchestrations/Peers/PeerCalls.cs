using Librarian.Client;

namespace Librarian.Orchestrations;

/// <summary>How orchestrations treat activities that talk to a neighbour or to the disk.</summary>
internal static class PeerCalls
{
    private static readonly TimeSpan First = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan LongestWhenFull = TimeSpan.FromHours(2);

    /// <summary>
    /// Expected failures are results and never reach this policy; what does is a fault of our own (database down, disk error),
    /// tried again for a month.
    /// </summary>
    public static readonly TaskOptions Options = TaskOptions.FromRetryPolicy(
        new RetryPolicy(maxNumberOfAttempts: 10_000, First, backoffCoefficient: 2, maxRetryInterval: Longest, retryTimeout: TimeSpan.FromDays(30)));

    /// <summary>Pause before the next try: up to 1 s, doubling to ten minutes.</summary>
    /// <param name="earlier">Pauses made before.</param>
    /// <param name="chance">From <see cref="TaskOrchestrationContext.NewGuid"/>, so that a replay waits as long.</param>
    public static TimeSpan Pause(int earlier, Guid chance) => Spread(Longest, earlier, chance);

    /// <summary>Pause before a full neighbour is asked again: up to a minute, doubling to two hours.</summary>
    public static TimeSpan PauseWhenFull(int earlier, Guid chance) => Spread(LongestWhenFull, earlier + 6, chance);

    /// <summary>
    /// What an error says about the neighbour as a whole and no request of ours: our account or its address is wrong, so a person has to do something.
    /// </summary>
    public static bool IsForPerson(ReplyError error) => error is Refused { Status: 401 or 403 or 404 or 405 or (>= 300 and < 400) };

    /// <summary>The neighbour is away, overloaded, or speaks nonsense: asking again later may help, asking otherwise does not.</summary>
    public static bool IsForLater(ReplyError error) => error is not Refused refused || refused.Status >= 500 || refused.Status is 408 or 429;

    /// <summary>Between half of the pause and all of it: many that began to wait together do not come back together.</summary>
    private static TimeSpan Spread(TimeSpan longest, int earlier, Guid chance)
    {
        var pause = Math.Min(longest.Ticks, First.Ticks << Math.Min(earlier, 16));
        Span<byte> bytes = stackalloc byte[16];
        chance.TryWriteBytes(bytes);
        return TimeSpan.FromTicks((pause / 2) + (long)(pause / 2 * (BitConverter.ToUInt16(bytes) / 65536.0)));
    }
}
