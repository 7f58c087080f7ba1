using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>
/// A way to hand over data while the caller waits: the client itself copies on a shared file system
/// (docs/spec/wire.md#synchronous-providers).
/// </summary>
/// <param name="Hostnames">Exact names of the hosts that can write to the staging location; if empty, no host can.</param>
public sealed record SyncProvider(IReadOnlyList<string> Hostnames)
{
    /// <summary>Version of data batches that the site takes (docs/spec/data-batches.md#offer); null if this is not their offer.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? DataVersion { get; init; }

    /// <summary>Fields that the protocol does not define; upstream clients ignore them.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Extra { get; set; }
}

/// <summary>
/// A way to move data between sites in the background. Its fields, not the key in the map, determine its kind
/// (docs/spec/wire.md#asynchronous-providers).
/// </summary>
[JsonConverter(typeof(AsyncProviderConverter))]
public abstract record AsyncProvider
{
    private protected AsyncProvider() { }
}

/// <summary>Transfer by Globus.</summary>
/// <param name="DestinationEndpoint">UUID of the destination's collection.</param>
/// <param name="NativeApp">Whether the destination uses a native-app login.</param>
/// <param name="TransferAttempted">Always false in an offer, because a peer keeps the value that it gets.</param>
/// <param name="TransferComplete">Always false in an offer.</param>
/// <param name="TaskId">Always empty in an offer.</param>
public sealed record GlobusProvider(
    string DestinationEndpoint,
    bool NativeApp = false,
    bool TransferAttempted = false,
    bool TransferComplete = false,
    string TaskId = ""
) : AsyncProvider
{
    /// <summary>Fields that the protocol does not define; upstream peers ignore them.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Extra { get; set; }
}

/// <summary>
/// Transfer by rsync over ssh. An upstream source that picks it gets stuck (docs/spec/wire.md#first-provider), so never list it first for
/// one.
/// </summary>
/// <param name="Hostname">Host of the staging location.</param>
/// <param name="TransferAttempted">Always false in an offer.</param>
/// <param name="TransferComplete">Always false in an offer.</param>
public sealed record RsyncProvider(string Hostname, bool TransferAttempted = false, bool TransferComplete = false) : AsyncProvider
{
    /// <summary>Fields that the protocol does not define; upstream peers ignore them.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Extra { get; set; }
}

/// <summary>Copy on a file system that source and destination share.</summary>
/// <param name="Hostnames">Exact names of the hosts on which both paths are valid.</param>
/// <param name="TransferAttempted">Always false in an offer.</param>
/// <param name="TransferComplete">Always false in an offer.</param>
/// <param name="StartTimeTransfer">Null in an offer.</param>
/// <param name="BytesTransfer">Transferred bytes; null in an offer.</param>
public sealed record LocalProvider(
    IReadOnlyList<string> Hostnames,
    bool TransferAttempted = false,
    bool TransferComplete = false,
    DateTime? StartTimeTransfer = null,
    long? BytesTransfer = null
) : AsyncProvider
{
    /// <summary>Fields that the protocol does not define; upstream peers ignore them.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Extra { get; set; }
}

/// <summary>
/// Transfer as a data batch over HTTPS (docs/spec/data-batches.md#offer). To others it looks like a local provider without hosts.
/// </summary>
/// <param name="DataVersion">Version of data batches.</param>
/// <param name="Hostnames">Always empty.</param>
public sealed record HttpsProvider(int DataVersion, IReadOnlyList<string> Hostnames) : AsyncProvider;

/// <summary>An offer of a kind that this version does not know; kept so that the rest of the response stays readable.</summary>
/// <param name="Fields">The offer as received.</param>
public sealed record UnknownProvider(JsonElement Fields) : AsyncProvider;
