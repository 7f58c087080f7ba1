using System.Net;
using Librarian.Client;
using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Ingest;
using Librarian.Orchestrations.Peers;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Peers;

public sealed class SqliteUpstreamDestinationTests(PostgresServer server) : UpstreamDestinationTests(server, DatabaseKind.Sqlite);

public sealed class PostgresUpstreamDestinationTests(PostgresServer server) : UpstreamDestinationTests(server, DatabaseKind.PostgreSql);

/// <summary>Our site sends to an unmodified upstream librarian (wire.md §9.1 to §9.5 with us as S), and understands whatever it answers.</summary>
public abstract class UpstreamDestinationTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private PeerRig _rig = null!;

    private UpstreamLibrarian Destination => _rig.Peer;

    private List<string> Staged => [.. Destination.Bodies("clone/batch_stage")];

    public async ValueTask InitializeAsync() => _rig = await PeerRig.CreateAsync(kind, server);

    public async ValueTask DisposeAsync()
    {
        await _rig.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Push_ToUpstream_MakesTheCapturedCallsInTheirOrderAndPicksTheUsableProvider()
    {
        await _rig.KeepAsync("obs/2026/été/one.bin");
        await _rig.KeepAsync("obs/book", PeerRig.DirectorySum, "aaa", directory: true);
        Assert.Equal(2, await _rig.Site.Services.GetRequiredService<CloneScheduler>().ScheduleAsync(CancellationToken.None));
        await ArrivedAsync(2);

        Assert.Equal(["ping/", "clone/batch_stage", "checkin/update", "checkin/update"], Destination.Paths);
        Assert.Equal("{}", Destination.Bodies("ping/").Single());
        Assert.Equal($$"""{"uploads":[{"upload_size":11,"upload_checksum":"{{PeerRig.HelloSum}}","upload_name":"obs/2026/été/one.bin","destination_location":"obs/2026/été/one.bin","uploader":"admin","source_transfer_id":1},{"upload_size":3,"upload_checksum":"{{PeerRig.DirectorySum}}","upload_name":"obs/book","destination_location":"obs/book","uploader":"admin","source_transfer_id":2}],"source":"testsite","total_size":14}""", Staged.Single());
        Assert.Equal(["""{"source_transfer_ids":[],"destination_transfer_ids":[1,2],"new_status":1}""", """{"source_transfer_ids":[],"destination_transfer_ids":[1,2],"new_status":2}"""], Destination.Bodies("checkin/update"));
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
        Assert.Equal([TransferStatus.Completed, TransferStatus.Completed], (await _rig.OutgoingAsync()).Values.Select(t => t.Status));
        await using var db = _rig.Site.Catalog.Open();
        Assert.All(await db.RemoteInstances.ToListAsync(), r => Assert.Equal((1L, "testsite"), (r.StoreId, r.Sender)));
        Assert.Equal(2, await db.RemoteInstances.CountAsync());
    }

    [Fact]
    public async Task Callback_EarlyAndTwice_RecordsOneCopy()
    {
        await _rig.KeepAsync("obs/a");
        var early = 0;
        Destination.Interfere = async request =>
        {
            // While our own STAGED is still on its way: the transfer is ONGOING here (wire.md §9.1 step 6).
            if (request.Path != "checkin/update" || !request.Body.EndsWith("\"new_status\":2}", StringComparison.Ordinal)) return null;
            early = (await Destination.CallBackAsync(Destination.Incoming[1])).Status;
            return null;
        };
        await _rig.Site.Services.GetRequiredService<CloneScheduler>().ScheduleAsync(CancellationToken.None);
        await FinishedAsync();
        Assert.Equal(200, early);
        var again = await Destination.CallBackAsync(Destination.Incoming[1]);
        Assert.Equal((200, """{"source_transfer_id":1,"destination_transfer_id":1}"""), (again.Status, again.Body));
        await using var db = _rig.Site.Catalog.Open();
        Assert.Equal(1, await db.RemoteInstances.CountAsync());
        var unknown = await Destination.CallAsync("clone/complete", """{"source_transfer_id":99,"destination_transfer_id":1,"store_id":1}""");
        Assert.Equal((400, "Could not find transfer."), (unknown.Status, UpstreamLibrarian.Reason(unknown)));
    }

    [Fact]
    public async Task Callback_ThatNeverComes_IsMadeUpForByOurReview()
    {
        var batch = await PushedAsync("obs/a", "obs/b", "obs/c", "obs/d");
        // Two have arrived without a word, one is still being looked at, one is forgotten altogether.
        Destination.Files["obs/a"] = Destination.Files["obs/b"] = (11, PeerRig.HelloSum);
        Destination.Incoming[1].Status = 3;
        Destination.Incoming.TryRemove(2, out _);
        Destination.Incoming.TryRemove(4, out _);
        var step = await _rig.RunAsync<ReviewBatch, SendCloneInput, BatchStep>(batch);
        Assert.Equal((StepOutcome.Wait, 1), (step.Outcome, step.Remaining));
        var rows = await _rig.OutgoingAsync();
        Assert.Equal([TransferStatus.Completed, TransferStatus.Completed, TransferStatus.Staged, TransferStatus.Failed], rows.OrderBy(r => r.Key, StringComparer.Ordinal).Select(r => r.Value.Status));
        Assert.Equal("""{"name":"obs/a","create_time_window":null,"uploader":null,"source":null,"max_results":64}""", Destination.Bodies("search/file")[0]);
    }

    [Fact]
    public async Task Review_OfAPeerThatForgotTheStaging_SaysSoAgainInOneCall()
    {
        var batch = await PushedAsync("obs/a", "obs/b");
        foreach (var transfer in Destination.Incoming.Values) transfer.Status = 1;
        await _rig.RunAsync<ReviewBatch, SendCloneInput, BatchStep>(batch);
        Assert.All(Destination.Incoming.Values, t => Assert.Equal(2, t.Status));
        Assert.Equal("""{"source_transfer_ids":[],"destination_transfer_ids":[1,2],"new_status":2}""", Destination.Bodies("checkin/update")[^1]);
    }

    [Fact]
    public async Task Stage_409_LearnsTheCopiesAndSendsTheRest()
    {
        Destination.Files["obs/001"] = (11, PeerRig.HelloSum);
        Destination.Files["obs/003"] = (3, PeerRig.AbcSum);
        var step = await _rig.StageAsync(await _rig.BatchAsync(5));
        Assert.Equal((StepOutcome.Done, 3), (step.Outcome, step.Remaining));
        var rows = await _rig.OutgoingAsync();
        Assert.Equal(TransferStatus.Completed, rows["obs/001"].Status);
        Assert.Equal(TransferStatus.Failed, rows["obs/003"].Status);
        Assert.Equal(["obs/000", "obs/002", "obs/004"], Placed(rows));
        Assert.Equal(2, Staged.Count);
        await using var db = _rig.Site.Catalog.Open();
        Assert.Equal(("obs/001", 1L), await db.RemoteInstances.Select(r => new ValueTuple<string, long>(r.FileName, r.StoreId)).SingleAsync());
    }

    [Fact]
    public async Task Stage_409WithoutIds_FindsTheFileByAskingForHalves()
    {
        Destination.Files["obs/005"] = (11, PeerRig.HelloSum);
        Destination.Interfere = request => Task.FromResult(request.Path == "clone/batch_stage" && request.Body.Contains("obs/005", StringComparison.Ordinal)
            ? new WireAnswer(409, """{"reason":"File already exists on librarian.","suggested_remedy":""}""") : null);
        var step = await _rig.StageAsync(await _rig.BatchAsync(8));
        Assert.Equal((StepOutcome.Done, 7), (step.Outcome, step.Remaining));
        Assert.Equal(TransferStatus.Completed, (await _rig.OutgoingAsync())["obs/005"].Status);
        Assert.InRange(Staged.Count, 4, 7);
    }

    [Fact]
    public async Task Stage_425_LetsTheFileWaitWithoutFailingItAndSendsTheRest()
    {
        var batch = await _rig.BatchAsync(4);
        // Somebody else brings it at this moment.
        Destination.Incoming[500] = new UpstreamTransfer { Id = 500, Name = "obs/002", Size = 11, Checksum = PeerRig.HelloSum, Status = 1 };
        Assert.Equal((StepOutcome.Done, 3), await OutcomeAsync(batch));
        var rows = await _rig.OutgoingAsync();
        Assert.Equal(["obs/000", "obs/001", "obs/003"], Placed(rows));
        Assert.Equal(TransferStatus.Cancelled, rows["obs/002"].Status);
        Assert.InRange(rows["obs/002"].RetryAfter!.Value - DateTime.UtcNow, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(15));
        Assert.Empty(await _rig.ErrorsAsync());
        Assert.Null(await _rig.BatchAsync());

        // It waits longer each time, and is sent when the other transfer has ended.
        await LetRetryAsync();
        await OutcomeAsync((await _rig.BatchAsync())!);
        Assert.InRange((await _rig.OutgoingAsync())["obs/002"].RetryAfter!.Value - DateTime.UtcNow, TimeSpan.FromSeconds(16), TimeSpan.FromSeconds(30));
        Destination.Incoming[500].Status = 4;
        await LetRetryAsync();
        Assert.Equal((StepOutcome.Done, 1), await OutcomeAsync((await _rig.BatchAsync())!));
        Assert.Equal(["obs/000", "obs/001", "obs/002", "obs/003"], Placed(await _rig.OutgoingAsync()));
    }

    [Fact]
    public async Task Stage_425OfOurOwnEarlierAttempt_EndsThatAndGoesOnAtOnce()
    {
        var batch = await _rig.BatchAsync(2);
        Assert.Equal((StepOutcome.Done, 2), await OutcomeAsync(batch));
        foreach (var transfer in Destination.Incoming.Values) transfer.Status = 1;
        await using (var db = _rig.Site.Catalog.Open())
        {
            // We gave up, and the peer was away when we wanted to tell it.
            await db.OutgoingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Failed));
        }

        Assert.Equal((StepOutcome.Done, 2), await OutcomeAsync((await _rig.BatchAsync())!));
        Assert.Equal([4, 4, 0, 0], Destination.Incoming.Values.OrderBy(t => t.Id).Select(t => t.Status));
        Assert.Equal("""{"source_transfer_ids":[],"destination_transfer_ids":[1,2]}""", Destination.Bodies("checkin/status").Single());
        Assert.Equal("""{"source_transfer_ids":[],"destination_transfer_ids":[1,2],"new_status":4}""", Destination.Bodies("checkin/update").Single());
    }

    [Fact]
    public async Task Stage_406_IsAskedAgainAndTaken()
    {
        var batch = await _rig.BatchAsync(2);
        Destination.Incoming[500] = new UpstreamTransfer { Id = 500, Name = "obs/001", Size = 11, Checksum = PeerRig.HelloSum };
        Assert.Equal((StepOutcome.Soon, 2), await OutcomeAsync(batch));
        Assert.Equal((StepOutcome.Done, 2), await OutcomeAsync(batch));
        Assert.Equal(["obs/000", "obs/001"], Placed(await _rig.OutgoingAsync()));
    }

    [Fact]
    public async Task Stage_413_StopsNewBatchesTellsAPersonOnceAndEndsWhenItTakesFilesAgain()
    {
        var batch = await _rig.BatchAsync(8);
        Destination.Interfere = NoRoomAbove(-1);
        Assert.Equal((StepOutcome.Full, 8), await OutcomeAsync(batch));
        // All of them, then the smallest alone.
        Assert.Equal(2, Staged.Count);
        Assert.Equal((StepOutcome.Full, 8), await OutcomeAsync(batch));
        var error = Assert.Single(await _rig.ErrorsAsync());
        Assert.Equal((ErrorCategory.StoreFull, "librarian aaa", false), (error.Category, error.Caller, error.Cleared));

        await _rig.KeepAsync("later");
        var scheduler = _rig.Site.Services.GetRequiredService<CloneScheduler>();
        Assert.Equal(0, await scheduler.ScheduleAsync(CancellationToken.None));
        Destination.Interfere = null;
        Assert.Equal((StepOutcome.Done, 8), await OutcomeAsync(batch));
        Assert.True((await _rig.ErrorsAsync()).Single().Cleared);
        Assert.Equal(1, await scheduler.ScheduleAsync(CancellationToken.None));
    }

    [Fact]
    public async Task Stage_413WithNoBatchLeftThatAsks_MakesOneSoThatThePauseEnds()
    {
        var batch = await _rig.BatchAsync(1);
        Destination.Interfere = NoRoomAbove(-1);
        Assert.Equal((StepOutcome.Full, 1), await OutcomeAsync(batch));
        await using (var db = _rig.Site.Catalog.Open()) await db.SendQueue.ExecuteUpdateAsync(s => s.SetProperty(q => q.Completed, true));
        Destination.Interfere = null;
        await _rig.KeepAsync("later");
        Assert.Equal(1, await _rig.Site.Services.GetRequiredService<CloneScheduler>().ScheduleAsync(CancellationToken.None));
        await _rig.UntilAsync(async () =>
        {
            await using var db = _rig.Site.Catalog.Open();
            return await db.Librarians.AnyAsync(l => l.FullSince == null);
        }, "not full any more");
    }

    [Fact]
    public async Task Stage_413WithRoomForSome_FillsItWithTheSmallerOnes()
    {
        for (var i = 0; i < 16; i++) await _rig.KeepAsync($"obs/{i:00}", content: new string('x', 10 * (i + 1)));
        var batch = (await _rig.BatchAsync())!;
        Destination.Interfere = NoRoomAbove(100);
        Assert.Equal((StepOutcome.Done, 10), await OutcomeAsync(batch));
        var rows = await _rig.OutgoingAsync();
        Assert.Equal(Enumerable.Range(0, 10).Select(i => $"obs/{i:00}"), Placed(rows));
        Assert.All(rows.Where(r => r.Value.RemoteTransferId is null), r => Assert.Equal(TransferStatus.Cancelled, r.Value.Status));
        Assert.Empty(await _rig.ErrorsAsync());
        Assert.InRange(Staged.Count, 5, 40);
    }

    [Fact]
    public async Task Stage_401_WaitsAndTellsUntilTheLoginIsRight()
    {
        var batch = await _rig.BatchAsync(2);
        Destination.PasswordHere = "changed";
        Assert.Equal((StepOutcome.Wait, 2), await OutcomeAsync(batch));
        Assert.Equal((StepOutcome.Wait, 2), await OutcomeAsync(batch));
        var error = Assert.Single(await _rig.ErrorsAsync());
        Assert.Equal((ErrorCategory.Configuration, "librarian aaa"), (error.Category, error.Caller));
        Assert.All((await _rig.OutgoingAsync()).Values, t => Assert.Equal(TransferStatus.Initiated, t.Status));
        Destination.PasswordHere = "open-sesame";
        Assert.Equal((StepOutcome.Done, 2), await OutcomeAsync(batch));
        Assert.True((await _rig.ErrorsAsync()).Single().Cleared);
    }

    [Theory]
    [InlineData(400, """{"reason":"No.","suggested_remedy":""}""")]
    [InlineData(422, """{"detail":[{"type":"string_too_long","loc":["body"],"msg":"too long","input":1}]}""")]
    [InlineData(400, "<html>Bad Request</html>")]
    public async Task Stage_RefusedForOneBadFile_GivesUpOnlyThat(int status, string body)
    {
        var batch = await _rig.BatchAsync(33);
        Destination.Interfere = Poison("obs/017", new WireAnswer(status, body));
        Assert.Equal((StepOutcome.Done, 32), await OutcomeAsync(batch));
        var rows = await _rig.OutgoingAsync();
        Assert.Equal(TransferStatus.Failed, rows["obs/017"].Status);
        Assert.Equal(32, Placed(rows).Count);
        Assert.InRange(Staged.Count, 6, 13);
        Assert.Equal("send obs/017 to aaa", Assert.Single(await _rig.ErrorsAsync()).Caller);
    }

    [Fact]
    public async Task Stage_EveryFileRefused_StopsAfterAFewAndWaits()
    {
        var batch = await _rig.BatchAsync(64);
        Destination.Interfere = Poison("obs/", new WireAnswer(400, """{"reason":"No.","suggested_remedy":""}"""));
        Assert.Equal((StepOutcome.Wait, 56), await OutcomeAsync(batch));
        Assert.InRange(Staged.Count, 10, 48);
    }

    [Fact]
    public async Task Stage_FaultsThatGoOn_AreLookedForInTheFiles()
    {
        // Upstream answers 500 for ever to a file that it has two unfinished transfers of (wire.md §6.6.2 row 6).
        var batch = await _rig.BatchAsync(8);
        foreach (var id in new[] { 500L, 501L }) Destination.Incoming[id] = new UpstreamTransfer { Id = id, Name = "obs/006", Size = 11, Checksum = PeerRig.HelloSum };
        Assert.Equal((StepOutcome.Wait, 8), await OutcomeAsync(batch));
        Assert.Single(Staged);
        Assert.Equal((StepOutcome.Done, 7), await OutcomeAsync(batch with { Waits = 4 }));
        Assert.Equal(TransferStatus.Failed, (await _rig.OutgoingAsync())["obs/006"].Status);
    }

    [Theory]
    [InlineData("away")]
    [InlineData("dropped")]
    [InlineData("gateway")]
    [InlineData("garbage")]
    [InlineData("truncated")]
    [InlineData("busy")]
    [InlineData("redirected")]
    public async Task Stage_NoUsableAnswer_WaitsAndLosesNothing(string trouble)
    {
        var batch = await _rig.BatchAsync(3);
        if (trouble == "away") Destination.Server.GoAway();
        Destination.Interfere = request => Task.FromResult(request.Path != "clone/batch_stage" ? null : trouble switch
        {
            "dropped" => WireAnswer.Drop,
            "gateway" => new WireAnswer(503, "<html>", "text/html"),
            "garbage" => new WireAnswer(201, "<html>", "text/html"),
            "truncated" => new WireAnswer(201, """{"available_bytes_on_store":1,"store_name":"x","uploads":[{"staging_name":"x"}"""),
            "busy" => new WireAnswer(429, "{}"),
            _ => new WireAnswer(302, "", null, "http://127.0.0.1:9/elsewhere"),
        });
        for (var i = 0; i < 2; i++) Assert.Equal((StepOutcome.Wait, 3), await OutcomeAsync(batch));
        Assert.All((await _rig.OutgoingAsync()).Values, t => Assert.Equal((TransferStatus.Initiated, null), (t.Status, t.RemoteTransferId)));
        if (trouble == "away") Destination.Server.ComeBack();
        Destination.Interfere = null;
        Assert.Equal((StepOutcome.Done, 3), await OutcomeAsync(batch));
    }

    [Fact]
    public async Task Stage_AnswerWithMissingDoubleAndForeignPlaces_UsesTheRest()
    {
        var batch = await _rig.BatchAsync(4);
        var outside = Path.Combine(_rig.Folder, "outside");
        Destination.Interfere = request => Task.FromResult(request.Path != "clone/batch_stage" ? null : new WireAnswer(201,
            $$"""{"available_bytes_on_store":1,"store_name":"s","uploads":[{{Place(1, 11, Destination.Staging)}},{{Place(3, 12, outside)}},{{Place(4, 13, Destination.Staging)}},{{Place(4, 14, Destination.Staging)}},{{Place(99, 15, Destination.Staging)}}],"async_transfer_providers":{{Destination.Providers}}}"""));
        Assert.Equal((StepOutcome.Done, 1), await OutcomeAsync(batch));
        var rows = await _rig.OutgoingAsync();
        Assert.Equal(["obs/000"], Placed(rows).Where(n => rows[n].Status == TransferStatus.Initiated));
        Assert.Equal(3, rows.Values.Count(t => t.Status == TransferStatus.Failed));
        // The one place that was named outside is given back.
        Assert.Equal("""{"source_transfer_id":3,"destination_transfer_id":12,"reason":"'aaa' named a staging location outside Site:Peers:LocalRoots, or none."}""", Destination.Bodies("clone/fail").Single());

        static string Place(long ours, long theirs, string root) =>
            $$"""{"staging_name":"s{{theirs}}","staging_location":"{{root}}/s{{theirs}}/x","upload_name":"x","destination_location":"x","source_transfer_id":{{ours}},"destination_transfer_id":{{theirs}}}""";
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"globus":{"destination_endpoint":"dead-beef"}}""")]
    [InlineData("""{"local":{"hostnames":["elsewhere"]},"new":{"kind":"x"}}""")]
    public async Task Stage_NoUsableProvider_GivesThePlacesBackInOneCall(string providers)
    {
        Destination.Providers = providers;
        Assert.Equal((StepOutcome.Done, 0), await OutcomeAsync(await _rig.BatchAsync(3)));
        Assert.Equal("""{"source_transfer_ids":[],"destination_transfer_ids":[1,2,3],"new_status":4}""", Destination.Bodies("checkin/update").Single());
        Assert.All(Destination.Incoming.Values, t => Assert.Equal(4, t.Status));
        Assert.Single(await _rig.ErrorsAsync());
    }

    [Fact]
    public async Task Announce_PartlyRefused_FollowsWhatThePeerReallyDid()
    {
        var batch = await _rig.BatchAsync(5);
        await OutcomeAsync(batch);
        Destination.Incoming[2].Status = 4;
        Destination.Incoming[3].Status = 1;
        Destination.Incoming.TryRemove(4, out _);
        Destination.Incoming[5].Status = 3;
        Destination.Files["obs/004"] = (11, PeerRig.HelloSum);
        var step = await _rig.RunAsync<AnnounceOngoing, SendCloneInput, BatchStep>(batch);
        Assert.Equal((StepOutcome.Done, 2), (step.Outcome, step.Remaining));
        var rows = await _rig.OutgoingAsync();
        Assert.Equal([TransferStatus.Ongoing, TransferStatus.Failed, TransferStatus.Ongoing, TransferStatus.Failed, TransferStatus.Completed], rows.OrderBy(r => r.Key, StringComparer.Ordinal).Select(r => r.Value.Status));
    }

    [Fact]
    public async Task Connections_ToAPeer_StayFewOverTwoHundredCalls()
    {
        var peer = (await _rig.Site.Services.GetRequiredService<PeerConnections>().FindAsync("aaa", CancellationToken.None))!;
        for (var i = 0; i < 25; i++) Assert.All(await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => peer.Client.PingLoggedAsync())), r => Assert.True(r.IsSuccess));
        Assert.Equal(200, Destination.Server.Requests.Count);
        Assert.InRange(Destination.Server.Connections, 1, 8);
    }

    [Fact]
    public async Task Redirect_307OnTheSameHost_IsFollowedWithBodyAndCredentialsAndNoOther()
    {
        var peer = (await _rig.Site.Services.GetRequiredService<PeerConnections>().FindAsync("aaa", CancellationToken.None))!.Client;
        var answers = new Queue<WireAnswer?>([new WireAnswer(307, "", null, $"http://127.0.0.1:{Destination.Server.Port}/api/v2/search/file"), null]);
        Destination.Interfere = _ => Task.FromResult(answers.Dequeue());
        Assert.True((await peer.SearchFilesAsync(new Librarian.Client.Wire.FileSearchRequest(Name: "x"))).IsSuccess);
        Assert.Equal(2, Destination.Bodies("search/file").Count);
        Assert.Single(Destination.Bodies("search/file").Distinct(StringComparer.Ordinal));
        Assert.All(Destination.Server.Requests, r => Assert.Equal(("testsite", "open-sesame"), r.Credentials));

        await using var thief = new WireServer(_ => Task.FromResult(new WireAnswer(200, "[]")));
        foreach (var (status, location) in new[]
        {
            (307, $"http://127.0.0.1:{thief.Port}/api/v2/search/file"), (307, $"http://localhost:{Destination.Server.Port}/api/v2/search/file"), (301, "/api/v2/search/file"),
            (302, "/api/v2/search/file"), (303, "/api/v2/search/file"), (308, "/api/v2/search/file"),
        })
        {
            Destination.Interfere = _ => Task.FromResult<WireAnswer?>(new WireAnswer(status, "", null, location));
            var before = Destination.Server.Requests.Count;
            Assert.Equal(status, Assert.IsType<Refused>((await peer.SearchFilesAsync(new Librarian.Client.Wire.FileSearchRequest(Name: "x"))).Error).Status);
            Assert.Equal(before + 1, Destination.Server.Requests.Count);
        }

        Assert.Equal(0, thief.Connections);
    }

    [Fact]
    public async Task Calls_ToAPeerThatHangs_EndWithTheirTimeout()
    {
        var hold = new TaskCompletionSource<WireAnswer?>();
        Destination.Interfere = _ => hold.Task;
        var connections = _rig.Site.Services.GetRequiredService<PeerConnections>();
        var login = (await connections.FindAsync("aaa", CancellationToken.None))!.Login;
        Assert.Equal(TimeSpan.FromMinutes(5), connections.For(login)!.Client.AnswerTimeout);
        var reply = await connections.For(login, TimeSpan.FromMilliseconds(200))!.Client.PingLoggedAsync();
        Assert.True(Assert.IsType<Unreachable>(reply.Error).MayHaveActed);
        hold.SetResult(null);
    }

    /// <summary>Two processes of the site, and timers that overlap: the in-flight index lets one transfer per file through.</summary>
    [Fact]
    public async Task Schedule_AtTheSameTime_NeverPutsAFileInFlightTwice()
    {
        Destination.Server.GoAway();
        for (var i = 0; i < 60; i++) await _rig.KeepAsync($"obs/{i}");
        var scheduler = _rig.Site.Services.GetRequiredService<CloneScheduler>();
        for (var round = 0; round < 3; round++)
        {
            using var start = new Barrier(6);
            await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(async () =>
            {
                start.SignalAndWait();
                await scheduler.ScheduleAsync(CancellationToken.None);
            })));
        }

        await using var db = _rig.Site.Catalog.Open();
        Assert.Equal(60, await db.OutgoingTransfers.CountAsync(t => OutgoingTransfers.Unfinished.Contains(t.Status)));
        Assert.Equal(60, await db.OutgoingTransfers.Select(t => t.FileName).Distinct().CountAsync());
        // And whatever code there will be, the database refuses it.
        db.OutgoingTransfers.Add(new OutgoingTransfer { Status = TransferStatus.Initiated, Destination = "aaa", TransferSize = 11, TransferChecksum = PeerRig.HelloSum, StartTime = DateTime.UtcNow, FileName = "obs/1" });
        Assert.True(CatalogDatabase.IsUniqueViolation(await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync())));
    }

    /// <summary>wire.md §9.5 with us as the one that has a good copy: three calls back to the peer while its request is open.</summary>
    [Fact]
    public async Task Repair_OfUpstreamsCopy_CallsBackBeforeItAnswers()
    {
        await _rig.KeepAsync("obs/a");
        Destination.Keep("obs/a", PeerRig.HelloSum, "hello_world");
        await using (var db = _rig.Site.Catalog.Open())
        {
            db.RemoteInstances.Add(new RemoteInstance { FileName = "obs/a", StoreId = 7, LibrarianId = (await db.Librarians.SingleAsync()).Id, CopyTime = DateTime.UtcNow, Sender = "testsite" });
            await db.SaveChangesAsync();
        }

        var resent = await Destination.FixCorruptionAsync("obs/a");
        Assert.Equal((200, """{"success":true,"destination_transfer_id":1}"""), (resent.Status, resent.Body));
        Assert.Equal(["ping/logged", "ping/logged", "ping/", "clone/batch_stage", "checkin/update"], Destination.Paths.Take(5));
        await ArrivedAsync(1);
        await Destination.ReceiveCloneAsync();
        await FinishedAsync();
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(Destination.Store, "obs/a")));
        await using var after = _rig.Site.Catalog.Open();
        Assert.Equal(1, (await after.RemoteInstances.SingleAsync()).StoreId);
    }

    [Fact]
    public async Task CheckinByTheDestination_FailsOurTransfer_AndTheFileIsOfferedAgainLater()
    {
        await PushedAsync("obs/a");
        File.Delete(Destination.Incoming[1].Place!);
        await Destination.ReceiveCloneAsync();
        var row = (await _rig.OutgoingAsync())["obs/a"];
        Assert.Equal(TransferStatus.Failed, row.Status);
        Assert.True(row.RetryAfter > DateTime.UtcNow);
        await Destination.IncomingHypervisorAsync();
        Destination.Incoming[2] = new UpstreamTransfer { Id = 2, Name = "x", Size = 1, Checksum = "c", Status = 1, Theirs = row.Id };
        await Destination.IncomingHypervisorAsync();
        Assert.Equal(4, Destination.Incoming[2].Status);
    }

    private async Task<(StepOutcome Outcome, int Remaining)> OutcomeAsync(SendCloneInput batch)
    {
        var step = await _rig.StageAsync(batch);
        return (step.Outcome, step.Remaining);
    }

    private static List<string> Placed(Dictionary<string, OutgoingTransfer> rows) => [.. rows.Where(r => r.Value.RemoteTransferId is not null).Select(r => r.Key).Order(StringComparer.Ordinal)];

    private static Func<WireRequest, Task<WireAnswer?>> NoRoomAbove(long bytes) => request => Task.FromResult(
        request.Path == "clone/batch_stage" && request.Json.GetProperty("total_size").GetInt64() > bytes
            ? new WireAnswer(413, """{"detail":"{\"reason\":\"No stores available for upload. Your upload is too large.\",\"suggested_remedy\":\"\",\"source_transfer_id\":-1,\"destination_transfer_id\":-1}"}""") : null);

    private static Func<WireRequest, Task<WireAnswer?>> Poison(string name, WireAnswer answer) => request => Task.FromResult(
        request.Path == "clone/batch_stage" && request.Body.Contains(name, StringComparison.Ordinal) ? answer : null);

    private async Task LetRetryAsync()
    {
        await using var db = _rig.Site.Catalog.Open();
        var past = DateTime.UtcNow.AddSeconds(-1);
        await db.OutgoingTransfers.Where(t => t.RetryAfter != null).ExecuteUpdateAsync(s => s.SetProperty(t => t.RetryAfter, past));
    }

    /// <summary>Staged, copied and announced, with nobody who waits for the callbacks.</summary>
    private async Task<SendCloneInput> PushedAsync(params string[] names)
    {
        foreach (var name in names) await _rig.KeepAsync(name);
        var batch = (await _rig.BatchAsync())!;
        await _rig.StageAsync(batch);
        await _rig.RunAsync<AnnounceOngoing, SendCloneInput, BatchStep>(batch);
        await _rig.RunAsync<CopyBatch, SendCloneInput, BatchStep>(batch);
        await _rig.RunAsync<AnnounceStaged, SendCloneInput, BatchStep>(batch);
        Assert.All(Destination.Incoming.Values, t => Assert.Equal(2, t.Status));
        return batch;
    }

    private Task ArrivedAsync(int files) => _rig.UntilAsync(async () =>
        Destination.Incoming.Values.Count(t => t.Status == 2) == files && (await _rig.OutgoingAsync()).Values.Count(t => t.Status == TransferStatus.Staged) == files, $"{files} files staged");

    private Task FinishedAsync() => _rig.UntilAsync(async () =>
    {
        await using var db = _rig.Site.Catalog.Open();
        return await db.SendQueue.AllAsync(q => q.Completed);
    }, "all batches ended");
}
