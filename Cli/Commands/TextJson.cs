using System.Text.Json;

namespace Librarian.Cli.Commands;

/// <summary>Values as JSON on one line.</summary>
[System.Text.Json.Serialization.JsonSerializable(typeof(JsonElement))]
internal sealed partial class TextJson : System.Text.Json.Serialization.JsonSerializerContext;
