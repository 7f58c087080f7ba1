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
