using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Contracts;

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
