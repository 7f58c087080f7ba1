using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Durable.Engine;

namespace Librarian.Durable.Testing;

/// <summary>An instance's history as stored in a file. A later version of its orchestrator must still be able to replay it.</summary>
/// <param name="OrchestratorName">Registered name of the orchestrator.</param>
/// <param name="InstanceId">Instance id; identifiers that the context makes depend on it.</param>
/// <param name="RuntimeStatus">Status at the time of the recording.</param>
/// <param name="Events">The rows of the current execution, in order.</param>
public sealed record RecordedHistory(
    string OrchestratorName,
    string InstanceId,
    OrchestrationRuntimeStatus RuntimeStatus,
    IReadOnlyList<OrchestrationHistoryEvent> Events
)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter(), new FailureJsonConverter() },
    };

    /// <summary>Version of the instance, or empty.</summary>
    public string Version { get; init; } = "";

    /// <summary>Instance id of the parent if it was a sub-orchestration.</summary>
    public string? ParentInstanceId { get; init; }

    /// <summary>
    /// Reads the text that <see cref="ToJson"/> wrote. Throws <see cref="JsonException"/> if it is not a recorded history.
    /// </summary>
    public static RecordedHistory FromJson(string json) =>
        JsonSerializer.Deserialize<RecordedHistory>(json, Json) ?? throw new JsonException("The text holds no recorded history.");

    /// <summary>Makes the text for a file, readable in a code review.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Json) + "\n";
}
