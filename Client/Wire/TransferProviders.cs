using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>A way to hand over data while the caller waits: a copy by the client itself on a shared file system (wire.md §5.1).</summary>
/// <param name="Hostnames">Hosts, by exact name, on which the staging location can be written; empty means nobody may.</param>
public sealed record SyncProvider(IReadOnlyList<string> Hostnames)
{
    /// <summary>Fields beyond the protocol's; upstream clients ignore them.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Extra { get; set; }
}

/// <summary>
/// A way to move data in the background between sites. The fields, never the map's key, say which kind it is (wire.md §5.2).
/// </summary>
[JsonConverter(typeof(AsyncProviderConverter))]
public abstract record AsyncProvider
{
    private protected AsyncProvider()
    {
    }
}

/// <summary>Transfer by Globus.</summary>
/// <param name="DestinationEndpoint">Collection UUID of the destination.</param>
/// <param name="NativeApp">Whether the destination uses a native-app login.</param>
/// <param name="TransferAttempted">Always false in an offer: a peer keeps the value it gets.</param>
/// <param name="TransferComplete">Always false in an offer.</param>
/// <param name="TaskId">Always empty in an offer.</param>
public sealed record GlobusProvider(
    string DestinationEndpoint,
    bool NativeApp = false,
    bool TransferAttempted = false,
    bool TransferComplete = false,
    string TaskId = "") : AsyncProvider
{
    /// <summary>Fields beyond the protocol's; upstream peers ignore them.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Extra { get; set; }
}

/// <summary>Transfer by rsync over ssh. An upstream source that picks it jams (wire.md §5.3): never list it first for one.</summary>
/// <param name="Hostname">Host the staging location lives on.</param>
/// <param name="TransferAttempted">Always false in an offer.</param>
/// <param name="TransferComplete">Always false in an offer.</param>
public sealed record RsyncProvider(string Hostname, bool TransferAttempted = false, bool TransferComplete = false) : AsyncProvider
{
    /// <summary>Fields beyond the protocol's; upstream peers ignore them.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Extra { get; set; }
}

/// <summary>Copy on a file system that source and destination share.</summary>
/// <param name="Hostnames">Hosts, by exact name, on which both paths are valid.</param>
/// <param name="TransferAttempted">Always false in an offer.</param>
/// <param name="TransferComplete">Always false in an offer.</param>
/// <param name="StartTimeTransfer">Null in an offer.</param>
/// <param name="BytesTransfer">Null in an offer; bytes.</param>
public sealed record LocalProvider(
    IReadOnlyList<string> Hostnames,
    bool TransferAttempted = false,
    bool TransferComplete = false,
    DateTime? StartTimeTransfer = null,
    long? BytesTransfer = null) : AsyncProvider
{
    /// <summary>Fields beyond the protocol's; upstream peers ignore them.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Extra { get; set; }
}

/// <summary>An offer of a kind this version does not know; kept so that the rest of the answer stays readable.</summary>
/// <param name="Fields">The offer as received.</param>
public sealed record UnknownProvider(JsonElement Fields) : AsyncProvider;

/// <summary>Chooses the kind of an <see cref="AsyncProvider"/> by its fields; with several present the order is Globus, rsync, local.</summary>
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
            : Has(fields, "hostnames", JsonValueKind.Array) ? fields.Deserialize(WireJson.Wire.LocalProvider)!
            : new UnknownProvider(fields);
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, AsyncProvider value, JsonSerializerOptions options)
    {
        switch (value)
        {
            case GlobusProvider globus: JsonSerializer.Serialize(writer, globus, WireJson.Wire.GlobusProvider); break;
            case RsyncProvider rsync: JsonSerializer.Serialize(writer, rsync, WireJson.Wire.RsyncProvider); break;
            case LocalProvider local: JsonSerializer.Serialize(writer, local, WireJson.Wire.LocalProvider); break;
            case UnknownProvider unknown: unknown.Fields.WriteTo(writer); break;
            default: throw new JsonException($"Unknown transfer provider {value?.GetType().Name}.");
        }
    }

    private static bool Has(JsonElement fields, string name, JsonValueKind kind) =>
        fields.TryGetProperty(name, out var value) && value.ValueKind == kind;
}
