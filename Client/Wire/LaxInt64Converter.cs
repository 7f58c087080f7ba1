using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>
/// Converts 64-bit integers by docs/spec/wire.md#numbers-and-booleans. Reads numbers, integral floats (<c>1.0</c>), digit strings
/// (<c>"18602"</c>) and booleans; writes plain numbers. Object keys are decimal strings.
/// </summary>
public sealed class LaxInt64Converter : JsonConverter<long>
{
    /// <inheritdoc/>
    public override bool HandleNull => true;

    /// <inheritdoc/>
    public override long Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        switch (reader.TokenType)
        {
            case JsonTokenType.True:
                return 1;
            case JsonTokenType.False:
                return 0;
            case JsonTokenType.Number:
                if (reader.TryGetInt64(out var number))
                    return number;
                // decimal keeps every integral float below 2^96 exact; double would round sizes above 2^53.
                if (reader.TryGetDecimal(out var fraction) && TryIntegral(fraction, out number))
                    return number;
                throw new JsonException("Input should be a valid integer of at most 64 bits.");
            case JsonTokenType.String when TryParse(reader.GetString(), out var parsed):
                return parsed;
            default:
                throw new JsonException("Input should be a valid integer.");
        }
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, long value, JsonSerializerOptions options) => writer.WriteNumberValue(value);

    /// <inheritdoc/>
    public override long ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        TryParse(reader.GetString(), out var key) ? key : throw new JsonException("Keys should be valid integers.");

    /// <inheritdoc/>
    public override void WriteAsPropertyName(Utf8JsonWriter writer, long value, JsonSerializerOptions options) =>
        writer.WritePropertyName(value.ToString(CultureInfo.InvariantCulture));

    private static bool TryIntegral(decimal value, out long number)
    {
        var fits = decimal.Truncate(value) == value && value is >= long.MinValue and <= long.MaxValue;
        number = fits ? (long)value : 0;
        return fits;
    }

    private static bool TryParse(string? text, out long number)
    {
        number = 0;
        var trimmed = text?.Trim();
        if (string.IsNullOrEmpty(trimmed))
            return false;
        if (long.TryParse(trimmed, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number))
            return true;
        // "1.0" is valid, "1.5" and "1e3" are not: only zeros may follow the point.
        var point = trimmed.IndexOf('.', StringComparison.Ordinal);
        return point > 0
            && trimmed.AsSpan(point + 1).Trim('0').IsEmpty
            && long.TryParse(trimmed.AsSpan(0, point), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number);
    }
}
