using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Paths of the management API for orchestrations below <see cref="Prefix"/> (docs/orchestrations.md).</summary>
public static class OrchestrationRoutes
{
    /// <summary>Prefix of every path, without a leading slash.</summary>
    public const string Prefix = "durable/v1/";

    /// <summary>Starting by orchestrator name.</summary>
    public const string Orchestrators = "orchestrators";

    /// <summary>Everything about instances.</summary>
    public const string Instances = "instances";

    /// <summary>Header with the position of a list's next page.</summary>
    public const string ContinuationHeader = "x-ms-continuation-token";
}

/// <summary>Status of an orchestration; a word on the wire. ContinuedAsNew and Canceled are accepted in filters and never reported.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<OrchestrationState>))]
public enum OrchestrationState
{
    /// <summary>Started and not finished, also while it waits.</summary>
    Running,

    /// <summary>Returned normally; final.</summary>
    Completed,

    /// <summary>Never reported.</summary>
    ContinuedAsNew,

    /// <summary>Ended by an error; final until it is rewound or restarted.</summary>
    Failed,

    /// <summary>Never reported.</summary>
    Canceled,

    /// <summary>Ended by a person or program; final.</summary>
    Terminated,

    /// <summary>Stored, not started.</summary>
    Pending,

    /// <summary>Stopped until it is resumed.</summary>
    Suspended,
}

/// <summary>One instance.</summary>
/// <param name="Name">Name of the orchestrator.</param>
/// <param name="InstanceId">Its id.</param>
/// <param name="RuntimeStatus">Its status.</param>
/// <param name="Input">What it was started with; null also when it was not asked for.</param>
/// <param name="CustomStatus">What it says about itself.</param>
/// <param name="Output">What it returned; a sentence when it failed; the reason when it was terminated.</param>
/// <param name="CreatedTime">UTC, whole seconds.</param>
/// <param name="LastUpdatedTime">UTC, whole seconds.</param>
/// <param name="HistoryEvents">What happened in its current execution, oldest first; absent unless asked for.</param>
public sealed record OrchestrationInstance(
    string Name,
    string InstanceId,
    OrchestrationState RuntimeStatus,
    JsonElement? Input,
    JsonElement? CustomStatus,
    JsonElement? Output,
    [property: JsonConverter(typeof(SecondsTimeConverter))] DateTimeOffset CreatedTime,
    [property: JsonConverter(typeof(SecondsTimeConverter))] DateTimeOffset LastUpdatedTime,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<OrchestrationHistoryRow>? HistoryEvents = null)
{
    /// <summary>Whether the status is final.</summary>
    [JsonIgnore]
    public bool IsFinished => RuntimeStatus is OrchestrationState.Completed or OrchestrationState.Failed or OrchestrationState.Terminated or OrchestrationState.Canceled;
}

