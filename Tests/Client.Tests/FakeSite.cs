using System.Collections.Concurrent;
using Librarian.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Librarian.Tests.Client;

/// <summary>A site on loopback. The test defines its responses by route; the site records the requests.</summary>
public sealed class FakeSite : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentDictionary<string, Func<HttpContext, string, Task>> _answers = new(StringComparer.Ordinal);

    private FakeSite(string prefix)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _app = builder.Build();
        _app.Run(async context =>
        {
            using var reader = new StreamReader(context.Request.Body);
            var body = await reader.ReadToEndAsync();
            var path = context.Request.Path.Value!;
            Calls.Enqueue(
                new Call(
                    context.Request.Method,
                    path,
                    context.Request.Headers.Authorization.ToString(),
                    context.Request.ContentType,
                    context.Request.ContentLength,
                    context.Request.Headers.ContainsKey("Expect"),
                    body
                )
            );
            var root = prefix + "/api/v2/";
            var route = path.StartsWith(root, StringComparison.Ordinal) ? path[root.Length..] : path[prefix.Length..].TrimStart('/');
            if (_answers.TryGetValue(route, out var answer))
            {
                await answer(context, body);
                return;
            }

            if (Anything is not null)
            {
                await context.Response.WriteAsync(Anything);
                return;
            }

            context.Response.StatusCode = 404;
            await context.Response.WriteAsync("""{"detail":"Not Found"}""");
        });
        Prefix = prefix;
    }

    public sealed record Call(
        string Method,
        string Path,
        string Authorization,
        string? ContentType,
        long? Length,
        bool Expects,
        string Body
    );

    public ConcurrentQueue<Call> Calls { get; } = new();

    /// <summary>Response for every route without its own; null means 404.</summary>
    public string? Anything { get; set; }

    public string Prefix { get; }

    public int Port { get; private set; }

    public SiteConnection Connection { get; private set; } = null!;

    public static async Task<FakeSite> StartAsync(string prefix = "")
    {
        var site = new FakeSite(prefix);
        await site._app.StartAsync();
        site.Port = new Uri(site._app.Urls.Single()).Port;
        Assert.True(SiteConnection.TryCreate("http://127.0.0.1" + prefix, site.Port, "ann", "pa:ss", out var connection, out _));
        site.Connection = connection;
        return site;
    }

    public FakeSite Answer(string route, int status, string? json) => Answer(route, async (context, _) =>
        {
            context.Response.StatusCode = status;
            if (json is null)
                return;
            context.Response.ContentType = "application/json";
            await context.Response.WriteAsync(json);
        });

    public FakeSite Answer(string route, Func<HttpContext, string, Task> answer)
    {
        _answers[route] = answer;
        return this;
    }

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();
}
