using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Librarian.Tests.Functions.Weaknesses;

/// <summary>
/// A peer over real HTTP whose answers a test decides. Unless told otherwise it takes every file and does as it is told.
/// </summary>
public sealed class FakePeer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly string _staging;
    private readonly ConcurrentDictionary<string, Func<HttpContext, JsonElement, Task<string?>>> _answers = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<(string Path, JsonElement Body)> _calls = new();
    private long _lastId = 100;

    private FakePeer(WebApplication app, string staging) => (_app, _staging) = (app, staging);

    public int Port => new Uri(_app.Urls.Single()).Port;

    /// <summary>State of each transfer that it was told of, by its own id.</summary>
    public ConcurrentDictionary<long, int> States { get; } = new();

    /// <summary>Whether it makes the directories above a file in its staging directory; the Python original does not.</summary>
    public bool MakesParents { get; set; } = true;

    /// <summary>Starts it.</summary>
    /// <param name="staging">Its staging root.</param>
    /// <param name="port">0 for any.</param>
    public static async Task<FakePeer> StartAsync(string staging, int port = 0)
    {
        Directory.CreateDirectory(staging);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{port}");
        var app = builder.Build();
        var peer = new FakePeer(app, staging);
        app.MapPost("/api/v2/{**path}", peer.HandleAsync);
        await app.StartAsync();
        return peer;
    }

    /// <summary>Decides the answers to one path: JSON text (with the status set on the context), or null for the usual one.</summary>
    public void Answer(string path, Func<HttpContext, JsonElement, Task<string?>> answer) => _answers[path] = answer;

    /// <summary>The same without looking at the request.</summary>
    public void Answer(string path, int status, string json) => Answer(path, (context, _) =>
        {
            context.Response.StatusCode = status;
            return Task.FromResult<string?>(json);
        });

    /// <summary>Never answers one path, until the caller goes away.</summary>
    public void Hang(string path) => Answer(path, async (context, _) =>
        {
            await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);
            return "{}";
        });

    /// <summary>Bodies of the calls to one path, oldest first.</summary>
    public IReadOnlyList<JsonElement> Calls(string path) => [.. _calls.Where(c => c.Path == path).Select(c => c.Body)];

    /// <summary>A staging answer that names these places; an entry is source id and location.</summary>
    public string Slots(IEnumerable<(long SourceId, string Location)> places, string? providers = null)
    {
        var uploads = new JsonArray();
        foreach (var (source, location) in places)
        {
            var id = Interlocked.Increment(ref _lastId);
            States[id] = 0;
            uploads.Add(
                new JsonObject
                {
                    ["staging_name"] = "x",
                    ["staging_location"] = location,
                    ["upload_name"] = "x",
                    ["destination_location"] = "x",
                    ["source_transfer_id"] = source,
                    ["destination_transfer_id"] = id,
                }
            );
        }

        return new JsonObject
        {
            ["available_bytes_on_store"] = 1,
            ["store_name"] = "theirs",
            ["uploads"] = uploads,
            ["async_transfer_providers"] = JsonNode.Parse(providers ?? """{"local":{"hostnames":["here"]}}"""),
        }.ToJsonString();
    }

    /// <summary>The usual places for the items of a staging request.</summary>
    public string Slots(IEnumerable<JsonElement> items, string? providers = null) =>
        Slots(
            items
                .Select(item =>
                {
                    var name = item.GetProperty("upload_name").GetString()!;
                    var location = Path.Combine(_staging, Guid.NewGuid().ToString("D"), name);
                    Directory.CreateDirectory(MakesParents ? Path.GetDirectoryName(location)! : location[..^(name.Length + 1)]);
                    return (item.GetProperty("source_transfer_id").GetInt64(), location);
                })
                .ToList(),
            providers
        );

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private async Task HandleAsync(HttpContext context, string path)
    {
        var body = (await JsonDocument.ParseAsync(context.Request.Body)).RootElement;
        path = path.TrimEnd('/');
        var answer = _answers.TryGetValue(path, out var decide) ? await decide(context, body) : null;
        _calls.Enqueue((path, body));
        context.Response.ContentType = "application/json";
        await context.Response.WriteAsync(answer ?? Usual(context, path, body));
    }

    private string Usual(HttpContext context, string path, JsonElement body)
    {
        switch (path)
        {
            case "ping" or "ping/logged":
                return """{"name":"x","description":"y"}""";
            case "clone/batch_stage":
                context.Response.StatusCode = 201;
                return Slots(body.GetProperty("uploads").EnumerateArray());
            case "checkin/update":
                var ids = body.GetProperty("destination_transfer_ids").EnumerateArray().Select(i => i.GetInt64()).ToList();
                foreach (var id in ids)
                    States[id] = body.GetProperty("new_status").GetInt32();
                return $$"""
                    {"modified_source_transfer_ids":[],"modified_destination_transfer_ids":[{{string.Join(',', ids)}}],
                     "unmodified_source_transfer_ids":[],"unmodified_destination_transfer_ids":[],"reasons":[]}
                    """;
            case "checkin/status":
                var states = body.GetProperty("destination_transfer_ids")
                    .EnumerateArray()
                    .Select(i => i.GetInt64())
                    .Distinct()
                    .ToDictionary(i => i.ToString(), i => States.TryGetValue(i, out var state) ? state : (int?)null);
                return $$"""{"source_transfer_status":{},"destination_transfer_status":{{JsonSerializer.Serialize(states)}} }""";
            case "clone/fail":
                States[body.GetProperty("destination_transfer_id").GetInt64()] = 4;
                return $$"""
                    {"source_transfer_id":{{body.GetProperty("source_transfer_id")}},
                     "destination_transfer_id":{{body.GetProperty("destination_transfer_id")}},"success":true}
                    """;
            case "clone/complete":
                return $$"""
                    {"source_transfer_id":{{body.GetProperty("source_transfer_id")}},
                     "destination_transfer_id":{{body.GetProperty("destination_transfer_id")}}}
                    """;
            case "search/file":
                context.Response.StatusCode = 404;
                return """{"reason":"No files found.","suggested_remedy":""}""";
            default:
                context.Response.StatusCode = 404;
                return """{"reason":"Not here.","suggested_remedy":""}""";
        }
    }
}
