using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

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
[JsonSerializable(typeof(ManifestHeader))]
[JsonSerializable(typeof(ManifestFile))]
[JsonSerializable(typeof(ManifestMember))]
[JsonSerializable(typeof(ManifestEnd))]
[JsonSerializable(typeof(ReceiptHeader))]
[JsonSerializable(typeof(ReceiptLine))]
[JsonSerializable(typeof(ReceiptEnd))]
[JsonSerializable(typeof(UpstreamEntry))]
[JsonSerializable(typeof(string))]
internal sealed partial class DriveJson : JsonSerializerContext;

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
