using Librarian.Domain.Configuration;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Librarian.Functions.Startup;

/// <summary>
/// Sends spans and metrics to a collector when the standard <c>OTEL_EXPORTER_OTLP_…</c> settings name one; otherwise nothing listens and
/// nothing is paid. Everything else (protocol, headers, sampling, resource attributes) is read by OpenTelemetry itself.
/// </summary>
public static class SiteTelemetry
{
    /// <summary>Source of spans and metrics of the durable engine; its name is public contract.</summary>
    public const string DurableEngine = "Librarian.Durable";

    private const string Endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
    private const string TracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    private const string MetricsEndpoint = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

    /// <summary>Subscribes to this site's spans and metrics if there is somewhere to send them.</summary>
    public static void AddSiteTelemetry(this WebApplicationBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var settings = builder.Configuration;
        bool IsSet(string name) => !string.IsNullOrEmpty(settings[name]);
        var traces = IsSet(Endpoint) || IsSet(TracesEndpoint);
        var metrics = IsSet(Endpoint) || IsSet(MetricsEndpoint);
        if ((!traces && !metrics) || string.Equals(settings["OTEL_SDK_DISABLED"], "true", StringComparison.OrdinalIgnoreCase)) return;

        var telemetry = builder.Services.AddOpenTelemetry().ConfigureResource(resource =>
        {
            if (!IsSet("OTEL_SERVICE_NAME"))
                resource.AddService("librarian-site", serviceInstanceId: $"{settings[$"{SiteOptions.Section}:{nameof(SiteOptions.Name)}"]}@{Environment.MachineName}:{Environment.ProcessId}");
        });
        if (traces)
        {
            // The runtime's own source of outgoing calls needs no instrumentation package.
            telemetry.WithTracing(tracing => tracing.AddSource(DurableEngine, "System.Net.Http").AddAspNetCoreInstrumentation().AddOtlpExporter());
        }

        if (metrics)
            telemetry.WithMetrics(meters => meters.AddMeter(DurableEngine, "System.Net.Http", "System.Runtime").AddAspNetCoreInstrumentation().AddOtlpExporter());
    }
}
