using System.Text.Json.Serialization;

namespace Librarian.Durable.Engine;

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault
)]
[JsonSerializable(typeof(FailureText))]
[JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class DurableJson : JsonSerializerContext;
