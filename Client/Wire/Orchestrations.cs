using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Paths of the management API for orchestrations, below <see cref="Prefix"/> (docs/orchestrations.md).</summary>
public static class OrchestrationRoutes
{
    /// <summary>Prefix of every path, without a leading slash.</summary>
    public const string Prefix = "durable/v1/";

    /// <summary>Starts an orchestration by its name.</summary>
    public const string Orchestrators = "orchestrators";

    /// <summary>Path of all calls about instances.</summary>
    public const string Instances = "instances";

    /// <summary>Header with the position of the next page of a list.</summary>
    public const string ContinuationHeader = "x-ms-continuation-token";
}

/// <summary>
/// Status of an orchestration; a word on the wire. Filters accept ContinuedAsNew and Canceled, but no instance reports them.
/// </summary>
[JsonConverter(typeof(JsonStringEnumConverter<OrchestrationState>))]
public enum OrchestrationState
{
    /// <summary>Started and not finished; also while it waits.</summary>
    Running,

    /// <summary>Returned normally; final.</summary>
    Completed,

    /// <summary>Never reported.</summary>
    ContinuedAsNew,

    /// <summary>Ended by an error; final unless it is rewound or restarted.</summary>
    Failed,

    /// <summary>Never reported.</summary>
    Canceled,

    /// <summary>Ended by a person or program; final.</summary>
    Terminated,

    /// <summary>Stored but not started.</summary>
    Pending,

    /// <summary>Suspended until it is resumed.</summary>
    Suspended,
}

/// <summary>One orchestration instance.</summary>
/// <param name="Name">Name of the orchestrator.</param>
/// <param name="InstanceId">Id of the instance.</param>
/// <param name="RuntimeStatus">Status of the instance.</param>
/// <param name="Input">Input of the instance; also null if the query did not ask for it.</param>
/// <param name="CustomStatus">Status that the orchestrator sets itself.</param>
/// <param name="Output">Result; a sentence if the instance failed; the reason if it was terminated.</param>
/// <param name="CreatedTime">UTC, whole seconds.</param>
/// <param name="LastUpdatedTime">UTC, whole seconds.</param>
/// <param name="HistoryEvents">History of the current execution, oldest event first; absent if the query did not ask for it.</param>
public sealed record OrchestrationInstance(
    string Name,
    string InstanceId,
    OrchestrationState RuntimeStatus,
    JsonElement? Input,
    JsonElement? CustomStatus,
    JsonElement? Output,
    [property: JsonConverter(typeof(SecondsTimeConverter))] DateTimeOffset CreatedTime,
    [property: JsonConverter(typeof(SecondsTimeConverter))] DateTimeOffset LastUpdatedTime,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<OrchestrationHistoryRow>? HistoryEvents = null
)
{
    /// <summary>Whether the status is final.</summary>
    [JsonIgnore]
    public bool IsFinished =>
        RuntimeStatus
            is OrchestrationState.Completed
                or OrchestrationState.Failed
                or OrchestrationState.Terminated
                or OrchestrationState.Canceled;
}

