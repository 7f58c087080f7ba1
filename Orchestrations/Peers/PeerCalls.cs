using Librarian.Client;

namespace Librarian.Orchestrations.Peers;

/// <summary>Retry rules of orchestrations for activities that call a peer or use the disk.</summary>
internal static class PeerCalls
{
    private static readonly TimeSpan First = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan LongestWhenFull = TimeSpan.FromHours(2);

    /// <summary>
    /// Expected failures are results and never reach this policy. It handles internal faults (database down, disk error) and retries for a
    /// month.
    /// </summary>
    public static readonly TaskOptions Options = TaskOptions.FromRetryPolicy(
        new RetryPolicy(
            maxNumberOfAttempts: 10_000,
            First,
            backoffCoefficient: 2,
            maxRetryInterval: Longest,
            retryTimeout: TimeSpan.FromDays(30)
        )
    );

    /// <summary>Pause before the next attempt: up to 1 s, doubling to ten minutes.</summary>
    /// <param name="earlier">Number of earlier pauses.</param>
    /// <param name="chance">Value from <see cref="TaskOrchestrationContext.NewGuid"/>, so that a replay makes the same pause.</param>
    public static TimeSpan Pause(int earlier, Guid chance) => Spread(Longest, earlier, chance);

    /// <summary>Pause before a full peer is asked again: up to 64 seconds, doubling to two hours.</summary>
    public static TimeSpan PauseWhenFull(int earlier, Guid chance) => Spread(LongestWhenFull, earlier + 6, chance);

    /// <summary>Shortest time between a futile wake-up and the next one: four seconds, doubling to ten minutes.</summary>
    /// <param name="futile">Number of futile wake-ups in a row.</param>
    public static TimeSpan BetweenWakeUps(int futile) =>
        TimeSpan.FromTicks(Math.Min(Longest.Ticks, First.Ticks << Math.Min(futile + 1, 16)));

    /// <summary>
    /// The error concerns the peer as a whole and not this request: the account there or the address is wrong, so a person has to act.
    /// </summary>
    public static bool IsForPerson(ReplyError error) => error is Refused { Status: 401 or 403 or 404 or 405 or (>= 300 and < 400) };

    /// <summary>The peer is away, overloaded, or answers nonsense: a later attempt may succeed, a different request will not.</summary>
    public static bool IsForLater(ReplyError error) =>
        error is not Refused refused || refused.Status >= 500 || refused.Status is 408 or 429;

    /// <summary>Classifies the answer to <c>clone/complete</c> or <c>checkin/update</c>.</summary>
    /// <param name="error">Null if the source accepted the notification.</param>
    public static NotificationOutcome OutcomeOf(ReplyError? error) =>
        error switch
        {
            null => NotificationOutcome.Notified,
            Refused { Status: 406 } => NotificationOutcome.Ambiguous,
            // The source's own error may concern this transfer alone. A silent source, or a proxy's error page, concerns them all.
            Refused { Status: 500 } or Malformed => NotificationOutcome.Failed,
            // The source has lost the registration of this site, not the transfer (docs/spec/wire.md#clone-complete).
            Refused { Status: 400 } refused when refused.Reason.Contains("librarian", StringComparison.OrdinalIgnoreCase) =>
                NotificationOutcome.Away,
            _ when IsForLater(error) || IsForPerson(error) => NotificationOutcome.Away,
            _ => NotificationOutcome.Notified,
        };

    /// <summary>
    /// A random time between half of the pause and all of it, so that workflows that began to wait together do not return together.
    /// </summary>
    private static TimeSpan Spread(TimeSpan longest, int earlier, Guid chance)
    {
        var pause = Math.Min(longest.Ticks, First.Ticks << Math.Min(earlier, 16));
        Span<byte> bytes = stackalloc byte[16];
        chance.TryWriteBytes(bytes);
        return TimeSpan.FromTicks((pause / 2) + (long)(pause / 2 * (BitConverter.ToUInt16(bytes) / 65536.0)));
    }
}
