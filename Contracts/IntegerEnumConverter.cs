using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Contracts;

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
