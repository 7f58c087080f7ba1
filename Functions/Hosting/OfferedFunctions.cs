using System.Text.Json.Nodes;
using Microsoft.Azure.Functions.Worker.Core.FunctionMetadata;

namespace Librarian.Functions.Hosting;

/// <summary>
/// Describes to a Functions host only those functions that the site's settings offer, with schedules as the site reads them. The host would
/// look up <c>%Schedules:X%</c> in its own environment, which does not have the site's defaults.
/// </summary>
internal sealed class OfferedFunctions(FunctionCatalog catalog, IConfiguration configuration) : IFunctionMetadataTransformer
{
    /// <inheritdoc/>
    public string Name => nameof(OfferedFunctions);

    /// <inheritdoc/>
    public void Transform(IList<IFunctionMetadata> original)
    {
        for (var i = original.Count - 1; i >= 0; i--)
        {
            var function = catalog.Find(original[i].Name);
            if (function is null || !function.IsOffered(configuration) || function.IsDisabled(configuration))
                original.RemoveAt(i);
            else if (function is TimerFunction timer)
                Resolve(original[i].RawBindings!, timer);
        }
    }

    private void Resolve(IList<string> bindings, TimerFunction timer)
    {
        for (var i = 0; i < bindings.Count; i++)
        {
            var binding = JsonNode.Parse(bindings[i])!.AsObject();
            if (!binding.ContainsKey("schedule"))
                continue;
            binding["schedule"] = TimerSchedule.Resolve(timer.Schedule, configuration);
            bindings[i] = binding.ToJsonString();
        }
    }
}
