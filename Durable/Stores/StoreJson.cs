namespace Librarian.Durable.Stores;

[System.Text.Json.Serialization.JsonSerializable(typeof(IReadOnlyCollection<string>))]
[System.Text.Json.Serialization.JsonSerializable(typeof(IReadOnlyCollection<long>))]
internal sealed partial class StoreJson : System.Text.Json.Serialization.JsonSerializerContext;
