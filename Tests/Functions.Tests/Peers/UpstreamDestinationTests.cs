using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Peers;

public sealed class SqliteUpstreamDestinationTests(PostgresServer server) : UpstreamDestinationTests(server, DatabaseKind.Sqlite);

public sealed class PostgresUpstreamDestinationTests(PostgresServer server) : UpstreamDestinationTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// Our site sends to an unmodified upstream librarian (docs/spec/wire.md#between-sites, as S) and understands every answer of it.
/// </summary>
public abstract class UpstreamDestinationTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private PeerFixture _fixture = null!;

    private UpstreamLibrarian Destination => _fixture.Peer;

    private List<string> Staged => [.. Destination.Bodies("clone/batch_stage")];

    public async ValueTask InitializeAsync() => _fixture = await PeerFixture.CreateAsync(kind, server);

    public async ValueTask DisposeAsync()
    {
        await _fixture.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Push_ToUpstream_MakesTheCapturedCallsInTheirOrderAndPicksTheUsableProvider()
    {
        await _fixture.KeepAsync("obs/2026/été/one.bin");
        await _fixture.KeepAsync("obs/book", PeerFixture.DirectorySum, "aaa", directory: true);
        Assert.Equal(2, await _fixture.Site.Services.GetRequiredService<CloneScheduler>().ScheduleAsync(CancellationToken.None));
        await ArrivedAsync(2);

        Assert.Equal(["ping/", "clone/batch_stage", "checkin/update", "checkin/update"], Destination.Paths);
        Assert.Equal("{}", Destination.Bodies("ping/").Single());
        Assert.Equal(
            $$"""
            {"uploads":[{"upload_size":11,"upload_checksum":"{{PeerFixture.HelloSum}}","upload_name":"obs/2026/été/one.bin",
            "destination_location":"obs/2026/été/one.bin","uploader":"admin","source_transfer_id":1},
            {"upload_size":3,"upload_checksum":"{{PeerFixture.DirectorySum}}","upload_name":"obs/book",
            "destination_location":"obs/book","uploader":"admin","source_transfer_id":2}],
            "source":"testsite","total_size":14}
            """.ReplaceLineEndings(""),
            Staged.Single()
        );
        Assert.Equal(
            [
                """{"source_transfer_ids":[],"destination_transfer_ids":[1,2],"new_status":1}""",
                """{"source_transfer_ids":[],"destination_transfer_ids":[1,2],"new_status":2}""",
            ],
            Destination.Bodies("checkin/update")
        );
        Assert.All(Destination.Server.Requests, r =>
        {
            Assert.Equal($"POST /api/v2/{r.Path} HTTP/1.1", r.Line);
            Assert.Equal($"127.0.0.1:{Destination.Server.Port}", r.Header("Host"));
            Assert.Equal("application/json", r.Header("Content-Type"));
            Assert.Equal(("testsite", "open-sesame"), r.Credentials);
            Assert.Null(r.Header("Expect"));
        });

        await Destination.ReceiveCloneAsync();
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(Destination.Store, "obs/2026/été/one.bin")));
        Assert.Equal("aaa", await File.ReadAllTextAsync(Path.Combine(Destination.Store, "obs/book/page")));
        await FinishedAsync();
        Assert.Equal([TransferStatus.Completed, TransferStatus.Completed], (await _fixture.OutgoingAsync()).Values.Select(t => t.Status));
        await using var db = _fixture.Site.Catalog.Open();
        Assert.All(await db.RemoteCopies.ToListAsync(), r => Assert.Equal((1L, "testsite"), (r.StoreId, r.Sender)));
        Assert.Equal(2, await db.RemoteCopies.CountAsync());
    }

    [Fact]
    public async Task Callback_EarlyAndTwice_RecordsOneCopy()
    {
        await _fixture.KeepAsync("obs/a");
        var early = 0;
        Destination.Interfere = async request =>
        {
            // While our own STAGED is still on its way: the transfer is ONGOING here (docs/spec/wire.md#push-callback).
            if (request.Path != "checkin/update" || !request.Body.EndsWith("\"new_status\":2}", StringComparison.Ordinal))
                return null;
            early = (await Destination.CallBackAsync(Destination.Incoming[1])).Status;
            return null;
        };
        await _fixture.Site.Services.GetRequiredService<CloneScheduler>().ScheduleAsync(CancellationToken.None);
        await FinishedAsync();
        Assert.Equal(200, early);
        var again = await Destination.CallBackAsync(Destination.Incoming[1]);
        Assert.Equal((200, """{"source_transfer_id":1,"destination_transfer_id":1}"""), (again.Status, again.Body));
        await using var db = _fixture.Site.Catalog.Open();
        Assert.Equal(1, await db.RemoteCopies.CountAsync());
        var unknown = await Destination.CallAsync(
            "clone/complete",
            """{"source_transfer_id":99,"destination_transfer_id":1,"store_id":1}"""
        );
        Assert.Equal((400, "Could not find transfer."), (unknown.Status, UpstreamLibrarian.Reason(unknown)));
    }

    [Fact]
    public async Task Callback_ThatNeverComes_IsMadeUpForByOurReview()
    {
        var batch = await PushedAsync("obs/a", "obs/b", "obs/c", "obs/d");
        // Two have arrived without a word, one is still being looked at, one is forgotten altogether.
        Destination.Files["obs/a"] = Destination.Files["obs/b"] = (11, PeerFixture.HelloSum);
        Destination.Incoming[1].Status = 3;
        Destination.Incoming.TryRemove(2, out _);
        Destination.Incoming.TryRemove(4, out _);
        var step = await _fixture.RunAsync<ReviewBatch, SendCloneInput, BatchStep>(batch);
        Assert.Equal((StepOutcome.RetrySoon, 1), (step.Outcome, step.Remaining));
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal(
            [TransferStatus.Completed, TransferStatus.Completed, TransferStatus.Staged, TransferStatus.Failed],
            rows.OrderBy(r => r.Key, StringComparer.Ordinal).Select(r => r.Value.Status)
        );
        Assert.Equal(
            """{"name":"obs/a","create_time_window":null,"uploader":null,"source":null,"max_results":64}""",
            Destination.Bodies("search/file")[0]
        );
    }

    [Fact]
    public async Task Review_OfAPeerThatForgotTheStaging_SaysSoAgainInOneCall()
    {
        var batch = await PushedAsync("obs/a", "obs/b");
        foreach (var transfer in Destination.Incoming.Values)
            transfer.Status = 1;
        await _fixture.RunAsync<ReviewBatch, SendCloneInput, BatchStep>(batch);
        Assert.All(Destination.Incoming.Values, t => Assert.Equal(2, t.Status));
        Assert.Equal(
            """{"source_transfer_ids":[],"destination_transfer_ids":[1,2],"new_status":2}""",
            Destination.Bodies("checkin/update")[^1]
        );
    }

    [Fact]
    public async Task Stage_409_LearnsTheCopiesAndSendsTheRest()
    {
        Destination.Files["obs/001"] = (11, PeerFixture.HelloSum);
        Destination.Files["obs/003"] = (3, PeerFixture.AbcSum);
        var step = await _fixture.StageAsync(await _fixture.BatchAsync(5));
        Assert.Equal((StepOutcome.Done, 3), (step.Outcome, step.Remaining));
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal(TransferStatus.Completed, rows["obs/001"].Status);
        Assert.Equal(TransferStatus.Failed, rows["obs/003"].Status);
        Assert.Equal(["obs/000", "obs/002", "obs/004"], PeerFixture.Committed(rows));
        Assert.Equal(2, Staged.Count);
        await using var db = _fixture.Site.Catalog.Open();
        Assert.Equal(("obs/001", 1L), await db.RemoteCopies.Select(r => new ValueTuple<string, long>(r.FileName, r.StoreId)).SingleAsync());
    }

    [Fact]
    public async Task Stage_425_LetsTheFileWaitWithoutFailingItAndSendsTheRest()
    {
        var batch = await _fixture.BatchAsync(4);
        // Somebody else brings it at this moment.
        Destination.Incoming[500] = new UpstreamTransfer
        {
            Id = 500,
            Name = "obs/002",
            Size = 11,
            Checksum = PeerFixture.HelloSum,
            Status = 1,
        };
        Assert.Equal((StepOutcome.Done, 3), await OutcomeAsync(batch));
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal(["obs/000", "obs/001", "obs/003"], PeerFixture.Committed(rows));
        Assert.Equal(TransferStatus.Cancelled, rows["obs/002"].Status);
        Assert.Equal(TimeSpan.FromSeconds(15), rows["obs/002"].RetryAfter - rows["obs/002"].EndTime);
        Assert.Empty(await _fixture.ErrorsAsync());
        Assert.Null(await _fixture.BatchAsync());

        // It waits longer each time, and is sent when the other transfer has ended.
        await LetRetryAsync();
        await OutcomeAsync((await _fixture.BatchAsync())!);
        var again = (await _fixture.OutgoingAsync())["obs/002"];
        Assert.Equal(TimeSpan.FromSeconds(30), again.RetryAfter - again.EndTime);
        Destination.Incoming[500].Status = 4;
        await LetRetryAsync();
        Assert.Equal((StepOutcome.Done, 1), await OutcomeAsync((await _fixture.BatchAsync())!));
        Assert.Equal(["obs/000", "obs/001", "obs/002", "obs/003"], PeerFixture.Committed(await _fixture.OutgoingAsync()));
    }

    [Fact]
    public async Task Stage_425OfOurOwnEarlierAttempt_EndsThatAndGoesOnAtOnce()
    {
        var batch = await _fixture.BatchAsync(2);
        Assert.Equal((StepOutcome.Done, 2), await OutcomeAsync(batch));
        foreach (var transfer in Destination.Incoming.Values)
            transfer.Status = 1;
        await using (var db = _fixture.Site.Catalog.Open())
        {
            // We gave up, and the peer was away when we wanted to tell it.
            await db.OutgoingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Failed));
        }

        Assert.Equal((StepOutcome.Done, 2), await OutcomeAsync((await _fixture.BatchAsync())!));
        Assert.Equal([4, 4, 0, 0], Destination.Incoming.Values.OrderBy(t => t.Id).Select(t => t.Status));
        Assert.Equal("""{"source_transfer_ids":[],"destination_transfer_ids":[1,2]}""", Destination.Bodies("checkin/status").Single());
        Assert.Equal(
            """{"source_transfer_ids":[],"destination_transfer_ids":[1,2],"new_status":4}""",
            Destination.Bodies("checkin/update").Single()
        );
    }

    [Fact]
    public async Task Stage_413_StopsNewBatchesTellsAPersonOnceAndEndsWhenItTakesFilesAgain()
    {
        var batch = await _fixture.BatchAsync(8);
        Destination.Interfere = PeerFixture.NoRoomAbove(-1);
        Assert.Equal((StepOutcome.Full, 8), await OutcomeAsync(batch));
        // All of them, then the smallest alone.
        Assert.Equal(2, Staged.Count);
        Assert.Equal((StepOutcome.Full, 8), await OutcomeAsync(batch));
        var error = Assert.Single(await _fixture.ErrorsAsync());
        Assert.Equal((ErrorCategory.StoreFull, "room at librarian aaa", false), (error.Category, error.Caller, error.Cleared));

        await _fixture.KeepAsync("later");
        var scheduler = _fixture.Site.Services.GetRequiredService<CloneScheduler>();
        Assert.Equal(0, await scheduler.ScheduleAsync(CancellationToken.None));
        Destination.Interfere = null;
        Assert.Equal((StepOutcome.Done, 8), await OutcomeAsync(batch));
        Assert.True((await _fixture.ErrorsAsync()).Single().Cleared);
        Assert.Equal(1, await scheduler.ScheduleAsync(CancellationToken.None));
    }

    [Fact]
    public async Task Announce_PartlyRefused_FollowsWhatThePeerReallyDid()
    {
        var batch = await _fixture.BatchAsync(5);
        await OutcomeAsync(batch);
        Destination.Incoming[2].Status = 4;
        Destination.Incoming[3].Status = 1;
        Destination.Incoming.TryRemove(4, out _);
        Destination.Incoming[5].Status = 3;
        Destination.Files["obs/004"] = (11, PeerFixture.HelloSum);
        var step = await _fixture.RunAsync<AnnounceOngoing, SendCloneInput, BatchStep>(batch);
        Assert.Equal((StepOutcome.Done, 2), (step.Outcome, step.Remaining));
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal(
            [TransferStatus.Ongoing, TransferStatus.Failed, TransferStatus.Ongoing, TransferStatus.Failed, TransferStatus.Completed],
            rows.OrderBy(r => r.Key, StringComparer.Ordinal).Select(r => r.Value.Status)
        );
    }

    /// <summary>Two processes of the site, and timers that overlap: the in-flight index lets one transfer per file through.</summary>
    [Fact]
    public async Task Schedule_AtTheSameTime_NeverPutsAFileInFlightTwice()
    {
        Destination.Server.GoAway();
        for (var i = 0; i < 60; i++)
            await _fixture.KeepAsync($"obs/{i}");
        var scheduler = _fixture.Site.Services.GetRequiredService<CloneScheduler>();
        for (var round = 0; round < 3; round++)
        {
            using var start = new Barrier(6);
            await Task.WhenAll(
                Enumerable
                    .Range(0, 6)
                    .Select(_ =>
                        Task.Run(async () =>
                        {
                            start.SignalAndWait();
                            await scheduler.ScheduleAsync(CancellationToken.None);
                        })
                    )
            );
        }

        await using var db = _fixture.Site.Catalog.Open();
        Assert.Equal(60, await db.OutgoingTransfers.CountAsync(t => OutgoingTransfers.Unfinished.Contains(t.Status)));
        Assert.Equal(60, await db.OutgoingTransfers.Select(t => t.FileName).Distinct().CountAsync());
        // And whatever code there will be, the database refuses it.
        db.OutgoingTransfers.Add(
            new OutgoingTransfer
            {
                Status = TransferStatus.Initiated,
                Destination = "aaa",
                TransferSize = 11,
                TransferChecksum = PeerFixture.HelloSum,
                StartTime = DateTime.UtcNow,
                FileName = "obs/1",
            }
        );
        Assert.True(CatalogDatabase.IsUniqueViolation(await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync())));
    }

    /// <summary>
    /// Repair (docs/spec/wire.md#repair), where we have the good copy: three calls back to the peer while its request is open.
    /// </summary>
    [Fact]
    public async Task Repair_OfUpstreamsCopy_CallsBackBeforeItAnswers()
    {
        await _fixture.KeepAsync("obs/a");
        Destination.Keep("obs/a", PeerFixture.HelloSum, "hello_world");
        await using (var db = _fixture.Site.Catalog.Open())
        {
            db.RemoteCopies.Add(
                new RemoteCopy
                {
                    FileName = "obs/a",
                    StoreId = 7,
                    PeerId = (await db.Peers.SingleAsync()).Id,
                    CopyTime = DateTime.UtcNow,
                    Sender = "testsite",
                }
            );
            await db.SaveChangesAsync();
        }

        var resent = await Destination.FixCorruptionAsync("obs/a");
        Assert.Equal((200, """{"success":true,"destination_transfer_id":1}"""), (resent.Status, resent.Body));
        Assert.Equal(["ping/logged", "ping/logged", "ping/", "clone/batch_stage", "checkin/update"], Destination.Paths.Take(5));
        await ArrivedAsync(1);
        await Destination.ReceiveCloneAsync();
        await FinishedAsync();
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(Destination.Store, "obs/a")));
        await using var after = _fixture.Site.Catalog.Open();
        Assert.Equal(1, (await after.RemoteCopies.SingleAsync()).StoreId);
    }

    [Fact]
    public async Task CheckinByTheDestination_FailsOurTransfer_AndTheFileIsOfferedAgainLater()
    {
        await PushedAsync("obs/a");
        File.Delete(Destination.Incoming[1].Slot!);
        await Destination.ReceiveCloneAsync();
        var row = (await _fixture.OutgoingAsync())["obs/a"];
        Assert.Equal(TransferStatus.Failed, row.Status);
        Assert.True(row.RetryAfter > DateTime.UtcNow);
        await Destination.IncomingHypervisorAsync();
        Destination.Incoming[2] = new UpstreamTransfer
        {
            Id = 2,
            Name = "x",
            Size = 1,
            Checksum = "c",
            Status = 1,
            Theirs = row.Id,
        };
        await Destination.IncomingHypervisorAsync();
        Assert.Equal(4, Destination.Incoming[2].Status);
    }

    private async Task<(StepOutcome Outcome, int Remaining)> OutcomeAsync(SendCloneInput batch)
    {
        var step = await _fixture.StageAsync(batch);
        return (step.Outcome, step.Remaining);
    }

    private async Task LetRetryAsync()
    {
        await using var db = _fixture.Site.Catalog.Open();
        var past = DateTime.UtcNow.AddSeconds(-1);
        await db.OutgoingTransfers.Where(t => t.RetryAfter != null).ExecuteUpdateAsync(s => s.SetProperty(t => t.RetryAfter, past));
    }

    /// <summary>Staged, copied and announced, with nobody who waits for the callbacks.</summary>
    private async Task<SendCloneInput> PushedAsync(params string[] names)
    {
        foreach (var name in names)
            await _fixture.KeepAsync(name);
        var batch = (await _fixture.BatchAsync())!;
        await _fixture.StageAsync(batch);
        await _fixture.RunAsync<AnnounceOngoing, SendCloneInput, BatchStep>(batch);
        await _fixture.RunAsync<CopyBatch, SendCloneInput, BatchStep>(batch);
        await _fixture.RunAsync<AnnounceStaged, SendCloneInput, BatchStep>(batch);
        Assert.All(Destination.Incoming.Values, t => Assert.Equal(2, t.Status));
        return batch;
    }

    private Task ArrivedAsync(int files) =>
        _fixture.UntilAsync(
            async () =>
                Destination.Incoming.Values.Count(t => t.Status == 2) == files
                && (await _fixture.OutgoingAsync()).Values.Count(t => t.Status == TransferStatus.Staged) == files,
            $"{files} files staged"
        );

    private Task FinishedAsync() =>
        _fixture.UntilAsync(
            async () =>
            {
                await using var db = _fixture.Site.Catalog.Open();
                return await db.SendQueue.AllAsync(q => q.Completed);
            },
            "all batches ended"
        );
}
