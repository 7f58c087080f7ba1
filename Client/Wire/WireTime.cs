using System.Globalization;
using System.Text.RegularExpressions;

namespace Librarian.Client.Wire;

/// <summary>Times on the wire (docs/spec/wire.md#times): naive ISO 8601 in UTC, with no fraction or exactly six digits.</summary>
public static partial class WireTime
{
    // Numbers beyond this are milliseconds, not seconds (docs/spec/wire.md#times).
    private const decimal MillisecondsFrom = 20_000_000_000m;

    /// <summary>Writes a time in the wire's format; drops ticks below a microsecond.</summary>
    /// <param name="utc">A UTC time; an unspecified kind counts as UTC.</param>
    /// <returns>For example <c>2026-01-02T03:04:05</c> or <c>2026-01-02T03:04:05.000100</c>.</returns>
    public static string Format(DateTime utc)
    {
        var value = utc.Kind == DateTimeKind.Local ? utc.ToUniversalTime() : utc;
        var format =
            value.Ticks % TimeSpan.TicksPerSecond / TimeSpan.TicksPerMicrosecond == 0
                ? "yyyy-MM-dd'T'HH:mm:ss"
                : "yyyy-MM-dd'T'HH:mm:ss.ffffff";
        return value.ToString(format, CultureInfo.InvariantCulture);
    }

    /// <summary>
    /// Reads the times that peers send: ISO 8601 with <c>T</c>, a space or an underscore, with or without seconds, fraction, <c>Z</c> or
    /// offset; a date alone; Unix seconds (or milliseconds above 2e10) as a numeric string. A time without an offset is UTC. A time with an
    /// offset is converted to UTC and clamped to the range of <see cref="DateTime"/>, because windows use the first and last times of that
    /// range as bounds.
    /// </summary>
    /// <param name="text">The text to read.</param>
    /// <param name="utc">The time, of kind UTC, with the fraction truncated to microseconds.</param>
    /// <returns>Whether <paramref name="text"/> is a time.</returns>
    public static bool TryParse(string text, out DateTime utc)
    {
        ArgumentNullException.ThrowIfNull(text);
        utc = default;
        var match = IsoPattern().Match(text);
        if (!match.Success)
        {
            return decimal.TryParse(
                    text,
                    NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint,
                    CultureInfo.InvariantCulture,
                    out var number
                ) && TryFromUnix(number, out utc);
        }

        int Group(string name) => match.Groups[name].Success ? int.Parse(match.Groups[name].Value, CultureInfo.InvariantCulture) : 0;
        var (year, month, day) = (Group("year"), Group("month"), Group("day"));
        var (hour, minute, second) = (Group("hour"), Group("minute"), Group("second"));
        if (
            year < 1
            || month is < 1 or > 12
            || day < 1
            || day > DateTime.DaysInMonth(year, month)
            || hour > 23
            || minute > 59
            || second > 59
        )
            return false;
        var fraction = match.Groups["fraction"].Value.PadRight(6, '0')[..6];
        var ticks =
            new DateTime(year, month, day, hour, minute, second, DateTimeKind.Utc).Ticks
            + (long.Parse(fraction, CultureInfo.InvariantCulture) * TimeSpan.TicksPerMicrosecond);

        if (match.Groups["sign"].Success)
        {
            var (offsetHours, offsetMinutes) = (Group("oh"), Group("om"));
            if (offsetHours > 23 || offsetMinutes > 59)
                return false;
            var offset = new TimeSpan(offsetHours, offsetMinutes, 0).Ticks;
            ticks += match.Groups["sign"].Value == "+" ? -offset : offset;
        }

        utc = new DateTime(Math.Clamp(ticks, DateTime.MinValue.Ticks, DateTime.MaxValue.Ticks), DateTimeKind.Utc);
        return true;
    }

    internal static bool TryFromUnix(decimal number, out DateTime utc)
    {
        utc = default;
        // 1e15 ms is beyond the year 9999, and the multiplication below cannot overflow.
        if (Math.Abs(number) > 1_000_000_000_000_000m)
            return false;
        var seconds = Math.Abs(number) > MillisecondsFrom ? number / 1000m : number;
        var ticks =
            DateTime.UnixEpoch.Ticks
            + (decimal.Floor(seconds * (TimeSpan.TicksPerSecond / TimeSpan.TicksPerMicrosecond)) * TimeSpan.TicksPerMicrosecond);
        if (ticks < DateTime.MinValue.Ticks || ticks > DateTime.MaxValue.Ticks)
            return false;
        utc = new DateTime((long)ticks, DateTimeKind.Utc);
        return true;
    }

    [GeneratedRegex(
        @"\A(?<year>[0-9]{4})-(?<month>[0-9]{2})-(?<day>[0-9]{2})"
            + @"(?:[Tt _](?<hour>[0-9]{2}):(?<minute>[0-9]{2})(?::(?<second>[0-9]{2})(?:[.,](?<fraction>[0-9]{1,30}))?)?"
            + @"(?:[Zz]|(?<sign>[+-])(?<oh>[0-9]{2}):?(?<om>[0-9]{2}))?)?\z",
        RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant,
        matchTimeoutMilliseconds: 1000
    )]
    private static partial Regex IsoPattern();
}
