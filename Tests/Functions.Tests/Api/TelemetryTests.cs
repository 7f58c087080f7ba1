using System.Collections.Concurrent;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Functions.Startup;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;

namespace Librarian.Tests.Functions.Api;

/// <summary>Spans and metrics leave the site only when the standard settings say where to.</summary>
public class TelemetryTests(PostgresServer server)
{
    [Fact]
    public async Task Otlp_EndpointSet_ReceivesSpansAndMetricsOfRequestsAndEngine()
    {
        ConcurrentQueue<(string Path, string Body)> received = new();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        await using var collector = builder.Build();
        collector.Run(async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            received.Enqueue((context.Request.Path, Encoding.Latin1.GetString(body.ToArray())));
            context.Response.ContentType = "application/x-protobuf";
        });
        await collector.StartAsync(TestContext.Current.CancellationToken);

        var site = await TestSite.CreateAsync(
            DatabaseKind.Sqlite,
            server,
            settings: new Dictionary<string, string>
            {
                ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Urls.Single(),
                ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            }
        );
        await using (site)
        {
            // The end of a workflow is where the engine counts.
            var (status, _) = await site.PostAsync(
                "../../durable/v1/orchestrators/IngestStaged/x?timeout=60&pollingInterval=1",
                """{"transferId":"x"}"""
            );
            Assert.Equal(200, (int)status);
            Assert.True(site.Services.GetRequiredService<TracerProvider>().ForceFlush((int)Wait.Limit.TotalMilliseconds));
            Assert.True(site.Services.GetRequiredService<MeterProvider>().ForceFlush((int)Wait.Limit.TotalMilliseconds));
        }

        bool Has(string path, string text) => received.Any(r => r.Path == path && r.Body.Contains(text, StringComparison.Ordinal));
        Assert.True(Has("/v1/traces", "durable/v1/orchestrators/{functionName}"));
        Assert.True(Has("/v1/metrics", SiteTelemetry.DurableEngine));
        Assert.True(Has("/v1/metrics", "http.server.request.duration"));
        Assert.True(Has("/v1/traces", "librarian-site"));
        Assert.True(Has("/v1/traces", "testsite@"));
    }

    [Fact]
    public async Task Otlp_NothingSetOrDisabled_ListensToNothing()
    {
        await using (var plain = await TestSite.CreateAsync(DatabaseKind.Sqlite, server))
            Assert.Null(plain.Services.GetService<TracerProvider>());
        await using var disabled = await TestSite.CreateAsync(
            DatabaseKind.Sqlite,
            server,
            settings: new Dictionary<string, string>
            {
                ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1",
                ["OTEL_SDK_DISABLED"] = "true",
            }
        );
        Assert.Null(disabled.Services.GetService<MeterProvider>());
    }
}