/// <summary>
/// One event of a history. The start of an activity, timer or sub-orchestration has its own row only while its end is missing.
/// </summary>
/// <param name="EventType">Type of the event, for example <c>TaskCompleted</c>.</param>
/// <param name="Timestamp">Time of the event, UTC.</param>
/// <param name="FunctionName">Name of the orchestrator or activity.</param>
/// <param name="ScheduledTime">Time at which the orchestrator scheduled it, UTC.</param>
/// <param name="FireAt">Time at which a timer is due, UTC.</param>
/// <param name="Name">Name of an external event.</param>
/// <param name="Result">Result; only on request.</param>
/// <param name="Input">Input; only on request.</param>
/// <param name="InstanceId">Sub-orchestration, or target of a sent event, if known.</param>
/// <param name="Reason">Reason for a failure, suspension, resumption, termination or rewind.</param>
/// <param name="Details">Error type and stack trace of a failure; only if results were requested.</param>
/// <param name="OrchestrationStatus">Status after an ExecutionCompleted event.</param>
public sealed record OrchestrationHistoryRow(
    [property: JsonPropertyName("EventType")] string EventType,
    [property: JsonPropertyName("Timestamp"), JsonConverter(typeof(MillisecondsTimeConverter))] DateTimeOffset Timestamp,
    [property: JsonPropertyName("FunctionName"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? FunctionName = null,
    [property:
        JsonPropertyName("ScheduledTime"),
        JsonConverter(typeof(MillisecondsTimeConverter)),
        JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)
    ]
        DateTimeOffset? ScheduledTime = null,
    [property:
        JsonPropertyName("FireAt"),
        JsonConverter(typeof(MillisecondsTimeConverter)),
        JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)
    ]
        DateTimeOffset? FireAt = null,
    [property: JsonPropertyName("Name"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Name = null,
    [property: JsonPropertyName("Result"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonElement? Result = null,
    [property: JsonPropertyName("Input"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonElement? Input = null,
    [property: JsonPropertyName("InstanceId"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? InstanceId = null,
    [property: JsonPropertyName("Reason"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Reason = null,
    [property: JsonPropertyName("Details"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Details = null,
    [property: JsonPropertyName("OrchestrationStatus"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        string? OrchestrationStatus = null
);

/// <summary>Addresses for one instance; the caller replaces <c>{eventName}</c> and <c>{text}</c>.</summary>
/// <param name="Id">Id of the instance.</param>
/// <param name="StatusQueryGetUri">Gets the status.</param>
/// <param name="SendEventPostUri">Raises an event.</param>
/// <param name="TerminatePostUri">Terminates the instance.</param>
/// <param name="PurgeHistoryDeleteUri">Removes the finished instance.</param>
/// <param name="RestartPostUri">Starts the instance again.</param>
/// <param name="SuspendPostUri">Suspends the instance.</param>
/// <param name="ResumePostUri">Resumes the instance.</param>
/// <param name="RewindPostUri">Repeats the failed steps; Durable Functions does not send this address.</param>
public sealed record OrchestrationLinks(
    string Id,
    string StatusQueryGetUri,
    string SendEventPostUri,
    string TerminatePostUri,
    string PurgeHistoryDeleteUri,
    string RestartPostUri,
    string SuspendPostUri,
    string ResumePostUri,
    string RewindPostUri
);

/// <summary>Response 200 of a purge.</summary>
/// <param name="InstancesDeleted">Number of removed instances.</param>
public sealed record OrchestrationsPurged(int InstancesDeleted);

/// <summary>Filter and page of a list of instances. Null fields do not filter.</summary>
/// <param name="InstanceIdPrefix">Prefix of the id.</param>
/// <param name="CreatedTimeFrom">Earliest creation time.</param>
/// <param name="CreatedTimeTo">Latest creation time.</param>
/// <param name="RuntimeStatus">Accepted statuses.</param>
/// <param name="ShowInput">Whether to include inputs.</param>
/// <param name="Top">Instances per page, 1 to 1000.</param>
/// <param name="ContinuationToken">Position that the previous page gave.</param>
public sealed record OrchestrationQuery(
    string? InstanceIdPrefix = null,
    DateTimeOffset? CreatedTimeFrom = null,
    DateTimeOffset? CreatedTimeTo = null,
    IReadOnlyList<OrchestrationState>? RuntimeStatus = null,
    bool ShowInput = true,
    int? Top = null,
    string? ContinuationToken = null
);

/// <summary>One page of instances, oldest first.</summary>
/// <param name="Instances">The instances.</param>
/// <param name="ContinuationToken">Position of the next page, or null after the last page.</param>
public sealed record OrchestrationPage(IReadOnlyList<OrchestrationInstance> Instances, string? ContinuationToken);

/// <summary>JSON settings for the models of the management API: camelCase, nulls present. Use <see cref="Wire"/>.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true
)]
[JsonSerializable(typeof(OrchestrationInstance))]
[JsonSerializable(typeof(IReadOnlyList<OrchestrationInstance>), TypeInfoPropertyName = "OrchestrationInstanceList")]
[JsonSerializable(typeof(OrchestrationLinks))]
[JsonSerializable(typeof(OrchestrationsPurged))]
public sealed partial class OrchestrationJson : JsonSerializerContext
{
    /// <summary>The context to use; it writes placeholders and non-ASCII text unescaped.</summary>
    public static OrchestrationJson Wire => RawText.Context;

    // A separate class, because the order of static initialisers across the two parts of a partial class is undefined.
    private static class RawText
    {
        internal static readonly OrchestrationJson Context = new(
            new JsonSerializerOptions(Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }
        );
    }
}

/// <summary>Writes UTC as <c>2026-11-24T04:05:06Z</c>; reads any ISO 8601 time.</summary>
public sealed class SecondsTimeConverter : JsonConverter<DateTimeOffset>
{
    /// <inheritdoc/>
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.GetDateTimeOffset();

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.WriteStringValue(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
    }
}

/// <summary>Writes UTC as <c>2026-11-24T04:05:06.789Z</c>; reads any ISO 8601 time.</summary>
public sealed class MillisecondsTimeConverter : JsonConverter<DateTimeOffset>
{
    /// <inheritdoc/>
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.GetDateTimeOffset();

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.WriteStringValue(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
    }
}
