using System.Buffers;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Domain.Drives;

/// <summary>Format and version in the first line of any of the formats, read before the rest of the line is trusted.</summary>
internal sealed record FormatLine(string? Format = null, int? Version = null);

/// <summary>Last line of a manifest.</summary>
internal sealed record ManifestEnd(string End, long Files, long Members, long Bytes, string Sha256, string Signature);

/// <summary>Last line of a receipt.</summary>
internal sealed record ReceiptEnd(string End, long Files, string Sha256, string Signature);

/// <summary>JSON of the formats' lines. Unknown keys are ignored, missing or repeated ones refused.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    AllowDuplicateProperties = false,
    Converters = [typeof(DriveTimeConverter)]
)]
[JsonSerializable(typeof(FormatLine))]
[JsonSerializable(typeof(DriveMarker))]
[JsonSerializable(typeof(ManifestHeader))]
[JsonSerializable(typeof(ManifestFile))]
[JsonSerializable(typeof(ManifestMember))]
[JsonSerializable(typeof(ManifestEnd))]
[JsonSerializable(typeof(ReceiptHeader))]
[JsonSerializable(typeof(ReceiptLine))]
[JsonSerializable(typeof(ReceiptEnd))]
[JsonSerializable(typeof(UpstreamEntry))]
[JsonSerializable(typeof(string))]
internal sealed partial class DriveJson : JsonSerializerContext
{
    internal static readonly JsonWriterOptions OneLine = new() { Encoder = new RequiredEscapes(), SkipValidation = true };

    internal static readonly JsonWriterOptions Indented = new()
    {
        Encoder = new RequiredEscapes(),
        Indented = true,
        NewLine = "\n",
    };
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

/// <summary>
/// Times as the Python Librarian writes them: UTC without a zone, with six digits or none (docs/spec/wire.md#times). Offsets are read too,
/// and converted; ticks below a microsecond are dropped.
/// </summary>
internal sealed class NaiveTimeConverter : JsonConverter<DateTime>
{
    private static readonly string[] s_forms =
    [
        "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK",
        "yyyy-MM-dd' 'HH:mm:ss.FFFFFFFK",
        "yyyy-MM-dd'T'HH:mmK",
        "yyyy-MM-dd' 'HH:mmK",
        "yyyy-MM-dd",
    ];

    public override DateTime Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String
        && DateTime.TryParseExact(
            reader.GetString(),
            s_forms,
            CultureInfo.InvariantCulture,
            DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
            out var utc
        )
            ? new DateTime(utc.Ticks - (utc.Ticks % TimeSpan.TicksPerMicrosecond), DateTimeKind.Utc)
            : throw new JsonException("Not a time.");

    public override void Write(Utf8JsonWriter writer, DateTime value, JsonSerializerOptions options)
    {
        var whole = value.Ticks % TimeSpan.TicksPerSecond / TimeSpan.TicksPerMicrosecond == 0;
        writer.WriteStringValue(
            value.ToString(whole ? "yyyy-MM-dd'T'HH:mm:ss" : "yyyy-MM-dd'T'HH:mm:ss.ffffff", CultureInfo.InvariantCulture)
        );
    }
}

/// <summary>Writes an outcome as its lower-case name.</summary>
internal sealed class ReceiptOutcomeConverter : JsonConverter<ReceiptOutcome>
{
    public override ReceiptOutcome Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType != JsonTokenType.String ? throw new JsonException("An outcome is a text.")
        : reader.ValueTextEquals("stored"u8) ? ReceiptOutcome.Stored
        : reader.ValueTextEquals("failed"u8) ? ReceiptOutcome.Failed
        : throw new JsonException("An outcome is 'stored' or 'failed'.");

    public override void Write(Utf8JsonWriter writer, ReceiptOutcome value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value == ReceiptOutcome.Stored ? "stored"u8 : "failed"u8);
}
