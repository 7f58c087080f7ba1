using System.Globalization;

namespace Librarian.Cli.Output;

/// <summary>Formats numbers and names for people.</summary>
internal static class Readable
{
    private static readonly string[] s_units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

    /// <summary>Formats a size in base 1024 with one decimal, as upstream prints sizes (docs/spec/upstream.md#sizes).</summary>
    /// <param name="bytes">Size in bytes.</param>
    /// <returns>For example <c>599.5 GB</c>.</returns>
    internal static string Size(double bytes)
    {
        var unit = 0;
        for (; Math.Abs(bytes) >= 1024 && unit < s_units.Length - 1; unit++)
            bytes /= 1024;
        return string.Create(CultureInfo.InvariantCulture, $"{bytes:0.0} {s_units[unit]}");
    }

    /// <summary>Formats a duration in its largest one or two units.</summary>
    /// <param name="time">Duration; a negative one counts as zero.</param>
    /// <returns>For example <c>240 ms</c>, <c>1.25 s</c>, <c>3 min 05 s</c>, <c>2 d 04 h</c>.</returns>
    internal static string Duration(TimeSpan time) =>
        time switch
        {
            { TotalMilliseconds: < 1 } => "0 ms",
            { TotalSeconds: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{Math.Round(time.TotalMilliseconds)} ms"),
            { TotalMinutes: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.00} s"),
            { TotalHours: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{time.Minutes} min {time.Seconds:00} s"),
            { TotalDays: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{time.Hours} h {time.Minutes:00} min"),
            _ => string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalDays} d {time.Hours:00} h"),
        };

    /// <summary>Formats a duration that is known to the second, in whole seconds or larger units.</summary>
    /// <param name="time">Duration; a negative one counts as zero.</param>
    /// <returns>For example <c>8 s</c>, <c>3 min 05 s</c>.</returns>
    internal static string Age(TimeSpan time) =>
        time < TimeSpan.FromMinutes(1)
            ? string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, (int)time.TotalSeconds)} s")
            : Duration(time);

    /// <summary>Makes text from elsewhere safe for a terminal.</summary>
    /// <param name="text">A name, path or reason.</param>
    /// <returns>One line of printable text.</returns>
    internal static string Printable(string text) => text.Shown();
}
