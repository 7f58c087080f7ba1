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

/// <summary>
/// Converts enums that travel as integers (docs/spec/wire.md#enums). Accepts integral floats and booleans; refuses numeric strings and
/// names.
/// </summary>
/// <typeparam name="T">An enum whose values are the numbers on the wire.</typeparam>
public sealed class IntegerEnumConverter<T> : JsonConverter<T>
    where T : struct, Enum
{
    private static readonly string s_expected =
        "Input should be "
        + string.Join(" or ", Enum.GetValues<T>().Select(static value => Convert.ToInt32(value, CultureInfo.InvariantCulture)))
        + ".";

    /// <inheritdoc/>
    public override bool HandleNull => true;

    /// <inheritdoc/>
    public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        var number = reader.TokenType switch
        {
            JsonTokenType.True => 1,
            JsonTokenType.False => 0,
            JsonTokenType.Number
                when reader.TryGetDecimal(out var value)
                    && decimal.Truncate(value) == value
                    && value is >= int.MinValue and <= int.MaxValue => (int)value,
            _ => throw new JsonException(s_expected),
        };
        var result = (T)Enum.ToObject(typeof(T), number);
        return Enum.IsDefined(result) ? result : throw new JsonException(s_expected);
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) =>
        writer.WriteNumberValue(Convert.ToInt32(value, CultureInfo.InvariantCulture));
}

/// <summary>Converts enums that travel as lower-case strings with underscores, case-sensitive (docs/spec/wire.md#enums).</summary>
/// <typeparam name="T">An enum whose PascalCase names give the words on the wire.</typeparam>
public sealed class LowerCaseEnumConverter<T> : JsonConverter<T>
    where T : struct, Enum
{
    private static readonly Dictionary<string, T> s_values = Enum.GetValues<T>()
        .ToDictionary(static value => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString()), StringComparer.Ordinal);

    private static readonly Dictionary<T, string> s_words = s_values.ToDictionary(static pair => pair.Value, static pair => pair.Key);

    /// <inheritdoc/>
    public override bool HandleNull => true;

    /// <inheritdoc/>
    public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String && s_values.TryGetValue(reader.GetString()!, out var value)
            ? value
            : throw new JsonException("Input should be one of: " + string.Join(", ", s_values.Keys) + ".");

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) => writer.WriteStringValue(s_words[value]);
}
