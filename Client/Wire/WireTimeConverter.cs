using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Converts times by the rules of <see cref="WireTime"/>; a number is Unix time.</summary>
public sealed class WireTimeConverter : JsonConverter<DateTime>
{
    /// <inheritdoc/>
    public override bool HandleNull => true;

    /// <inheritdoc/>
    public override DateTime Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        DateTime utc = default;
        var valid = reader.TokenType switch
        {
            JsonTokenType.String => WireTime.TryParse(reader.GetString()!, out utc),
            JsonTokenType.Number => reader.TryGetDecimal(out var number) && WireTime.TryFromUnix(number, out utc),
            _ => false,
        };
        return valid ? utc : throw new JsonException("Input should be a valid datetime.");
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, DateTime value, JsonSerializerOptions options) =>
        writer.WriteStringValue(WireTime.Format(value));
}
