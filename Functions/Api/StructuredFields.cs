using System.Globalization;
using Microsoft.Extensions.Primitives;

namespace Librarian.Functions.Api;

/// <summary>
/// Reads the structured fields (RFC 9651) of resumable uploads. A field that is malformed or there twice counts as absent, as the draft
/// demands (docs/spec/data-batches.md#segments).
/// </summary>
internal static class StructuredFields
{
    private const int MaxDigits = 15;

    /// <summary>An item that is a non-negative integer.</summary>
    internal static long? Integer(StringValues field) =>
        field is [{ } text] && text.Trim(' ') is { Length: > 0 and <= MaxDigits } digits && digits.All(char.IsAsciiDigit)
            ? long.Parse(digits, CultureInfo.InvariantCulture)
            : null;

    /// <summary>An item that is a boolean.</summary>
    internal static bool? Boolean(StringValues field) =>
        field is [{ } text]
            ? text.Trim(' ') switch
            {
                "?1" => true,
                "?0" => false,
                _ => null,
            }
            : null;

    /// <summary>A member of a dictionary that is a byte sequence.</summary>
    internal static byte[]? Bytes(StringValues field, string key)
    {
        byte[]? found = null;
        foreach (var member in string.Join(',', field.ToArray()).Split(','))
        {
            var equals = member.IndexOf('=', StringComparison.Ordinal);
            if (equals < 0 || member[..equals].Trim() != key)
                continue;
            var value = member[(equals + 1)..].Trim();
            if (value is not [':', .., ':'] || value.Length < 2)
                return null;
            var bytes = new byte[value.Length];
            // The last member of a name counts (RFC 9651 §4.2.2).
            found = Convert.TryFromBase64String(value[1..^1], bytes, out var written) ? bytes[..written] : null;
        }

        return found;
    }
}