/// <summary>
/// One thing that happened. The beginning of an activity, timer or sub-orchestration is a row of its own only while its end is missing.
/// </summary>
/// <param name="EventType">For example <c>TaskCompleted</c>.</param>
/// <param name="Timestamp">UTC, when it happened.</param>
/// <param name="FunctionName">Orchestrator or activity concerned.</param>
/// <param name="ScheduledTime">UTC, when the orchestrator asked for it.</param>
/// <param name="FireAt">UTC, when a timer is due.</param>
/// <param name="Name">Name of an external event.</param>
/// <param name="Result">What came of it; only when asked for.</param>
/// <param name="Input">What it was given; only when asked for.</param>
/// <param name="InstanceId">Sub-orchestration, or target of a sent event, when known.</param>
/// <param name="Reason">Why it failed, was suspended, resumed, terminated or rewound.</param>
/// <param name="Details">Error type and stack trace of a failure; only when results were asked for.</param>
/// <param name="OrchestrationStatus">Status an ExecutionCompleted led to.</param>
public sealed record OrchestrationHistoryRow(
    [property: JsonPropertyName("EventType")] string EventType,
    [property: JsonPropertyName("Timestamp"), JsonConverter(typeof(MillisecondsTimeConverter))] DateTimeOffset Timestamp,
    [property: JsonPropertyName("FunctionName"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? FunctionName = null,
    [property: JsonPropertyName("ScheduledTime"), JsonConverter(typeof(MillisecondsTimeConverter)), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] DateTimeOffset? ScheduledTime = null,
    [property: JsonPropertyName("FireAt"), JsonConverter(typeof(MillisecondsTimeConverter)), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] DateTimeOffset? FireAt = null,
    [property: JsonPropertyName("Name"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Name = null,
    [property: JsonPropertyName("Result"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonElement? Result = null,
    [property: JsonPropertyName("Input"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonElement? Input = null,
    [property: JsonPropertyName("InstanceId"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? InstanceId = null,
    [property: JsonPropertyName("Reason"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Reason = null,
    [property: JsonPropertyName("Details"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Details = null,
    [property: JsonPropertyName("OrchestrationStatus"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? OrchestrationStatus = null);

/// <summary>Addresses of one instance; <c>{eventName}</c> and <c>{text}</c> are to be replaced by the caller.</summary>
/// <param name="Id">Instance id.</param>
/// <param name="StatusQueryGetUri">Its status.</param>
/// <param name="SendEventPostUri">Raises an event.</param>
/// <param name="TerminatePostUri">Ends it.</param>
/// <param name="PurgeHistoryDeleteUri">Removes it once finished.</param>
/// <param name="RestartPostUri">Starts it again.</param>
/// <param name="SuspendPostUri">Stops it for now.</param>
/// <param name="ResumePostUri">Lets it go on.</param>
/// <param name="RewindPostUri">Repeats what failed; an addition to what Durable Functions answers.</param>
public sealed record OrchestrationLinks(
    string Id,
    string StatusQueryGetUri,
    string SendEventPostUri,
    string TerminatePostUri,
    string PurgeHistoryDeleteUri,
    string RestartPostUri,
    string SuspendPostUri,
    string ResumePostUri,
    string RewindPostUri);

/// <summary>200 of a purge.</summary>
/// <param name="InstancesDeleted">Instances removed.</param>
public sealed record OrchestrationsPurged(int InstancesDeleted);

/// <summary>Which instances to list. Null fields do not filter.</summary>
/// <param name="InstanceIdPrefix">The id begins with this.</param>
/// <param name="CreatedTimeFrom">Created at or after.</param>
/// <param name="CreatedTimeTo">Created at or before.</param>
/// <param name="RuntimeStatus">In any of these statuses.</param>
/// <param name="ShowInput">Whether to send inputs.</param>
/// <param name="Top">Instances per page, 1 to 1000.</param>
/// <param name="ContinuationToken">Position given by the page before.</param>
public sealed record OrchestrationQuery(
    string? InstanceIdPrefix = null,
    DateTimeOffset? CreatedTimeFrom = null,
    DateTimeOffset? CreatedTimeTo = null,
    IReadOnlyList<OrchestrationState>? RuntimeStatus = null,
    bool ShowInput = true,
    int? Top = null,
    string? ContinuationToken = null);

/// <summary>Some instances, oldest first.</summary>
/// <param name="Instances">The instances.</param>
/// <param name="ContinuationToken">Position of the next page; null: there is none.</param>
public sealed record OrchestrationPage(IReadOnlyList<OrchestrationInstance> Instances, string? ContinuationToken);

/// <summary>How the models of the management API become JSON: camelCase, nulls present. Use <see cref="Wire"/>.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(OrchestrationInstance))]
[JsonSerializable(typeof(IReadOnlyList<OrchestrationInstance>), TypeInfoPropertyName = "OrchestrationInstanceList")]
[JsonSerializable(typeof(OrchestrationLinks))]
[JsonSerializable(typeof(OrchestrationsPurged))]
public sealed partial class OrchestrationJson : JsonSerializerContext
{
    /// <summary>The context to use: placeholders and non-ASCII text go out raw.</summary>
    public static OrchestrationJson Wire => RawText.Context;

    // A class of its own, because the order of static initialisers across the two halves of a partial class is not defined.
    private static class RawText
    {
        internal static readonly OrchestrationJson Context =
            new(new JsonSerializerOptions(Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
    }
}

/// <summary>UTC as <c>2026-11-24T04:05:06Z</c>; reads any ISO 8601 time.</summary>
public sealed class SecondsTimeConverter : JsonConverter<DateTimeOffset>
{
    /// <inheritdoc/>
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDateTimeOffset();

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.WriteStringValue(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
    }
}

/// <summary>UTC as <c>2026-11-24T04:05:06.789Z</c>; reads any ISO 8601 time.</summary>
public sealed class MillisecondsTimeConverter : JsonConverter<DateTimeOffset>
{
    /// <inheritdoc/>
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDateTimeOffset();

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.WriteStringValue(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
    }
}
