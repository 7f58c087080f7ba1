using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Durable;
using Librarian.Functions.Startup;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Drives;
using Librarian.Orchestrations.Incoming;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.Functions.Peers;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Librarian.Tests.Functions.Hub;

/// <summary>Sites whose workflows run on an external Durable Task hub (Site:Durable:Grpc), real ones over sockets.</summary>
public sealed class HubTests(PostgresServer server)
{
    public static TheoryData<DatabaseKind> Kinds() => [DatabaseKind.Sqlite, DatabaseKind.PostgreSql];

    [Theory, MemberData(nameof(Kinds))]
    public async Task Upload_OnAHub_IsIngestedByAWorkflowThere(DatabaseKind kind)
    {
        var address = TaskHub.FreeAddress();
        await using var hub = await TaskHub.StartAsync(address);
        await using var site = await SiteAsync(kind, address);
        var (id, location, _) = await site.StageAsync("f", PeerFixture.HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        Assert.Equal(HttpStatusCode.OK, (await site.CommitAsync(id, "f")).Status);
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(site.StorePath, "f")));
        Assert.Equal([IncomingWorkflows.InstanceId(id)], hub.Started);
        await using var db = site.Catalog.Open();
        Assert.Equal(1, await db.Copies.CountAsync());
    }

    [Fact]
    public async Task Check_HubThatAnswersAndThatIsAway_SaysSo()
    {
        var address = TaskHub.FreeAddress();
        async Task<(int Code, string Lines)> CheckAsync()
        {
            var root = Path.Combine(Path.GetTempPath(), "librarian-no-such-site");
            var settings = new Dictionary<string, string?>
            {
                ["Site:Name"] = "site",
                ["Site:PublicBaseUrl"] = "http://127.0.0.1:1",
                ["Site:DataDirectory"] = root,
                ["Site:Stores:0:Name"] = "main",
                ["Site:Stores:0:StagingPath"] = Path.Combine(root, "staging"),
                ["Site:Stores:0:StorePath"] = Path.Combine(root, "store"),
                ["Site:Durable:Grpc"] = address.AbsoluteUri,
            };
            var output = new StringWriter(CultureInfo.InvariantCulture);
            var configuration = new ConfigurationBuilder().AddInMemoryCollection(settings).Build();
            var stop = TestContext.Current.CancellationToken;
            return (await SiteCheck.RunAsync(() => configuration, output, TimeProvider.System, stop), output.ToString());
        }

        var (code, lines) = await CheckAsync();
        Assert.Equal(1, code);
        Assert.Contains($"error    {"hub:", -10} {address} does not answer: Unavailable", lines, StringComparison.Ordinal);

        await using var hub = await TaskHub.StartAsync(address);
        (code, lines) = await CheckAsync();
        Assert.True(code == 0, lines);
        Assert.Contains($"ok       {"hub:", -10} {address}", lines, StringComparison.Ordinal);
        Assert.Empty(hub.Started);
    }

    /// <summary>The commit is done and the start never sent, as after a kill between the two; later runs start nothing.</summary>
    [Theory, MemberData(nameof(Kinds))]
    public async Task Commit_HubAway_IsKeptAndStartedOnceByTheTimer(DatabaseKind kind)
    {
        var address = TaskHub.FreeAddress();
        var log = new HubLog();
        await using var site = await SiteAsync(kind, address, log: log);
        var (id, location, _) = await site.StageAsync("f", PeerFixture.HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        // Again and again, and yet one line.
        for (var i = 0; i < 3; i++)
        {
            var (status, body) = await site.CommitAsync(id, "f");
            Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
            Assert.StartsWith("HubUnavailable: ", body.GetProperty("reason").GetString(), StringComparison.Ordinal);
        }

        await UntilAsync(() => Task.FromResult(!log.Lines.IsEmpty));
        Assert.Equal(TransferStatus.Staged, await StatusAsync(site, id));
        Assert.False(File.Exists(Path.Combine(site.StorePath, "f")));

        await using var hub = await TaskHub.StartAsync(address);
        var arrivals = site.Services.GetRequiredService<IncomingWorkflows>();
        await UntilAsync(async () =>
        {
            await arrivals.StartAllStagedAsync(CancellationToken.None);
            return await StatusAsync(site, id) == TransferStatus.Completed;
        });
        await arrivals.StartAllStagedAsync(CancellationToken.None);
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(site.StorePath, "f")));
        Assert.Equal(HttpStatusCode.OK, (await site.CommitAsync(id, "f")).Status);
        Assert.Equal([IncomingWorkflows.InstanceId(id)], hub.Started.Distinct());
        await using (var db = site.Catalog.Open())
            Assert.Equal(1, await db.Copies.CountAsync());
        await UntilAsync(() => Task.FromResult(log.Lines.Count == 2));
        string[] said =
        [
            $"The Durable Task hub at {address} (Site:Durable:Grpc) cannot be reached.",
            $"The Durable Task hub at {address} can be reached again; workflows go on",
        ];
        Assert.Equal(said, log.Lines.Select(line => line.Split(" Workflows wait")[0]));
    }

    /// <summary>Drivers use their transactions' objects again: what went with one that was not committed goes with no later one.</summary>
    [Theory, MemberData(nameof(Kinds))]
    public async Task Start_InATransactionThatIsNotCommitted_IsNotSent(DatabaseKind kind)
    {
        var address = TaskHub.FreeAddress();
        await using var hub = await TaskHub.StartAsync(address);
        await using var site = await SiteAsync(kind, address);
        await StartAsync(site, 998, commit: false);
        await StartAsync(site, 999, commit: true);
        await UntilAsync(() => Task.FromResult(hub.Started.Contains(IncomingWorkflows.InstanceId(999))));
        Assert.Equal([IncomingWorkflows.InstanceId(999)], hub.Started);
    }

    /// <summary>End to end; the start of the batch meets a hub that is away, and the next search for files makes up for it.</summary>
    [Fact]
    public async Task Clone_BetweenSitesOnHubsOfTheirOwn_ArrivesOnceAndIsAcknowledged()
    {
        var (here, there) = (TaskHub.FreeAddress(), TaskHub.FreeAddress());
        await using var archiveHub = await TaskHub.StartAsync(there);
        await using var archive = await SiteAsync(DatabaseKind.Sqlite, there, new() { ["Site:Name"] = "archive" });
        await using var mountain = await SiteAsync(
            DatabaseKind.Sqlite,
            here,
            new()
            {
                ["Site:Name"] = "mountain",
                ["Site:Peers:0:Name"] = "archive",
                ["Site:Peers:0:Send"] = "true",
                ["Site:Peers:0:LocalRoots:0"] = archive.StagingPath,
            }
        );
        await IntroduceAsync(mountain, "archive", 2, archive, "mountain");
        await IntroduceAsync(archive, "mountain", 3, mountain, "archive");
        await File.WriteAllTextAsync(Path.Combine(mountain.StorePath, "f"), "hello world");
        await using (var db = mountain.Catalog.Open())
        {
            var (now, sum) = (DateTime.UtcNow, PeerFixture.HelloSum);
            db.Files.Add(
                new FileRecord
                {
                    Name = "f",
                    CreateTime = now,
                    Size = 11,
                    Checksum = sum,
                    Uploader = "u",
                    Source = "u",
                }
            );
            db.Copies.Add(
                new FileCopy
                {
                    Path = "f",
                    FileName = "f",
                    StoreId = 1,
                    DeletionPolicy = DeletionPolicy.Disallowed,
                    CreatedTime = now,
                    Available = true,
                }
            );
            await db.SaveChangesAsync();
        }

        var scheduler = mountain.Services.GetRequiredService<CloneScheduler>();
        Assert.Equal(1, await scheduler.ScheduleAsync(CancellationToken.None));
        await using var mountainHub = await TaskHub.StartAsync(here);
        await UntilAsync(async () =>
        {
            Assert.Equal(0, await scheduler.ScheduleAsync(CancellationToken.None));
            await using var db = mountain.Catalog.Open();
            return await db.SendQueue.AllAsync(q => q.Completed);
        });
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(archive.StorePath, "f")));
        Assert.Equal([SendClone.InstanceId(1)], mountainHub.Started);
        Assert.Equal([IncomingWorkflows.InstanceId(1), SourceCallbacks.InstanceId("mountain")], archiveHub.Started);
        await using var sent = mountain.Catalog.Open();
        Assert.Equal(["f"], await sent.RemoteCopies.Select(r => r.FileName).ToListAsync());
        Assert.Equal(TransferStatus.Completed, (await sent.OutgoingTransfers.SingleAsync()).Status);
    }

    [Fact]
    public async Task Management_OnAHub_GivesWhatItHasAndRefusesTheRestWithACode()
    {
        var address = TaskHub.FreeAddress();
        await using var hub = await TaskHub.StartAsync(address);
        await using var site = await SiteAsync(DatabaseKind.Sqlite, address);
        // Of no transfer: it ends at once.
        const string path = "orchestrators/ingeststaged/one?timeout=100&pollingInterval=1";
        var start = await CallAsync(site, HttpMethod.Post, path, """{"transferId":4711}""");
        Assert.Equal(200, start.Status);
        var (status, body) = await CallAsync(site, HttpMethod.Get, "instances/one");
        Assert.Equal(200, status);
        Assert.Contains("\"runtimeStatus\":\"Completed\"", body, StringComparison.Ordinal);
        var list = await CallAsync(site, HttpMethod.Get, "instances?instanceIdPrefix=on");
        Assert.Contains("\"instanceId\":\"one\"", list.Body, StringComparison.Ordinal);

        var history = await CallAsync(site, HttpMethod.Get, "instances/one?showHistory=true");
        Assert.Equal(501, history.Status);
        Assert.Contains("HubUnsupported: the history of 'one' is kept by the hub", history.Body, StringComparison.Ordinal);
        Assert.Equal(410, (await CallAsync(site, HttpMethod.Post, "instances/one/rewind")).Status);
        Assert.Equal(410, (await CallAsync(site, HttpMethod.Post, "instances/one/raiseEvent/go", "1")).Status);
        Assert.Equal(404, (await CallAsync(site, HttpMethod.Post, "instances/none/raiseEvent/go", "1")).Status);
        Assert.Equal(404, (await CallAsync(site, HttpMethod.Post, "instances/none/rewind")).Status);
        Assert.Equal(202, (await CallAsync(site, HttpMethod.Post, "instances/one/restart")).Status);
        await UntilAsync(async () => (await CallAsync(site, HttpMethod.Delete, "instances/one")).Status == 200);
        Assert.Equal(404, (await CallAsync(site, HttpMethod.Get, "instances/one")).Status);

        var client = site.Services.GetRequiredService<DatabaseDurableTaskClient>();
        var query = new InstanceQuery { Names = ["sendclone"] };
        Assert.Empty(await client.GetAllInstancesAsync(query).ToListAsync());
        Assert.Single(await client.GetAllInstancesAsync(query with { Names = ["IngestStaged"] }).ToListAsync());
        var ended = new EndedInstancesFilter { CompletedTo = DateTimeOffset.UtcNow.AddDays(-1) };
        Assert.Equal(0, (await client.PurgeAllInstancesAsync(ended)).PurgedInstanceCount);
        ended = ended with { CompletedTo = DateTimeOffset.UtcNow.AddDays(1) };
        await UntilAsync(async () => (await client.PurgeAllInstancesAsync(ended)).PurgedInstanceCount == 1);
    }

    /// <summary>Nothing but the drive's row says that it has become full: what was started with it was lost.</summary>
    [Fact]
    public async Task WatchDrives_AlertAndWorkflowLost_StartsBothOnce()
    {
        var address = TaskHub.FreeAddress();
        await using var hub = await TaskHub.StartAsync(address);
        await using var site = await SiteAsync(DatabaseKind.Sqlite, address);
        await using (var db = site.Catalog.Open())
        {
            db.Drives.Add(
                new Drive
                {
                    DriveId = Guid.NewGuid(),
                    Name = "d",
                    StoreId = 1,
                    MountPath = site.StorePath,
                    Destination = "archive",
                    FullFraction = 1,
                    State = DriveState.Full,
                    StateSince = DateTime.UtcNow,
                    Trip = 1,
                }
            );
            await db.SaveChangesAsync();
        }

        var commands = site.Services.GetRequiredService<DriveCommands>();
        await commands.WatchAsync(CancellationToken.None);
        var client = site.Services.GetRequiredService<DatabaseDurableTaskClient>();
        var alert = DriveAlert.InstanceId("d", 1);
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        await client.WaitForInstanceCompletionAsync(alert, limit.Token);
        // Finished, and announced once for all.
        await commands.WatchAsync(CancellationToken.None);
        await StartAsync(site, 999, commit: true);
        await UntilAsync(() => Task.FromResult(hub.Started.Contains(IncomingWorkflows.InstanceId(999))));
        Assert.Single(hub.Started, id => id == alert);
        Assert.Single(hub.Started, id => id == DriveTrip.InstanceId("d"));
    }

    [Fact]
    public async Task Management_HubAway_AnswersThatItIsAway()
    {
        await using var site = await SiteAsync(DatabaseKind.Sqlite, TaskHub.FreeAddress());
        foreach (var path in new[] { "instances/one", "instances" })
        {
            var (status, body) = await CallAsync(site, HttpMethod.Get, path);
            Assert.Equal(503, status);
            Assert.Contains("HubUnavailable: the Durable Task hub at http://127.0.0.1:", body, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("hub:4001")]
    [InlineData("/hub")]
    [InlineData("ftp://hub")]
    public async Task Start_AddressThatIsNone_IsRefusedWithASentence(string address)
    {
        var log = new HubLog("Librarian.Functions.Hosting.SiteApplication");
        await Assert.ThrowsAnyAsync<Exception>(() =>
            TestSite.CreateAsync(
                DatabaseKind.Sqlite,
                server,
                services => services.AddSingleton<ILoggerProvider>(log),
                new Dictionary<string, string> { ["Site:Durable:Grpc"] = address }
            )
        );
        Assert.Equal(
            $"The site does not start: Setting Site:Durable:Grpc is '{address}': give the http or https address of a Durable Task hub, "
                + "such as http://hub:4001, or leave it out for the built-in engine.",
            Assert.Single(log.Lines)
        );
    }

    private Task<TestSite> SiteAsync(DatabaseKind kind, Uri hub, Dictionary<string, string>? settings = null, HubLog? log = null) =>
        TestSite.CreateAsync(
            kind,
            server,
            services =>
            {
                if (log is not null)
                    services.AddSingleton<ILoggerProvider>(log);
            },
            new Dictionary<string, string>(settings ?? []) { ["Site:Durable:Grpc"] = hub.ToString() },
            listen: true
        );

    private static async Task IntroduceAsync(TestSite site, string peer, int level, TestSite other, string self)
    {
        var user = $$"""{"username":"{{peer}}","password":"{{peer}}pw","permission":{{level}}}""";
        var (created, _) = await site.PostAsync("users/create", user);
        Assert.Equal(HttpStatusCode.Created, created);
        var (_, added) = await site.PostAsync(
            "admin/librarians/add",
            $$"""
            {"librarian_name":"{{peer}}","url":"http://127.0.0.1","port":{{other.Address.Port}},
            "authenticator":"{{self}}:{{self}}pw","check_connection":false}
            """
        );
        Assert.True(added.GetProperty("success").GetBoolean());
    }

    private static async Task StartAsync(TestSite site, long transfer, bool commit)
    {
        await using var db = site.Catalog.Open();
        await using var transaction = await db.Database.BeginTransactionAsync();
        await site
            .Services.GetRequiredService<IncomingWorkflows>()
            .StartAsync(db, [transfer], DeletionPolicy.Disallowed, CancellationToken.None);
        if (commit)
            await transaction.CommitAsync();
    }

    private static async Task<TransferStatus> StatusAsync(TestSite site, long transfer)
    {
        await using var db = site.Catalog.Open();
        return (await db.IncomingTransfers.AsNoTracking().SingleAsync(t => t.Id == transfer)).Status;
    }

    private static async Task<(int Status, string Body)> CallAsync(TestSite site, HttpMethod method, string path, string? body = null)
    {
        using var request = new HttpRequestMessage(method, "/durable/v1/" + path);
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        request.Headers.Authorization = AuthenticationHeaderValue.Parse(TestSite.Basic("admin", TestSite.Password("admin")));
        using var response = await site.Http.SendAsync(request);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    private static Task UntilAsync(Func<Task<bool>> isSo, [CallerArgumentExpression(nameof(isSo))] string what = "") =>
        Wait.UntilAsync(isSo, what);

    /// <summary>What the site says about its hub, or what another part of it says.</summary>
    private sealed class HubLog(string category = "Librarian.Durable.Hub.HubConnection") : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = new();

        public ILogger CreateLogger(string categoryName) =>
            categoryName == category ? this : Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter
        ) => Lines.Enqueue(formatter(state, exception));

        public void Dispose() { }
    }
}
