using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Domain.Drives;

/// <summary>An outcome as its lower-case name.</summary>
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
