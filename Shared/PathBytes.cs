using System.Buffers;
using System.Text;

// Compiled into several projects: documentation comments would stand in the XML files of all of them, and the description of the API is
// made from these.
namespace Librarian;

// Paths and names of files as text without loss. A name is bytes, and instruments write some that are no UTF-8; each byte that is none
// becomes an unpaired surrogate, U+DC80 to U+DCFF, as Python has it (PEP 383). Text in which such surrogates stand is for this machine's
// file system only: nothing else can encode it.
internal static class PathBytes
{
    // The text of a name or path.
    // path: Its bytes, without a terminating zero.
    internal static string ToText(ReadOnlySpan<byte> path)
    {
        if (System.Text.Unicode.Utf8.IsValid(path))
            return Encoding.UTF8.GetString(path);
        var text = new StringBuilder(path.Length);
        Span<char> characters = stackalloc char[2];
        while (!path.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(path, out var rune, out var length) == OperationStatus.Done)
                _ = text.Append(characters[..rune.EncodeToUtf16(characters)]);
            else
            {
                foreach (var other in path[..length])
                    _ = text.Append((char)(0xdc00 | other));
            }

            path = path[length..];
        }

        return text.ToString();
    }

    // The bytes that a text stands for, with a terminating zero, as the kernel's calls take them.
    // path: A text that ToText gave, or any ordinary one.
    // Throws ArgumentException: No path has this text: it holds a zero, or a surrogate that stands for no byte.
    internal static byte[] ToZeroTerminated(string path)
    {
        if (path.Contains('\0', StringComparison.Ordinal))
            throw new ArgumentException("A path has no zero character.", nameof(path));
        if (IsUnicode(path))
        {
            var encoded = new byte[Encoding.UTF8.GetByteCount(path) + 1];
            _ = Encoding.UTF8.GetBytes(path, encoded);
            return encoded;
        }

        var bytes = new ArrayBufferWriter<byte>(path.Length + 1);
        for (ReadOnlySpan<char> rest = path; !rest.IsEmpty; )
        {
            if (Rune.DecodeFromUtf16(rest, out var rune, out var length) == OperationStatus.Done)
                bytes.Advance(rune.EncodeToUtf8(bytes.GetSpan(4)));
            else if (rest[0] is >= '\uDC80' and <= '\uDCFF')
                bytes.Write<byte>([(byte)rest[0]]);
            else
                throw new ArgumentException("A path has no unpaired surrogates but those that stand for bytes.", nameof(path));
            rest = rest[length..];
        }

        bytes.Write("\0"u8);
        return bytes.WrittenSpan.ToArray();
    }

    // Whether a text can be written as UTF-8, and so can travel.
    // text: Any text.
    internal static bool IsUnicode(ReadOnlySpan<char> text)
    {
        while (!text.IsEmpty)
        {
            var next = text.IndexOfAnyInRange('\uD800', '\uDFFF');
            if (next < 0)
                return true;
            if (Rune.DecodeFromUtf16(text[next..], out _, out var length) != OperationStatus.Done)
                return false;
            text = text[(next + length)..];
        }

        return true;
    }
}
