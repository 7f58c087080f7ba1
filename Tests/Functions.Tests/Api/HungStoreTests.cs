using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Functions.Api;

/// <summary>
/// A store whose file system does not answer (a mount whose server is gone) holds up nobody but those who want that store.
/// </summary>
public sealed class HungStoreTests(PostgresServer server) : IDisposable
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private readonly DirectoryInfo _second = Directory.CreateTempSubdirectory("librarian-second-");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _second.Delete(recursive: true);

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Commit_WhileAnotherStoreDoesNotAnswer_EndsAtOnce(DatabaseKind kind)
    {
        var main = new HungStore();
        await using var site = await CreateAsync(kind, services => services.AddSingleton<IStoreFaults>(main));
        var onMain = await FilledAsync(site, "on-main");
        await SwitchAsync(site, "main", enabled: false);
        var onSecond = await FilledAsync(site, "on-second");
        await SwitchAsync(site, "main", enabled: true);

        Task<(HttpStatusCode Status, System.Text.Json.JsonElement Body)> waiting;
        await using (var hang = main.Hang())
        {
            waiting = site.CommitAsync(onMain, "on-main");
            await hang.ProbedAtAsync(Stop);
            Assert.Equal(HttpStatusCode.OK, (await site.CommitAsync(onSecond, "on-second", store: "second")).Status);
        }

        // On a machine that was busy for ten seconds it has been told that the store does not answer.
        Assert.Contains((await waiting).Status, new[] { HttpStatusCode.OK, HttpStatusCode.BadRequest });
        Assert.Equal(HttpStatusCode.OK, await CommitAfterwardsAsync(site, onMain));
    }

    [Fact]
    public async Task Look_AtAStoreThatDoesNotAnswer_IsSharedAndGivenUp()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var main = new HungStore();
        await using var site = await CreateAsync(DatabaseKind.Sqlite, services =>
            services.AddSingleton(s => new SiteStores(
                s.GetRequiredService<CatalogDatabase>(),
                s.GetRequiredService<IOptions<SiteOptions>>(),
                s.GetRequiredService<ILogger<SiteStores>>(),
                time,
                main
            ))
        );
        var onMain = await FilledAsync(site, "on-main");
        var stores = site.Services.GetRequiredService<SiteStores>();
        await using (var hang = main.Hang())
        {
            var commit = site.CommitAsync(onMain, "on-main");
            await hang.ProbedAtAsync(Stop);
            var probes = Enumerable.Range(0, 100).Select(_ => stores.ProbeAsync(stores.Configured[0], Stop)).ToList();
            Assert.All(probes, l => Assert.False(l.IsCompleted));
            // The commit may begin to wait a moment after the look has begun.
            for (var given = false; !given || !commit.IsCompleted; given = true)
            {
                time.Advance(StoreProbes.ProbeTimeout);
                await Task.Yield();
            }

            Assert.All(await Task.WhenAll(probes), l => Assert.Equal(StoreProbe.NoAnswer, l));
            // The next store takes what the first cannot.
            Assert.StartsWith(_second.FullName, (await site.StageAsync("elsewhere", HelloSum, 11)).Location, StringComparison.Ordinal);
            var (status, body) = await commit;
            Assert.Equal(HttpStatusCode.BadRequest, status);
            Assert.Equal(
                "Store 'main' does not answer. The staged data wait; commit again later.",
                body.GetProperty("suggested_remedy").GetString()
            );
            // Who comes now does not wait, and takes no thread: a second look would hang a second time.
            Assert.Equal(StoreProbe.NoAnswer, await stores.ProbeAsync(stores.Configured[0], Stop));
            var (_, list) = await site.PostAsync("admin/stores/list", null);
            Assert.Equal([false, true], list.EnumerateArray().Select(s => s.GetProperty("available").GetBoolean()));
        }

        Assert.Equal(HttpStatusCode.OK, await CommitAfterwardsAsync(site, onMain));
    }

    private Task<TestSite> CreateAsync(DatabaseKind kind, Action<IServiceCollection>? services = null) =>
        TestSite.CreateAsync(
            kind,
            server,
            services,
            new Dictionary<string, string>
            {
                ["Site:Stores:1:Name"] = "second",
                ["Site:Stores:1:StagingPath"] = Path.Combine(_second.FullName, "staging"),
                ["Site:Stores:1:StorePath"] = Path.Combine(_second.FullName, "store"),
            }
        );

    private static async Task<long> FilledAsync(TestSite site, string name)
    {
        var (id, location, _) = await site.StageAsync(name, HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world", Stop);
        return id;
    }

    /// <summary>The look that hung ends a moment after its file system answers again.</summary>
    private static async Task<HttpStatusCode> CommitAfterwardsAsync(TestSite site, long id)
    {
        HttpStatusCode status;
        do status = (await site.CommitAsync(id, "on-main")).Status;
        while (status == HttpStatusCode.BadRequest && !Stop.IsCancellationRequested);
        return status;
    }

    private static async Task SwitchAsync(TestSite site, string store, bool enabled) =>
        Assert.Equal(
            HttpStatusCode.OK,
            (
                await site.PostAsync(
                    "admin/stores/state_change",
                    $$"""{"store_name":"{{store}}","enabled":{{(enabled ? "true" : "false")}}}"""
                )
            ).Status
        );

    /// <summary>A store whose file system answers nobody until this is disposed.</summary>
    private sealed class HungStore : IStoreFaults, IAsyncDisposable
    {
        private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly ManualResetEventSlim _answers = new(initialState: true);

        public void Reach(string point)
        {
            if (point != "identify main" || _answers.IsSet)
                return;
            _asked.TrySetResult();
            _answers.Wait();
        }

        public HungStore Hang()
        {
            _answers.Reset();
            return this;
        }

        /// <summary>Ends when somebody has begun to look.</summary>
        public Task ProbedAtAsync(CancellationToken cancellationToken) => _asked.Task.WaitAsync(cancellationToken);

        public ValueTask DisposeAsync()
        {
            _answers.Set();
            return ValueTask.CompletedTask;
        }
    }
}
