using System.Buffers;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Librarian.Domain.Formats;

/// <summary>Format and version in the first line of any of the formats, read before the rest of the line is trusted.</summary>
internal sealed record FormatLine(string? Format = null, int? Version = null);

/// <summary>How files in the formats of this project (docs/formats) are read and written as JSON.</summary>
internal static class FormatJson
{
    internal static readonly JsonWriterOptions OneLine = new() { Encoder = new RequiredEscapes(), SkipValidation = true };

    internal static readonly JsonWriterOptions Indented = new()
    {
        Encoder = new RequiredEscapes(),
        Indented = true,
        NewLine = "\n",
    };

    /// <summary>Parses a file or a line as a record; null when it is none.</summary>
    internal static T? Parse<T>(ReadOnlySpan<byte> json, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(json, type);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>
/// Escapes only what JSON requires (RFC 8259 §7). The encoders of .NET escape more, including characters that their version of Unicode does
/// not know: the bytes of a manifest would change with the runtime.
/// </summary>
internal sealed unsafe class RequiredEscapes : JavaScriptEncoder
{
    private const string Required =
        "\0\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f"
        + "\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f\"\\";

    private static readonly SearchValues<char> s_characters = SearchValues.Create(Required);
    private static readonly SearchValues<byte> s_bytes = SearchValues.Create(Required.Select(c => (byte)c).ToArray());

    public override int MaxOutputCharactersPerInputCharacter => 6;

    public override int FindFirstCharacterToEncode(char* text, int textLength) =>
        new ReadOnlySpan<char>(text, textLength).IndexOfAny(s_characters);

    public override int FindFirstCharacterToEncodeUtf8(ReadOnlySpan<byte> utf8Text) => utf8Text.IndexOfAny(s_bytes);

    public override bool WillEncode(int unicodeScalar) => unicodeScalar is < 0x20 or '"' or '\\';

    public override bool TryEncodeUnicodeScalar(int unicodeScalar, char* buffer, int bufferLength, out int numberOfCharactersWritten)
    {
        var escape = unicodeScalar switch
        {
            '"' => "\\\"",
            '\\' => @"\\",
            '\b' => @"\b",
            '\t' => @"\t",
            '\n' => @"\n",
            '\f' => @"\f",
            '\r' => @"\r",
            < 0x20 => $"\\u{unicodeScalar:x4}",
            _ => char.ConvertFromUtf32(unicodeScalar),
        };
        var fits = escape.TryCopyTo(new Span<char>(buffer, bufferLength));
        numberOfCharactersWritten = fits ? escape.Length : 0;
        return fits;
    }
}

/// <summary>UTC with exactly six digits and <c>Z</c>; ticks below a microsecond are dropped, no other form is read.</summary>
internal sealed class DriveTimeConverter : JsonConverter<DateTime>
{
    private const string Pattern = "yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'";

    internal static string Format(DateTime utc) =>
        (utc.Kind == DateTimeKind.Local ? utc.ToUniversalTime() : utc).ToString(Pattern, CultureInfo.InvariantCulture);

    public override DateTime Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String
        && DateTime.TryParseExact(
            reader.GetString(),
            Pattern,
            CultureInfo.InvariantCulture,
            DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
            out var utc
        )
            ? utc
            : throw new JsonException("Not a time in UTC with six digits.");

    public override void Write(Utf8JsonWriter writer, DateTime value, JsonSerializerOptions options) =>
        writer.WriteStringValue(Format(value));
}
