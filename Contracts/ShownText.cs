using System.Globalization;
using System.Text;

namespace Librarian.Contracts;

/// <summary>
/// Makes text from elsewhere safe to show. A name may contain anything that a file system can hold. In a terminal, a log or a page it must
/// not move the cursor, begin another line or change the direction of the text that follows.
/// </summary>
public static class ShownText
{
    /// <summary>
    /// Writes control characters, line separators and direction marks as \xNN or \uNNNN, and bytes that are not UTF-8
    /// (<see cref="PathBytes"/>) as \xNN. Everything else stays as it is, also a backslash: the result is for reading, not for parsing.
    /// </summary>
    /// <returns>One line of printable text.</returns>
    public static string Shown(this string text)
    {
        var first = FirstUnfit(text, 0);
        if (first < 0)
            return text;
        var shown = new StringBuilder(text.Length + 16);
        var copied = 0;
        for (var at = first; at >= 0; at = FirstUnfit(text, at + 1))
        {
            var character = text[at];
            _ = shown.Append(text, copied, at - copied);
            _ =
                character is >= '\uDC80' and <= '\uDCFF' ? shown.Append(CultureInfo.InvariantCulture, $"\\x{character & 0xff:x2}")
                : character <= 0xff ? shown.Append(CultureInfo.InvariantCulture, $"\\x{(int)character:x2}")
                : shown.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:x4}");
            copied = at + 1;
        }

        return shown.Append(text, copied, text.Length - copied).ToString();
    }

    private static int FirstUnfit(string text, int start)
    {
        for (var i = start; i < text.Length; i++)
        {
            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
                i++;
            else if (char.IsControl(text[i]) || char.IsSurrogate(text[i]) || IsMark(text[i]))
                return i;
        }

        return -1;
    }

    // Line and paragraph separators; marks, embeddings, overrides and isolates of direction.
    private static bool IsMark(char character) =>
        character
            is '\u2028'
                or '\u2029'
                or '\u061C'
                or '\u200E'
                or '\u200F'
                or (>= '\u202A' and <= '\u202E')
                or (>= '\u2066' and <= '\u2069');
}
