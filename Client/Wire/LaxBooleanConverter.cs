using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>
/// Converts booleans by docs/spec/wire.md#numbers-and-booleans. Reads <c>true/false</c>, the numbers 0 and 1, and, in upper or lower case,
/// <c>"0" "1" "t" "f" "true" "false" "y" "n" "yes" "no" "on" "off"</c>; writes plain JSON booleans.
/// </summary>
public sealed class LaxBooleanConverter : JsonConverter<bool>
{
    /// <inheritdoc/>
    public override bool HandleNull => true;

    /// <inheritdoc/>
    public override bool Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType switch
        {
            JsonTokenType.True => true,
            JsonTokenType.False => false,
            JsonTokenType.Number when reader.TryGetDecimal(out var number) && number is 0 or 1 => reader.GetDecimal() == 1,
            JsonTokenType.String => reader.GetString()!.ToUpperInvariant() switch
            {
                "1" or "T" or "TRUE" or "Y" or "YES" or "ON" => true,
                "0" or "F" or "FALSE" or "N" or "NO" or "OFF" => false,
                _ => throw NotBoolean(),
            },
            _ => throw NotBoolean(),
        };

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, bool value, JsonSerializerOptions options) => writer.WriteBooleanValue(value);

    private static JsonException NotBoolean() => new("Input should be a valid boolean.");
}
