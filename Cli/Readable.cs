using System.Globalization;
using System.Text;

namespace Librarian.Cli;

/// <summary>Numbers and names as people read them.</summary>
internal static class Readable
{
    private static readonly string[] s_units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

    /// <summary>Base 1024 with one decimal, as upstream prints sizes (upstream-behaviour.md §6.1).</summary>
    /// <param name="bytes">Bytes.</param>
    /// <returns>For example <c>599.5 GB</c>.</returns>
    internal static string Size(double bytes)
    {
        var unit = 0;
        for (; Math.Abs(bytes) >= 1024 && unit < s_units.Length - 1; unit++)
            bytes /= 1024;
        return string.Create(CultureInfo.InvariantCulture, $"{bytes:0.0} {s_units[unit]}");
    }

    /// <summary>A length of time in its two largest units.</summary>
    /// <param name="time">Time; a negative one counts as none.</param>
    /// <returns>For example <c>240 ms</c>, <c>1.25 s</c>, <c>3 min 05 s</c>, <c>2 d 04 h</c>.</returns>
    internal static string Duration(TimeSpan time) => time switch
    {
        { TotalMilliseconds: < 1 } => "0 ms",
        { TotalSeconds: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{Math.Round(time.TotalMilliseconds)} ms"),
        { TotalMinutes: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.00} s"),
        { TotalHours: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{time.Minutes} min {time.Seconds:00} s"),
        { TotalDays: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{time.Hours} h {time.Minutes:00} min"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalDays} d {time.Hours:00} h"),
    };

    /// <summary>A length of time in whole seconds or longer units, for times that are known to the second.</summary>
    /// <param name="time">Time; a negative one counts as none.</param>
    /// <returns>For example <c>8 s</c>, <c>3 min 05 s</c>.</returns>
    internal static string Age(TimeSpan time) =>
        time < TimeSpan.FromMinutes(1) ? string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, (int)time.TotalSeconds)} s") : Duration(time);

    /// <summary>
    /// Text from elsewhere made safe for a terminal: control characters, which could move the cursor or fake output, become
    /// <c>\xNN</c>.
    /// </summary>
    /// <param name="text">A name, path or reason.</param>
    /// <returns>Printable text.</returns>
    internal static string Printable(string text)
    {
        if (!text.Any(char.IsControl))
            return text;
        var safe = new StringBuilder();
        foreach (var character in text)
            _ = char.IsControl(character) ? safe.Append(CultureInfo.InvariantCulture, $"\\x{(int)character:x2}") : safe.Append(character);
        return safe.ToString();
    }
}
