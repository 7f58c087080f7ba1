using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Durable;
using Librarian.Tests.TestKit;
using Microsoft.DurableTask;
using Microsoft.DurableTask.Client;
using Microsoft.DurableTask.Worker;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

/// <summary>What the site said.</summary>
public sealed record Answer(HttpStatusCode Status, string Text, HttpResponseHeaders Headers, string? ContentType)
{
    public JsonElement Json => JsonDocument.Parse(Text).RootElement;

    public int Code => (int)Status;

    public string? Header(string name) => Headers.TryGetValues(name, out var values) ? string.Join(',', values) : null;
}

/// <summary>A whole site with orchestrators made for the tests, shared by the tests of a class.</summary>
public abstract class DurableSite(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    public TestSite Site { get; private set; } = null!;

    public DatabaseDurableTaskClient Client => Site.Services.GetRequiredService<DatabaseDurableTaskClient>();

    /// <summary>Activities of that name fail as long as it is here; tests take it away.</summary>
    public System.Collections.Concurrent.ConcurrentDictionary<string, bool> Broken { get; } = new(StringComparer.Ordinal);

    public async ValueTask InitializeAsync() => Site = await TestSite.CreateAsync(kind, server, services =>
        {
            services.AddDurableTaskWorker(durable =>
                durable.AddTasks(tasks =>
                    tasks
                        .AddOrchestrator("echo", () => new Echo())
                        .AddOrchestrator("wait", () => new Wait())
                        .AddOrchestrator("fail", () => new Fail())
                        .AddOrchestrator("story", () => new Story())
                        .AddOrchestrator("mend", () => new Mend())
                        .AddActivity("shout", _ => new Shout())
                        .AddActivity("fragile", _ => new Fragile(Broken))
                )
            );
        });

    public async ValueTask DisposeAsync()
    {
        await Site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    public async Task<Answer> CallAsync(
        HttpMethod method,
        string path,
        string? body = null,
        string user = "admin",
        string contentType = "application/json",
        params (string Name, string Value)[] headers
    )
    {
        using var request = new HttpRequestMessage(method, path.StartsWith('/') ? path : "/durable/v1/" + path);
        if (body is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            request.Content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        }

        request.Headers.TryAddWithoutValidation("Authorization", TestSite.Basic(user, TestSite.Password(user)));
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        using var response = await Site.Http.SendAsync(request);
        return new(
            response.StatusCode,
            await response.Content.ReadAsStringAsync(),
            response.Headers,
            response.Content.Headers.ContentType?.MediaType
        );
    }

    public Task<Answer> GetAsync(string path, string user = "admin") => CallAsync(HttpMethod.Get, path, user: user);

    public Task<Answer> PostAsync(string path, string? body = null) => CallAsync(HttpMethod.Post, path, body);

    public Task<Answer> DeleteAsync(string path) => CallAsync(HttpMethod.Delete, path);

    /// <summary>Starts and waits until it is no longer Pending.</summary>
    public async Task<string> RunningAsync(string id, string name = "wait")
    {
        Assert.Equal(202, (await PostAsync($"orchestrators/{name}/{id}")).Code);
        await Client.WaitForInstanceStartAsync(id);
        return id;
    }

    /// <summary>Starts and waits for the end.</summary>
    public async Task<string> EndedAsync(string id, string name = "echo", string? input = null)
    {
        Assert.Equal(202, (await PostAsync($"orchestrators/{name}/{id}", input)).Code);
        await EndAsync(id);
        return id;
    }

    /// <summary>Waits for the end, not forever.</summary>
    public async Task<OrchestrationMetadata> EndAsync(string id)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        return await Client.WaitForInstanceCompletionAsync(id, getInputsAndOutputs: true, limit.Token);
    }

    /// <summary>Waits for a status that only a worker can bring about.</summary>
    public Task UntilAsync(string id, OrchestrationRuntimeStatus status) =>
        TestKit.Wait.UntilAsync(async () => (await Client.GetInstanceAsync(id))?.RuntimeStatus == status, $"{id} {status}");

    private sealed class Echo : TaskOrchestrator<JsonElement?, JsonElement?>
    {
        public override Task<JsonElement?> RunAsync(TaskOrchestrationContext context, JsonElement? input) => Task.FromResult(input);
    }

    private sealed class Wait : TaskOrchestrator<JsonElement?, JsonElement?>
    {
        public override async Task<JsonElement?> RunAsync(TaskOrchestrationContext context, JsonElement? input)
        {
            context.SetCustomStatus(new { stage = "waiting" });
            return await context.WaitForExternalEvent<JsonElement?>("go");
        }
    }

    private sealed class Fail : TaskOrchestrator<JsonElement?, string>
    {
        public override Task<string> RunAsync(TaskOrchestrationContext context, JsonElement? input) =>
            throw new InvalidOperationException("it broke");
    }

    /// <summary>One of everything a history can hold, then a wait with an activity, timer and child still open.</summary>
    private sealed class Story : TaskOrchestrator<string, string>
    {
        public override async Task<string> RunAsync(TaskOrchestrationContext context, string input)
        {
            await context.CallActivityAsync<string>("shout", input);
            try
            {
                await context.CallActivityAsync<string>("fragile", "story");
            }
            catch (TaskFailedException)
            {
                // Part of the story.
            }

            await context.CallSubOrchestratorAsync<JsonElement?>(
                "echo",
                7,
                new SubOrchestrationOptions(instanceId: context.InstanceId + "-child")
            );
            await context.CreateTimer(TimeSpan.FromMilliseconds(1), CancellationToken.None);
            await context.WaitForExternalEvent<string>("go");
            _ = context.CallSubOrchestratorAsync<JsonElement?>(
                "wait",
                8,
                new SubOrchestrationOptions(instanceId: context.InstanceId + "-open")
            );
            _ = context.CreateTimer(TimeSpan.FromHours(1), CancellationToken.None);
            await context.WaitForExternalEvent<string>("end");
            return "done";
        }
    }

    /// <summary>Fails with its activity; a rewind can mend it.</summary>
    private sealed class Mend : TaskOrchestrator<string, string>
    {
        public override async Task<string> RunAsync(TaskOrchestrationContext context, string input)
        {
            var first = await context.CallActivityAsync<string>("shout", input);
            return first + await context.CallActivityAsync<string>("fragile", context.InstanceId);
        }
    }

    private sealed class Shout : TaskActivity<string, string>
    {
        public override Task<string> RunAsync(TaskActivityContext context, string input) => Task.FromResult(input + "!");
    }

    private sealed class Fragile(System.Collections.Concurrent.ConcurrentDictionary<string, bool> broken) : TaskActivity<string, string>
    {
        public override Task<string> RunAsync(TaskActivityContext context, string input) =>
            broken.ContainsKey(input) || input == "story" ? throw new IOException($"{input} is broken") : Task.FromResult("mended");
    }
}

public sealed class PostgresDurableSite(PostgresServer server) : DurableSite(server, DatabaseKind.PostgreSql);

public sealed class SqliteDurableSite(PostgresServer server) : DurableSite(server, DatabaseKind.Sqlite);
