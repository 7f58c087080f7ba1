using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Normalises paths when reading and writing (docs/spec/wire.md#paths).</summary>
public sealed class WirePathConverter : JsonConverter<string>
{
    /// <inheritdoc/>
    public override string Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String
            ? PathText.Normalise(reader.GetString()!)
            : throw new JsonException("Input should be a valid path string.");

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, string value, JsonSerializerOptions options) =>
        writer.WriteStringValue(PathText.Normalise(value));
}
