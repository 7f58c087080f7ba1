using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Durable.Engine;

/// <summary>Reads and writes failures in their stored form; serializing Microsoft's record directly would lose details.</summary>
internal sealed class FailureJsonConverter : JsonConverter<TaskFailureDetails>
{
    public override TaskFailureDetails? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        JsonSerializer.Deserialize(ref reader, DurableJson.Default.FailureText)?.ToFailure();

    public override void Write(Utf8JsonWriter writer, TaskFailureDetails value, JsonSerializerOptions options) =>
        JsonSerializer.Serialize(writer, FailureText.Of(value), DurableJson.Default.FailureText);
}
