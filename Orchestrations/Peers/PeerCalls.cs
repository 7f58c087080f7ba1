namespace Librarian.Orchestrations;

/// <summary>How orchestrations treat activities that talk to a neighbour or to the disk.</summary>
internal static class PeerCalls
{
    private static readonly TimeSpan First = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(10);

    /// <summary>
    /// Expected failures are results and never reach this policy; what does is a fault of our own (database down, disk error),
    /// tried again for a month.
    /// </summary>
    public static readonly TaskOptions Options = TaskOptions.FromRetryPolicy(
        new RetryPolicy(maxNumberOfAttempts: 10_000, First, backoffCoefficient: 2, maxRetryInterval: Longest, retryTimeout: TimeSpan.FromDays(30)));

    /// <summary>Pause before the next try: 1 s, doubling to ten minutes.</summary>
    public static TimeSpan Pause(int earlier) => TimeSpan.FromTicks(Math.Min(Longest.Ticks, First.Ticks << Math.Min(earlier, 16)));
}
