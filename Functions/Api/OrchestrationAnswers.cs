using System.Text.Json;
using Librarian.Client.Wire;
using Microsoft.DurableTask.Client;

namespace Librarian.Functions.Api;

/// <summary>Converts the engine's data to the shapes of the management API.</summary>
internal static class OrchestrationAnswers
{
    internal static OrchestrationInstance Of(
        OrchestrationMetadata instance,
        bool showInput,
        IReadOnlyList<OrchestrationHistoryRow>? history
    ) =>
        new(
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
            history
        );

    /// <summary>Addresses of an instance below <paramref name="root"/>, which ends in a slash.</summary>
    internal static OrchestrationLinks Links(string root, string instanceId)
    {
        var address = $"{root}instances/{Uri.EscapeDataString(instanceId)}";
        return new(
            instanceId,
            address,
            $"{address}/raiseEvent/{{eventName}}",
            $"{address}/terminate?reason={{text}}",
            address,
            $"{address}/restart",
            $"{address}/suspend?reason={{text}}",
            $"{address}/resume?reason={{text}}",
            $"{address}/rewind?reason={{text}}"
        );
    }

    /// <summary>Parses stored text as JSON. A converter may store other text, which becomes a JSON string.</summary>
    internal static JsonElement? Json(string? stored)
    {
        if (stored is null)
            return null;
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
