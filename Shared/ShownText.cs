using System.Globalization;
using System.Text;

// Compiled into several projects: documentation comments would stand in the XML files of all of them, and the description of the API is
// made from these.
namespace Librarian;

// Text from elsewhere as a person may see it. A name may hold anything that a file system holds: in a terminal, a log or a page it must
// neither move the cursor, nor begin another line, nor turn the reading direction of what follows.
internal static class ShownText
{
    // Control characters, line separators and marks of direction as \xNN or \uNNNN, bytes that are no UTF-8 (PathBytes)
    // as \xNN. Everything else stays as it is, a backslash too: this is for reading, not for reading back.
    // text: Any text.
    // One line of printable text.
    internal static string Shown(this string text)
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
