using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Durable;

namespace Librarian.Functions.Api;

/// <summary>What the engine knows, in the shapes of the management API.</summary>
internal static class OrchestrationAnswers
{
    /// <summary>An instance's status.</summary>
    internal static OrchestrationInstance Of(OrchestrationMetadata instance, bool showInput, IReadOnlyList<OrchestrationHistoryRow>? history) => new(
        instance.Name,
        instance.InstanceId,
        Enum.Parse<OrchestrationState>(instance.RuntimeStatus.ToString()),
        showInput ? Json(instance.SerializedInput) : null,
        Json(instance.SerializedCustomStatus),
        instance.RuntimeStatus == OrchestrationRuntimeStatus.Failed
            ? Text($"Orchestrator function '{instance.Name}' failed: {instance.FailureDetails?.ErrorMessage}")
            : Json(instance.SerializedOutput),
        instance.CreatedAt,
        instance.LastUpdatedAt,
        history);

    /// <summary>Addresses of an instance below <paramref name="root"/>, which ends in a slash.</summary>
    internal static OrchestrationLinks Links(string root, string instanceId)
    {
        var address = $"{root}instances/{Uri.EscapeDataString(instanceId)}";
        return new(instanceId, address, $"{address}/raiseEvent/{{eventName}}", $"{address}/terminate?reason={{text}}", address, $"{address}/restart",
            $"{address}/suspend?reason={{text}}", $"{address}/resume?reason={{text}}", $"{address}/rewind?reason={{text}}");
    }

    /// <summary>Stored text as JSON; a converter may store something else, which is shown as the text it is.</summary>
    internal static JsonElement? Json(string? stored)
    {
        if (stored is null) return null;
        try
        {
            using var document = JsonDocument.Parse(stored);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return Text(stored);
        }
    }

    private static JsonElement Text(string text) => JsonSerializer.SerializeToElement(text);
}
