namespace Librarian.Functions.Hosting;

/// <summary>Pauses between attempts to reach a timer store that is away: each is twice as long as the one before.</summary>
internal static class TimerRetry
{
    public static readonly TimeSpan First = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(1);

    public static TimeSpan Longer(TimeSpan pause) => pause * 2 < Longest ? pause * 2 : Longest;
}
