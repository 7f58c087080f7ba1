using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Durable;
using Librarian.Orchestrations.Incoming;
using Librarian.Tests.TestKit;
using Microsoft.DurableTask.Client;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteIngestRoundWorkflowTests(PostgresServer server) : IngestRoundWorkflowTests(server, DatabaseKind.Sqlite);

public sealed class PostgresIngestRoundWorkflowTests(PostgresServer server) : IngestRoundWorkflowTests(server, DatabaseKind.PostgreSql);

/// <summary>Which workflows ingest the files that become STAGED together, and what their senders are answered.</summary>
public abstract class IngestRoundWorkflowTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private static readonly Caller Uploader = new("uploader", AuthLevel.ReadAppend);
    private TestSite _site = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private DatabaseDurableTaskClient Client => _site.Services.GetRequiredService<DatabaseDurableTaskClient>();

    private IncomingWorkflows Workflows => _site.Services.GetRequiredService<IncomingWorkflows>();

    public async ValueTask InitializeAsync() =>
        _site = await TestSite.CreateAsync(
            kind,
            server,
            settings: new Dictionary<string, string> { ["Site:MaximalUploadSizeBytes"] = "100000000" }
        );

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task CheckinUpdate_ManyStaged_AreIngestedByOneWorkflow()
    {
        var names = Names("clone", 40);
        var ids = await FilledAsync(names, theirs: 100);
        var (status, _) = await _site.PostAsync(
            "checkin/update",
            $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{string.Join(',', ids)}}],"new_status":2}""",
            "uploader"
        );
        Assert.Equal(HttpStatusCode.OK, status);
        await StoredAsync(names);
        var workflow = Assert.Single(await InstancesAsync());
        Assert.Equal((nameof(IngestRound), IncomingWorkflows.RoundId(ids)), (workflow.Name, workflow.InstanceId));
        var ended = await Client.WaitForInstanceCompletionAsync(workflow.InstanceId, getInputsAndOutputs: true, Stop);
        var result = ended.ReadOutputAs<IngestRoundResult>()!;
        Assert.Equal((40, 0), (result.Ingested, result.Others.Count));
    }

    /// <summary>Files that are not small, and files that come alone, have a workflow of their own.</summary>
    [Fact]
    public async Task CheckinUpdate_LargeFileAmongThem_HasItsOwnWorkflow()
    {
        var ids = await FilledAsync(["l/large", "l/small", "l/too"], theirs: 100);
        await using (var db = _site.Catalog.Open())
            await db
                .IncomingTransfers.Where(t => t.Id == ids[0])
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.TransferSize, LocalStore.LargestInRound + 1), Stop);
        await StageAsync(ids);
        await Wait.UntilAsync(
            async () =>
            {
                await using var db = _site.Catalog.Open();
                return !await db.IncomingTransfers.AnyAsync(t => t.Status == TransferStatus.Staged, Stop);
            },
            "all have ended"
        );
        Assert.Equal(
            [IncomingWorkflows.InstanceId(ids[0]), IncomingWorkflows.RoundId([ids[1], ids[2]])],
            (await InstancesAsync()).Select(i => i.InstanceId).Order(StringComparer.Ordinal)
        );
    }

    [Fact]
    public async Task Commit_ManyAtOnceWithBadOnes_AnswersEachAsAlone()
    {
        var names = Names("up", 30);
        var ids = await FilledAsync(names, theirs: null);
        await using (var db = _site.Catalog.Open())
        {
            var staging = await db.IncomingTransfers.ToDictionaryAsync(
                t => t.Id,
                t => Path.Combine(_site.StagingPath, t.StagingPath!),
                Stop
            );
            await File.WriteAllTextAsync(Path.Combine(staging[ids[11]], "11"), "hello wOrld", Stop);
            File.Delete(Path.Combine(staging[ids[12]], "12"));
        }

        await File.WriteAllTextAsync(
            Path.Combine(Directory.CreateDirectory(Path.Combine(_site.StorePath, "up")).FullName, "13"),
            "x",
            Stop
        );
        var answers = await CommitTogetherAsync(ids, names);
        Assert.All(answers.Where((_, i) => i is not (11 or 12 or 13)).Zip(names.Where((_, i) => i is not (11 or 12 or 13))), a =>
            Assert.Equal((CommitOutcome.Stored, $"'{a.Second}' is stored and verified."), (a.First.Outcome, a.First.Message))
        );
        Assert.Equal([CommitOutcome.Invalid, CommitOutcome.NotInStaging, CommitOutcome.NameTaken], answers[11..14].Select(a => a.Outcome));
        Assert.StartsWith("Declared 11 bytes", answers[11].Message, StringComparison.Ordinal);
        Assert.Equal("Nothing lies at the staging location.", answers[12].Message);
        if (kind == DatabaseKind.Sqlite)
            Assert.Contains(await InstancesAsync(), i => i.Name == nameof(IngestRound));
        Assert.All(await CommitTogetherAsync(ids[..10], names[..10]), a => Assert.Equal(CommitOutcome.Stored, a.Outcome));
    }

    [Fact]
    public async Task Commit_RoundWhoseStoreIsTakenByAnotherProcess_GoesOnInWorkflowsOfTheirOwn()
    {
        var names = Names("held", 3);
        var ids = await FilledAsync(names, theirs: 100);
        await using var db = _site.Catalog.Open();
        var staging = Guid.Parse((await db.IncomingTransfers.SingleAsync(t => t.Id == ids[1], Stop)).StagingPath!);
        var store = _site.Services.GetRequiredService<SiteStores>().All[0].Store;
        var (turn, refusal) = await store.TryLockCommitAsync(staging, Stop);
        Assert.Null(refusal);
        using (turn)
        {
            await StageAsync(ids);
            var ended = await Client.WaitForInstanceCompletionAsync(IncomingWorkflows.RoundId(ids), getInputsAndOutputs: true, Stop);
            var other = Assert.Single(ended.ReadOutputAs<IngestRoundResult>()!.Others);
            Assert.Equal((ids[1], IngestOutcome.TryLater), (other.TransferId, other.Outcome));
            Assert.Contains("Another process", other.Message, StringComparison.Ordinal);
            Assert.Equal(TransferStatus.Staged, (await db.IncomingTransfers.AsNoTracking().SingleAsync(t => t.Id == ids[1], Stop)).Status);
        }

        await StoredAsync(names);
        Assert.Equal(
            [IncomingWorkflows.InstanceId(ids[1]), IncomingWorkflows.RoundId(ids)],
            (await InstancesAsync()).Select(i => i.InstanceId).Order(StringComparer.Ordinal)
        );
    }

    /// <summary>No workflow has them after a crash of a hub, or in a restored catalog: the timer starts rounds, and none twice.</summary>
    [Fact]
    public async Task StartAllStaged_SomeWithoutAWorkflow_StartsThoseAlone()
    {
        var names = Names("lost", 20);
        var ids = await FilledAsync(names, theirs: 100);
        await using (var db = _site.Catalog.Open())
            await db
                .IncomingTransfers.Where(t => ids.Contains(t.Id))
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged), Stop);
        // Two of them have workflows that run, and wait: one of an earlier build or a single file, one of a round.
        await Client.ScheduleNewOrchestrationInstancesAsync(
            [
                new OrchestrationStart(
                    nameof(IngestStaged),
                    new IngestInput(ids[0], DeletionPolicy.Disallowed),
                    new(IncomingWorkflows.InstanceId(ids[0]), DateTimeOffset.UtcNow.AddDays(1))
                ),
                new OrchestrationStart(
                    nameof(IngestRound),
                    new IngestRoundInput([ids[1]], DeletionPolicy.Disallowed),
                    new(IncomingWorkflows.RoundId([ids[1]]), DateTimeOffset.UtcNow.AddDays(1))
                ),
            ],
            transaction: null,
            Stop
        );
        Assert.Equal(18, await Workflows.StartAllStagedAsync(Stop));
        await StoredAsync(names[2..]);
        Assert.Equal(0, await Workflows.StartAllStagedAsync(Stop));
        foreach (var id in new[] { IncomingWorkflows.InstanceId(ids[0]), IncomingWorkflows.RoundId([ids[1]]) })
        {
            await Client.TerminateInstanceAsync(id, (object?)null, Stop);
            await Client.WaitForInstanceCompletionAsync(id, getInputsAndOutputs: false, Stop);
        }

        Assert.Equal(2, await Workflows.StartAllStagedAsync(Stop));
        await StoredAsync(names);
    }

    private static string[] Names(string directory, int count) => [.. Enumerable.Range(0, count).Select(i => $"{directory}/{i}")];

    private async Task<CommitResult[]> CommitTogetherAsync(IReadOnlyList<long> ids, IReadOnlyList<string> names)
    {
        var commits = _site.Services.GetRequiredService<UploadCommits>();
        if (kind == DatabaseKind.Sqlite)
            await _site.Catalog.SqliteWriteSemaphore!.WaitAsync(Stop);
        var all = ids.Zip(names)
            .Select(c =>
            {
                Assert.True(FileName.TryParse(c.Second, out var name, out _));
                return commits.CommitAsync(new UploadCommit(c.First, "main", name, "local", DeletionPolicy.Disallowed), Uploader, Stop);
            })
            .ToList();
        if (kind == DatabaseKind.Sqlite)
            _site.Catalog.SqliteWriteSemaphore!.Release();
        return await Task.WhenAll(all);
    }

    /// <summary>Transfers whose data lie in staging, not yet STAGED.</summary>
    private async Task<List<long>> FilledAsync(IReadOnlyList<string> names, long? theirs)
    {
        var incoming = _site.Services.GetRequiredService<IncomingTransfers>();
        List<long> ids = [];
        foreach (var name in names)
        {
            var declared = new DeclaredTransfer(11, HelloSum, name.Split('/')[^1], name, theirs + ids.Count);
            var slot = Assert.Single(
                Assert
                    .IsType<StageResult.Accepted>(
                        theirs is null
                            ? await incoming.StageUploadAsync(declared, "uploader", Uploader, takesUp: false, Stop)
                            : await incoming.StageCloneAsync(declared, "uploader", Uploader, Stop)
                    )
                    .Slots
            );
            await File.WriteAllTextAsync(slot.StagingLocation, "hello world", Stop);
            ids.Add(slot.TransferId);
        }

        return ids;
    }

    /// <summary>Marks transfers STAGED, as a source does.</summary>
    private async Task StageAsync(IReadOnlyList<long> ids)
    {
        var (_, incoming) = await _site
            .Services.GetRequiredService<TransferUpdates>()
            .UpdateAsync(new NamedTransfers([], null), new NamedTransfers(ids, null), TransferStatus.Staged, Uploader, Stop);
        Assert.Equal(ids.Order(), incoming.Modified.Order());
    }

    private async Task StoredAsync(IReadOnlyCollection<string> names)
    {
        await Wait.UntilAsync(
            async () =>
            {
                await using var db = _site.Catalog.Open();
                return await db.Copies.CountAsync(Stop) >= names.Count;
            },
            $"{names.Count} files are stored"
        );
        await using var after = _site.Catalog.Open();
        Assert.Equal(
            names.Order(StringComparer.Ordinal),
            (await after.Files.Select(f => f.Name).ToListAsync(Stop)).Order(StringComparer.Ordinal)
        );
        Assert.All(names, n => Assert.Equal("hello world", File.ReadAllText(Path.Combine(_site.StorePath, n))));
    }

    private async Task<List<OrchestrationMetadata>> InstancesAsync()
    {
        var query = new InstanceQuery { InstanceIdPrefix = "incoming-", FetchInputsAndOutputs = true };
        List<OrchestrationMetadata> found = [];
        await foreach (var instance in Client.GetAllInstancesAsync(query).WithCancellation(Stop))
            found.Add(instance);
        return found;
    }
}
