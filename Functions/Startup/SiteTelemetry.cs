using Librarian.Domain.Configuration;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Librarian.Functions.Startup;

/// <summary>
/// Sends spans and metrics to a collector if the standard <c>OTEL_EXPORTER_OTLP_…</c> settings name one; otherwise nothing is collected,
/// at no cost. OpenTelemetry itself reads everything else (protocol, headers, sampling, resource attributes).
/// </summary>
public static class SiteTelemetry
{
    /// <summary>Source of spans and metrics of the durable engine; its name is a public contract.</summary>
    public const string DurableEngine = "Librarian.Durable";

    private const string Endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
    private const string TracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    private const string MetricsEndpoint = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

    /// <summary>Subscribes to this site's spans and metrics if a collector is configured.</summary>
    public static void AddSiteTelemetry(this IHostApplicationBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var settings = builder.Configuration;
        bool IsSet(string name) => !string.IsNullOrEmpty(settings[name]);
        var traces = IsSet(Endpoint) || IsSet(TracesEndpoint);
        var metrics = IsSet(Endpoint) || IsSet(MetricsEndpoint);
        if ((!traces && !metrics) || string.Equals(settings["OTEL_SDK_DISABLED"], "true", StringComparison.OrdinalIgnoreCase))
            return;

        var telemetry = builder
            .Services.AddOpenTelemetry()
            .ConfigureResource(resource =>
            {
                if (!IsSet("OTEL_SERVICE_NAME"))
                {
                    var site = settings[$"{SiteOptions.Section}:{nameof(SiteOptions.Name)}"];
                    resource.AddService("librarian-site", serviceInstanceId: $"{site}@{Environment.MachineName}:{Environment.ProcessId}");
                }
            });
        if (traces)
        {
            // The runtime's own source of outgoing calls needs no instrumentation package.
            telemetry.WithTracing(tracing =>
                tracing.AddSource(DurableEngine, "System.Net.Http").AddAspNetCoreInstrumentation().AddOtlpExporter()
            );
        }

        if (metrics)
            telemetry.WithMetrics(meters =>
                meters.AddMeter(DurableEngine, "System.Net.Http", "System.Runtime").AddAspNetCoreInstrumentation().AddOtlpExporter()
            );
    }
}
