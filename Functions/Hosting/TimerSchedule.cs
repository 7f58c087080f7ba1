using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using NCrontab;

namespace Librarian.Functions.Hosting;

/// <summary>A parsed timer schedule: NCRONTAB in the site's local time zone, or a plain interval.</summary>
public sealed class TimerSchedule
{
    private readonly CrontabSchedule? _cron;
    private readonly TimeSpan _interval;

    private TimerSchedule(string text, CrontabSchedule? cron, TimeSpan interval)
    {
        Text = text;
        _cron = cron;
        _interval = interval;
    }

    /// <summary>The schedule as configured, with its setting resolved.</summary>
    public string Text { get; }

    /// <summary>Parses NCRONTAB of six or five fields or an interval <c>hh:mm:ss</c>.</summary>
    /// <param name="text">The schedule, settings already resolved.</param>
    /// <param name="schedule">The result.</param>
    /// <param name="error">What is wrong with it, as a clause.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out TimerSchedule? schedule, [NotNullWhen(false)] out string? error)
    {
        schedule = null;
        error = null;
        var trimmed = text.Trim();
        var fields = trimmed.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (fields.Length is 5 or 6)
        {
            var cron = CrontabSchedule.TryParse(trimmed, new CrontabSchedule.ParseOptions { IncludingSeconds = fields.Length == 6 });
            if (cron is null)
                error = "is not valid NCRONTAB (lists, ranges, steps and names are; L, W, # and ? are not)";
            else if (Never(cron.GetNextOccurrence(new DateTime(2000, 1, 1))))
                error = "names a date that never comes";
            else
                schedule = new TimerSchedule(trimmed, cron, default);
        }
        else if (fields.Length == 1 && trimmed.Contains(':') && TimeSpan.TryParse(trimmed, CultureInfo.InvariantCulture, out var interval))
        {
            if (interval < TimeSpan.FromSeconds(1))
                error = "is an interval below one second";
            else
                schedule = new TimerSchedule(trimmed, null, interval);
        }
        else
        {
            error = "is neither NCRONTAB of six (or five) fields nor an interval hh:mm:ss";
        }

        return schedule is not null;
    }

    /// <summary>The setting's name, with <c>:</c>, if the whole text is <c>%Name%</c>; otherwise null.</summary>
    public static string? SettingName(string text)
    {
        var trimmed = text.Trim();
        return trimmed.Length > 2 && trimmed[0] == '%' && trimmed[^1] == '%'
            ? trimmed[1..^1].Replace("__", ":", StringComparison.Ordinal)
            : null;
    }

    /// <summary>
    /// Looks up <c>%Setting%</c> (written with <c>:</c> or <c>__</c>) and returns the schedule text, or null if the setting is missing.
    /// </summary>
    public static string? Resolve(string text, IConfiguration configuration)
    {
        if (SettingName(text) is not { } setting)
            return text;
        var value = configuration[setting];
        return string.IsNullOrWhiteSpace(value) ? null : value;
    }

    /// <summary>
    /// First occurrence strictly after <paramref name="after"/>, in UTC. Wall-clock times that the change to summer time skips run at the
    /// change; the hour that is repeated in autumn counts twice.
    /// </summary>
    /// <param name="after">Start of the search.</param>
    /// <param name="zone">Zone of the NCRONTAB fields; intervals ignore it.</param>
    public DateTimeOffset NextAfter(DateTimeOffset after, TimeZoneInfo zone)
    {
        if (_cron is null)
            return after.ToUniversalTime() + _interval;

        // Search with a constant offset; where the real offset changes before the hit, go on from the change with the new one.
        var from = after.UtcDateTime;
        var offset = zone.GetUtcOffset(from);
        var wallClock = from + offset;
        while (true)
        {
            var hit = _cron.GetNextOccurrence(DateTime.SpecifyKind(wallClock, DateTimeKind.Unspecified));
            if (Never(hit))
                return DateTimeOffset.MaxValue;
            var utc = DateTime.SpecifyKind(hit - offset, DateTimeKind.Utc);
            if (zone.GetUtcOffset(utc) == offset)
                return new DateTimeOffset(utc);

            var change = OffsetChange(from, utc, offset, zone);
            var newOffset = zone.GetUtcOffset(change);
            if (hit < change + newOffset)
                return new DateTimeOffset(change);
            from = change;
            offset = newOffset;
            wallClock = change + newOffset - TimeSpan.FromSeconds(1);
        }
    }

    private static bool Never(DateTime occurrence) => occurrence.Year >= 9999;

    private static DateTime OffsetChange(DateTime before, DateTime after, TimeSpan offset, TimeZoneInfo zone)
    {
        var low = before.Ticks / TimeSpan.TicksPerSecond;
        var high = after.Ticks / TimeSpan.TicksPerSecond;
        while (high - low > 1)
        {
            var middle = low + ((high - low) / 2);
            if (zone.GetUtcOffset(new DateTime(middle * TimeSpan.TicksPerSecond, DateTimeKind.Utc)) == offset)
                low = middle;
            else
                high = middle;
        }

        return new DateTime(high * TimeSpan.TicksPerSecond, DateTimeKind.Utc);
    }
}
