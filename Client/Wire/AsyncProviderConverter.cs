using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>
/// Determines the kind of an <see cref="AsyncProvider"/> by its fields. If several kinds match, Globus wins, then rsync, then data
/// batches, then local.
/// </summary>
public sealed class AsyncProviderConverter : JsonConverter<AsyncProvider>
{
    /// <inheritdoc/>
    public override AsyncProvider Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        var fields = JsonElement.ParseValue(ref reader);
        if (fields.ValueKind != JsonValueKind.Object)
            throw new JsonException("A transfer provider should be an object.");
        return Has(fields, "destination_endpoint", JsonValueKind.String) ? fields.Deserialize(WireJson.Wire.GlobusProvider)!
            : Has(fields, "hostname", JsonValueKind.String) ? fields.Deserialize(WireJson.Wire.RsyncProvider)!
            : Has(fields, "data_version", JsonValueKind.Number) ? fields.Deserialize(WireJson.Wire.HttpsProvider)!
            : Has(fields, "hostnames", JsonValueKind.Array) ? fields.Deserialize(WireJson.Wire.LocalProvider)!
            : new UnknownProvider(fields);
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, AsyncProvider value, JsonSerializerOptions options)
    {
        switch (value)
        {
            case GlobusProvider globus:
                JsonSerializer.Serialize(writer, globus, WireJson.Wire.GlobusProvider);
                break;
            case RsyncProvider rsync:
                JsonSerializer.Serialize(writer, rsync, WireJson.Wire.RsyncProvider);
                break;
            case LocalProvider local:
                JsonSerializer.Serialize(writer, local, WireJson.Wire.LocalProvider);
                break;
            case HttpsProvider https:
                JsonSerializer.Serialize(writer, https, WireJson.Wire.HttpsProvider);
                break;
            case UnknownProvider unknown:
                unknown.Fields.WriteTo(writer);
                break;
            default:
                throw new JsonException($"Unknown transfer provider {value?.GetType().Name}.");
        }
    }

    private static bool Has(JsonElement fields, string name, JsonValueKind kind) =>
        fields.TryGetProperty(name, out var value) && value.ValueKind == kind;
}
