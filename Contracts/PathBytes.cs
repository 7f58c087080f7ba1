using System.Buffers;
using System.Text;

namespace Librarian.Contracts;

/// <summary>
/// Converts paths and names of files to text without loss. A name is bytes, and instruments write some that are not UTF-8: each such byte
/// becomes an unpaired surrogate, U+DC80 to U+DCFF, as in Python (PEP 383). Text with such surrogates is for this machine's file system
/// only, because nothing else can encode it.
/// </summary>
public static class PathBytes
{
    /// <summary>Returns the text of a name or path.</summary>
    /// <param name="path">Its bytes, without a terminating zero.</param>
    public static string ToText(ReadOnlySpan<byte> path)
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

    /// <summary>Returns the bytes that a text stands for, with a terminating zero, as system calls need them.</summary>
    /// <param name="path">A text that <see cref="ToText"/> returned, or any other.</param>
    /// <exception cref="ArgumentException">
    /// No path has this text: it contains a zero character, or a surrogate that stands for no byte.
    /// </exception>
    public static byte[] ToZeroTerminated(string path)
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

    /// <summary>Whether a text can be written as UTF-8, and so can be sent.</summary>
    public static bool IsUnicode(ReadOnlySpan<char> text)
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
