using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Peers;
using Librarian.Durable;
using Librarian.Durable.Hosting;
using Librarian.Durable.Testing;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.PeerUpkeep;
using Librarian.Orchestrations.TransferManagers;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.DurableTask;
using Microsoft.DurableTask.Client;
using Microsoft.DurableTask.Worker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Functions.Peers;

public sealed class SqliteAbsenceTests(PostgresServer server) : AbsenceTests(server, DatabaseKind.Sqlite);

public sealed class PostgresAbsenceTests(PostgresServer server) : AbsenceTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// Peers that are away for hours and weeks, by the clock of the test; the real workflows and activities over sockets.
/// </summary>
public abstract class AbsenceTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private PeerFixture _fixture = null!;
    private FakeTimeProvider _time = null!;

    public async ValueTask InitializeAsync()
    {
        _fixture = await PeerFixture.CreateAsync(kind, server);
        _time = new FakeTimeProvider(DateTimeOffset.UtcNow);
    }

    public async ValueTask DisposeAsync()
    {
        await _fixture.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Callbacks_AThousandFilesForADeadSource_CostOneCallPerPauseAndAllArriveOnce()
    {
        var stop = TestContext.Current.CancellationToken;
        await EndedAsync(1000);
        // It accepts connections and breaks them off: every try is seen.
        _fixture.Peer.Interfere = _ => Task.FromResult<WireAnswer?>(WireAnswer.Drop);
        await using var host = await HostAsync();
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(NotifySource.TaskName, new NotifySourceInput("aaa"));
        await host.RunUntilAsync(_time.GetUtcNow().AddHours(12), stop);
        // Pauses of 5 to 10 minutes, after some shorter ones.
        Assert.InRange(_fixture.Peer.Server.Requests.Count, 12 * 6, 12 * 12 + 10);
        Assert.Empty(await _fixture.ErrorsAsync());
        await host.RestartAsync();
        await host.RunUntilAsync(_time.GetUtcNow().AddHours(14), stop);
        Assert.Equal(
            (ErrorCategory.LibrarianNetworkAvailability, "callback aaa"),
            Assert.Single(await _fixture.ErrorsAsync()) is var error ? (error.Category, error.Caller) : default
        );

        _fixture.Peer.Interfere = null;
        var before = _fixture.Peer.Server.Requests.Count;
        await host.RunToCompletionAsync(id, stop);
        Assert.Equal(1000, _fixture.Peer.Server.Requests.Count - before);
        Assert.Equal(1000, _fixture.Peer.RemoteInstances.Distinct().Count());
        Assert.All(await _fixture.IncomingAsync(), t => Assert.Null(t.CallbackTries));
        Assert.True((await _fixture.ErrorsAsync()).Single().Cleared);
        Assert.InRange(_fixture.Peer.Server.Connections, 1, before + 9);
    }

    [Fact]
    public async Task Callbacks_OnSomeOfWhichTheSourceFails_HoldUpNoOther()
    {
        var stop = TestContext.Current.CancellationToken;
        await EndedAsync(150);
        _fixture.Peer.Interfere = request =>
            Task.FromResult(
                request.Path == "clone/complete" && request.Json.GetProperty("source_transfer_id").GetInt64() <= 20
                    ? WireAnswer.Fault
                    : null
            );
        await using var host = await HostAsync();
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(NotifySource.TaskName, new NotifySourceInput("aaa"));
        await host.RunUntilAsync(_time.GetUtcNow().AddMinutes(1), stop);
        Assert.Equal(130, _fixture.Peer.RemoteInstances.Count);
        var before = _fixture.Peer.Server.Requests.Count;
        await host.RunUntilAsync(_time.GetUtcNow().AddHours(2), stop);
        // Two rounds of calls per pause and no more, though twenty wait.
        Assert.InRange(_fixture.Peer.Server.Requests.Count - before, 12, 30 * 16);
        _fixture.Peer.Interfere = null;
        await host.RunToCompletionAsync(id, stop);
        Assert.Equal(150, _fixture.Peer.RemoteInstances.Count);
    }

    [Fact]
    public async Task Callbacks_OfFilesThatArriveMeanwhile_AreMadeByTheSameWorkflow()
    {
        var stop = TestContext.Current.CancellationToken;
        await EndedAsync(3);
        await using var host = await HostAsync();
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(
            NotifySource.TaskName,
            new NotifySourceInput("aaa"),
            new StartOrchestrationOptions(SourceCallbacks.InstanceId("aaa"))
        );
        var callbacks = ActivatorUtilities.CreateInstance<SourceCallbacks>(_fixture.Site.Services, host.Client);
        for (var more = 1; more <= 5; more++)
        {
            await host.RunUntilIdleAsync(stop);
            Assert.Equal(2 + more, _fixture.Peer.RemoteInstances.Count);
            await EndedAsync(1, from: 2 + more);
            await callbacks.WakeAsync("aaa", stop);
            await callbacks.WakeAsync("aaa", stop);
        }

        var end = await host.RunToCompletionAsync(id, stop);
        Assert.Equal((OrchestrationRuntimeStatus.Completed, 8), (end.RuntimeStatus, _fixture.Peer.RemoteInstances.Count));
        Assert.Equal(8, _fixture.Peer.Bodies("clone/complete").Count);
    }

    [Fact]
    public async Task SendClone_PeerAwayForTwoDaysThenFullForADay_ArrivesWithFewCalls()
    {
        var stop = TestContext.Current.CancellationToken;
        var batch = await _fixture.BatchAsync(20);
        _fixture.Peer.Interfere = _ => Task.FromResult<WireAnswer?>(WireAnswer.Drop);
        await using var host = await HostAsync();
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(
            nameof(SendClone),
            batch,
            new StartOrchestrationOptions(SendClone.InstanceId(batch.QueueId))
        );
        await host.RunUntilAsync(_time.GetUtcNow().AddDays(2), stop);
        Assert.InRange(_fixture.Peer.Server.Requests.Count, 48 * 6, 48 * 12 + 20);

        var before = _fixture.Peer.Server.Requests.Count;
        _fixture.Peer.Interfere = request =>
            Task.FromResult(
                request.Path == "clone/batch_stage"
                    ? new WireAnswer(
                        413,
                        """{"detail":"{\"reason\":\"No stores available for upload. Your upload is too large.\","""
                            + """\"suggested_remedy\":\"\",\"source_transfer_id\":-1,\"destination_transfer_id\":-1}"}"""
                    )
                    : null
            );
        await host.RunUntilAsync(_time.GetUtcNow().AddDays(1), stop);
        // A ping and two requests each time, with pauses that grow to two hours.
        Assert.InRange(_fixture.Peer.Server.Requests.Count - before, 3 * 12, 3 * 40);
        Assert.Contains(await _fixture.ErrorsAsync(), e => e is { Category: ErrorCategory.StoreFull, Cleared: false });

        _fixture.Peer.Interfere = null;
        await host.RunUntilAsync(_time.GetUtcNow().AddHours(3), stop);
        Assert.All(_fixture.Peer.Incoming.Values, t => Assert.Equal(2, t.Status));
        Assert.All(await _fixture.ErrorsAsync(), e => Assert.True(e.Cleared));
        await _fixture.Peer.ReceiveCloneAsync();
        var end = await host.RunToCompletionAsync(id, stop);
        Assert.Equal("20 files acknowledged by aaa, 0 not sent; they are offered again.", end.ReadOutputAs<string>());
    }

    [Fact]
    public async Task SendCloneAndCallbacks_PeerAnswersAProbeAfterAnHour_GoOnWithinSeconds()
    {
        var stop = TestContext.Current.CancellationToken;
        var batch = await _fixture.BatchAsync(20);
        await EndedAsync(30);
        _fixture.Peer.Interfere = _ => Task.FromResult<WireAnswer?>(WireAnswer.Drop);
        await using var host = await HostAsync();
        await host.Client.ScheduleNewOrchestrationInstanceAsync(
            nameof(SendClone),
            batch,
            new StartOrchestrationOptions(SendClone.InstanceId(batch.QueueId))
        );
        await host.Client.ScheduleNewOrchestrationInstanceAsync(
            NotifySource.TaskName,
            new NotifySourceInput("aaa"),
            new StartOrchestrationOptions(SourceCallbacks.InstanceId("aaa"))
        );
        await host.RunUntilAsync(_time.GetUtcNow().AddHours(1), stop);

        // A process that has just started knows of nobody who waits, and learns it from the workflows' statuses.
        await host.RestartAsync();
        var presence = host.Services.GetRequiredService<PeerPresence>();
        var probes = ActivatorUtilities.CreateInstance<PeerProbes>(
            _fixture.Site.Services,
            presence,
            host.Services.GetRequiredService<PeerConnections>(),
            host.Client
        );
        Assert.Empty(presence.Awaited);
        await probes.ProbeAsync(stop);
        Assert.Equal(["aaa"], presence.Awaited);
        _fixture.Peer.Interfere = null;
        await probes.ProbeAsync(stop);
        Assert.Empty(presence.Awaited);
        await host.RunUntilAsync(_time.GetUtcNow().AddSeconds(10), stop);
        Assert.Equal(20, _fixture.Peer.Incoming.Values.Count(t => t.Status == 2));
        Assert.Equal(30, _fixture.Peer.RemoteInstances.Count);
    }

    /// <summary>Clones of the source's that have ended here and that it has not been told of.</summary>
    private async Task EndedAsync(int count, int from = 0)
    {
        await using var db = _fixture.Site.Catalog.Open();
        var now = _time.GetUtcNow().UtcDateTime;
        for (var i = from; i < from + count; i++)
        {
            _fixture.Peer.Outgoing[i + 1] = new UpstreamTransfer
            {
                Id = i + 1,
                Name = $"obs/{i}",
                Size = 11,
                Checksum = PeerFixture.HelloSum,
                Status = 2,
            };
            db.IncomingTransfers.Add(
                new IncomingTransfer
                {
                    Status = TransferStatus.Completed,
                    Uploader = "aaa",
                    UploadName = $"obs/{i}",
                    Source = "aaa",
                    TransferSize = 11,
                    TransferChecksum = PeerFixture.HelloSum,
                    StoreId = 1,
                    StartTime = now,
                    EndTime = now,
                    FileName = $"obs/{i}",
                    SourceTransferId = i + 1,
                    CallbackTries = 0,
                }
            );
        }

        await db.SaveChangesAsync();
    }

    /// <summary>The workflows of the site in an engine with a clock of the test's own, on the site's catalog.</summary>
    private Task<DurableTestHost> HostAsync() => DurableTestHost.StartAsync(_time, _time.Advance, durable =>
        {
            var site = _fixture.Site.Services;
            durable.AddTasks(tasks => tasks.AddTasksFrom(typeof(SendClone).Assembly));
            durable.UseJson(new JsonSerializerOptions(JsonSerializerDefaults.Web) { Converters = { new JsonStringEnumConverter() } });
            durable.Services.AddSingleton(_fixture.Site.Catalog);
            durable.Services.AddSingleton(services =>
                ActivatorUtilities.CreateInstance<PeerPresence>(site, _time, services.GetRequiredService<DatabaseDurableTaskClient>())
            );
            durable.Services.AddSingleton(services =>
                ActivatorUtilities.CreateInstance<PeerConnections>(site, services.GetRequiredService<PeerPresence>())
            );
            durable.Services.AddSingleton(site.GetRequiredService<TransferManagerChoice>());
            durable.Services.AddSingleton(site.GetRequiredService<CopyChecks>());
            durable.Services.AddSingleton(site.GetRequiredService<SiteCatalog>());
            durable.Services.AddSingleton(_ => ActivatorUtilities.CreateInstance<ErrorLog>(site, _time));
            durable.Services.AddSingleton(services =>
                ActivatorUtilities.CreateInstance<BatchCalls>(
                    site,
                    _time,
                    services.GetRequiredService<ErrorLog>(),
                    services.GetRequiredService<PeerConnections>(),
                    services.GetRequiredService<PeerPresence>()
                )
            );
            durable.Services.AddSingleton(site.GetRequiredService<TransferIds>());
            durable.Services.AddSingleton(services =>
                ActivatorUtilities.CreateInstance<BatchWork>(
                    site,
                    services.GetRequiredService<ErrorLog>(),
                    services.GetRequiredService<BatchCalls>()
                )
            );
            durable.Services.AddSingleton(services =>
                ActivatorUtilities.CreateInstance<SourceCallbacks>(site, services.GetRequiredService<DatabaseDurableTaskClient>())
            );
            durable.Services.AddSingleton(site.GetRequiredService<ILoggerFactory>());
        });
}
