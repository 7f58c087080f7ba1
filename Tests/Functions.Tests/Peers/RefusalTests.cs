using Librarian.Client;
using Librarian.Domain.Catalog;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Peers;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Peers;

/// <summary>What a peer may answer and do to us, and what we make of it; nothing of it depends on the database.</summary>
public sealed class RefusalTests(PostgresServer server) : IAsyncLifetime
{
    private PeerFixture _fixture = null!;

    private UpstreamLibrarian Destination => _fixture.Peer;

    private List<string> Staged => [.. Destination.Bodies("clone/batch_stage")];

    public async ValueTask InitializeAsync() => _fixture = await PeerFixture.CreateAsync(DatabaseKind.Sqlite, server);

    public ValueTask DisposeAsync() => _fixture.DisposeAsync();

    [Fact]
    public async Task Stage_409WithoutIds_FindsTheFileByAskingForHalves()
    {
        Destination.Files["obs/005"] = (11, PeerFixture.HelloSum);
        Destination.Interfere = request =>
            Task.FromResult(
                request.Path == "clone/batch_stage" && request.Body.Contains("obs/005", StringComparison.Ordinal)
                    ? new WireAnswer(409, """{"reason":"File already exists on librarian.","suggested_remedy":""}""")
                    : null
            );
        var step = await _fixture.StageAsync(await _fixture.BatchAsync(8));
        Assert.Equal((StepOutcome.Done, 7), (step.Outcome, step.Remaining));
        Assert.Equal(TransferStatus.Completed, (await _fixture.OutgoingAsync())["obs/005"].Status);
        Assert.InRange(Staged.Count, 4, 7);
    }

    [Fact]
    public async Task Stage_409OfAFileThatOnlyTheirCatalogHas_RecordsNoCopy()
    {
        Destination.Files["obs/001"] = (11, PeerFixture.HelloSum);
        Destination.Files["obs/002"] = (11, PeerFixture.HelloSum);
        Destination.Damaged.Add("obs/001");
        await _fixture.StageAsync(await _fixture.BatchAsync(3));
        var sent = await _fixture.OutgoingAsync();
        Assert.Equal((TransferStatus.Failed, TransferStatus.Completed), (sent["obs/001"].Status, sent["obs/002"].Status));
        await using var db = _fixture.Site.Catalog.Open();
        Assert.Equal("obs/002", (await db.RemoteCopies.SingleAsync()).FileName);
    }

    [Fact]
    public async Task Stage_406_IsAskedAgainAndTaken()
    {
        var batch = await _fixture.BatchAsync(2);
        Destination.Incoming[500] = new UpstreamTransfer
        {
            Id = 500,
            Name = "obs/001",
            Size = 11,
            Checksum = PeerFixture.HelloSum,
        };
        Assert.Equal((StepOutcome.RetrySoon, 2), await OutcomeAsync(batch));
        Assert.Equal((StepOutcome.Done, 2), await OutcomeAsync(batch));
        Assert.Equal(["obs/000", "obs/001"], PeerFixture.Committed(await _fixture.OutgoingAsync()));
    }

    [Fact]
    public async Task Stage_413WithNoBatchLeftThatAsks_MakesOneSoThatThePauseEnds()
    {
        var batch = await _fixture.BatchAsync(1);
        Destination.Interfere = PeerFixture.NoRoomAbove(-1);
        Assert.Equal((StepOutcome.Full, 1), await OutcomeAsync(batch));
        await using (var db = _fixture.Site.Catalog.Open())
            await db.SendQueue.ExecuteUpdateAsync(s => s.SetProperty(q => q.Completed, true));
        Destination.Interfere = null;
        await _fixture.KeepAsync("later");
        Assert.Equal(1, await _fixture.Site.Services.GetRequiredService<CloneScheduler>().ScheduleAsync(CancellationToken.None));
        await _fixture.UntilAsync(
            async () =>
            {
                await using var db = _fixture.Site.Catalog.Open();
                return await db.Peers.AnyAsync(l => l.FullSince == null);
            },
            "not full any more"
        );
    }

    [Fact]
    public async Task Stage_413WithRoomForSome_FillsItWithTheSmallerOnes()
    {
        for (var i = 0; i < 16; i++)
            await _fixture.KeepAsync($"obs/{i:00}", content: new string('x', 10 * (i + 1)));
        var batch = (await _fixture.BatchAsync())!;
        Destination.Interfere = PeerFixture.NoRoomAbove(100);
        Assert.Equal((StepOutcome.Done, 10), await OutcomeAsync(batch));
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal(Enumerable.Range(0, 10).Select(i => $"obs/{i:00}"), PeerFixture.Committed(rows));
        Assert.All(rows.Where(r => r.Value.RemoteTransferId is null), r => Assert.Equal(TransferStatus.Cancelled, r.Value.Status));
        Assert.Empty(await _fixture.ErrorsAsync());
        Assert.InRange(Staged.Count, 5, 40);
    }

    [Fact]
    public async Task Stage_401_WaitsAndTellsUntilTheLoginIsRight()
    {
        var batch = await _fixture.BatchAsync(2);
        Destination.PasswordHere = "changed";
        Assert.Equal((StepOutcome.Wait, 2), await OutcomeAsync(batch));
        Assert.Equal((StepOutcome.Wait, 2), await OutcomeAsync(batch));
        var error = Assert.Single(await _fixture.ErrorsAsync());
        Assert.Equal((ErrorCategory.Configuration, "librarian aaa"), (error.Category, error.Caller));
        Assert.All((await _fixture.OutgoingAsync()).Values, t => Assert.Equal(TransferStatus.Initiated, t.Status));
        Destination.PasswordHere = "open-sesame";
        Assert.Equal((StepOutcome.Done, 2), await OutcomeAsync(batch));
        Assert.True((await _fixture.ErrorsAsync()).Single().Cleared);
    }

    [Theory]
    [InlineData(400, """{"reason":"No.","suggested_remedy":""}""")]
    [InlineData(422, """{"detail":[{"type":"string_too_long","loc":["body"],"msg":"too long","input":1}]}""")]
    [InlineData(400, "<html>Bad Request</html>")]
    public async Task Stage_RefusedForOneBadFile_GivesUpOnlyThat(int status, string body)
    {
        var batch = await _fixture.BatchAsync(33);
        Destination.Interfere = Poison("obs/017", new WireAnswer(status, body));
        Assert.Equal((StepOutcome.Done, 32), await OutcomeAsync(batch));
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal(TransferStatus.Failed, rows["obs/017"].Status);
        Assert.Equal(32, PeerFixture.Committed(rows).Count);
        Assert.InRange(Staged.Count, 6, 13);
        Assert.Equal("send obs/017 to aaa", Assert.Single(await _fixture.ErrorsAsync()).Caller);
    }

    [Fact]
    public async Task Stage_EveryFileRefused_StopsAfterAFewAndWaits()
    {
        var batch = await _fixture.BatchAsync(64);
        Destination.Interfere = Poison("obs/", new WireAnswer(400, """{"reason":"No.","suggested_remedy":""}"""));
        Assert.Equal((StepOutcome.Wait, 56), await OutcomeAsync(batch));
        Assert.InRange(Staged.Count, 10, 48);
    }

    [Fact]
    public async Task Stage_FaultsThatGoOn_AreLookedForInTheFiles()
    {
        // Upstream answers 500 for as long as it has two unfinished transfers of a file (docs/spec/wire.md#several-unfinished-transfers).
        var batch = await _fixture.BatchAsync(8);
        foreach (var id in new[] { 500L, 501L })
            Destination.Incoming[id] = new UpstreamTransfer
            {
                Id = id,
                Name = "obs/006",
                Size = 11,
                Checksum = PeerFixture.HelloSum,
            };
        Assert.Equal((StepOutcome.Wait, 8), await OutcomeAsync(batch));
        Assert.Single(Staged);
        Assert.Equal((StepOutcome.Done, 7), await OutcomeAsync(batch with { Waits = 4 }));
        Assert.Equal(TransferStatus.Failed, (await _fixture.OutgoingAsync())["obs/006"].Status);
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
        var batch = await _fixture.BatchAsync(3);
        if (trouble == "away")
            Destination.Server.GoAway();
        Destination.Interfere = request =>
            Task.FromResult(
                request.Path != "clone/batch_stage"
                    ? null
                    : trouble switch
                    {
                        "dropped" => WireAnswer.Drop,
                        "gateway" => new WireAnswer(503, "<html>", "text/html"),
                        "garbage" => new WireAnswer(201, "<html>", "text/html"),
                        "truncated" => new WireAnswer(
                            201,
                            """{"available_bytes_on_store":1,"store_name":"x","uploads":[{"staging_name":"x"}"""
                        ),
                        "busy" => new WireAnswer(429, "{}"),
                        _ => new WireAnswer(302, "", null, "http://127.0.0.1:9/elsewhere"),
                    }
            );
        for (var i = 0; i < 2; i++)
            Assert.Equal((StepOutcome.Wait, 3), await OutcomeAsync(batch));
        Assert.All((await _fixture.OutgoingAsync()).Values, t =>
            Assert.Equal((TransferStatus.Initiated, null), (t.Status, t.RemoteTransferId))
        );
        if (trouble == "away")
            Destination.Server.ComeBack();
        Destination.Interfere = null;
        Assert.Equal((StepOutcome.Done, 3), await OutcomeAsync(batch));
    }

    [Fact]
    public async Task Stage_AnswerWithMissingDoubleAndForeignPlaces_UsesTheRest()
    {
        var batch = await _fixture.BatchAsync(4);
        var outside = Path.Combine(_fixture.Folder, "outside");
        Destination.Interfere = request =>
            Task.FromResult(
                request.Path != "clone/batch_stage"
                    ? null
                    : new WireAnswer(
                        201,
                        $$"""
                        {"available_bytes_on_store":1,"store_name":"s",
                         "uploads":[{{Place(1, 11, Destination.Staging)}},{{Place(3, 12, outside)}},
                          {{Place(4, 13, Destination.Staging)}},{{Place(4, 14, Destination.Staging)}},
                          {{Place(99, 15, Destination.Staging)}}],
                         "async_transfer_providers":{{Destination.Providers}}}
                        """
                    )
            );
        Assert.Equal((StepOutcome.Done, 1), await OutcomeAsync(batch));
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal(["obs/000"], PeerFixture.Committed(rows).Where(n => rows[n].Status == TransferStatus.Initiated));
        Assert.Equal(3, rows.Values.Count(t => t.Status == TransferStatus.Failed));
        // The one place that was named outside is given back.
        Assert.Equal(
            """{"source_transfer_id":3,"destination_transfer_id":12,"reason":"'aaa' named a staging location """
                + """outside Site:Peers:LocalRoots, or none."}""",
            Destination.Bodies("clone/fail").Single()
        );

        static string Place(long ours, long theirs, string root) =>
            $$"""
                {"staging_name":"s{{theirs}}","staging_location":"{{root}}/s{{theirs}}/x","upload_name":"x",
                 "destination_location":"x","source_transfer_id":{{ours}},"destination_transfer_id":{{theirs}}}
                """;
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"globus":{"destination_endpoint":"dead-beef"}}""")]
    [InlineData("""{"local":{"hostnames":["elsewhere"]},"new":{"kind":"x"}}""")]
    public async Task Stage_NoUsableProvider_GivesThePlacesBackInOneCall(string providers)
    {
        Destination.Providers = providers;
        Assert.Equal((StepOutcome.Done, 0), await OutcomeAsync(await _fixture.BatchAsync(3)));
        Assert.Equal(
            """{"source_transfer_ids":[],"destination_transfer_ids":[1,2,3],"new_status":4}""",
            Destination.Bodies("checkin/update").Single()
        );
        Assert.All(Destination.Incoming.Values, t => Assert.Equal(4, t.Status));
        Assert.Single(await _fixture.ErrorsAsync());
    }

    [Fact]
    public async Task Connections_ToAPeer_StayFewOverTwoHundredCalls()
    {
        var peer = (await _fixture.Site.Services.GetRequiredService<PeerConnections>().FindAsync("aaa", CancellationToken.None))!;
        for (var i = 0; i < 25; i++)
            Assert.All(await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => peer.Client.PingLoggedAsync())), r =>
                Assert.True(r.IsSuccess)
            );
        Assert.Equal(200, Destination.Server.Requests.Count);
        Assert.InRange(Destination.Server.Connections, 1, 8);
    }

    [Fact]
    public async Task Redirect_307OnTheSameHost_IsFollowedWithBodyAndCredentialsAndNoOther()
    {
        var peer = (await _fixture.Site.Services.GetRequiredService<PeerConnections>().FindAsync("aaa", CancellationToken.None))!.Client;
        var answers = new Queue<WireAnswer?>([
            new WireAnswer(307, "", null, $"http://127.0.0.1:{Destination.Server.Port}/api/v2/search/file"),
            null,
        ]);
        Destination.Interfere = _ => Task.FromResult(answers.Dequeue());
        Assert.True((await peer.SearchFilesAsync(new Librarian.Client.Wire.FileSearchRequest(Name: "x"))).IsSuccess);
        Assert.Equal(2, Destination.Bodies("search/file").Count);
        Assert.Single(Destination.Bodies("search/file").Distinct(StringComparer.Ordinal));
        Assert.All(Destination.Server.Requests, r => Assert.Equal(("testsite", "open-sesame"), r.Credentials));

        await using var thief = new WireServer(_ => Task.FromResult(new WireAnswer(200, "[]")));
        foreach (
            var (status, location) in new[]
            {
                (307, $"http://127.0.0.1:{thief.Port}/api/v2/search/file"),
                (307, $"http://localhost:{Destination.Server.Port}/api/v2/search/file"),
                (301, "/api/v2/search/file"),
                (302, "/api/v2/search/file"),
                (303, "/api/v2/search/file"),
                (308, "/api/v2/search/file"),
            }
        )
        {
            Destination.Interfere = _ => Task.FromResult<WireAnswer?>(new WireAnswer(status, "", null, location));
            var before = Destination.Server.Requests.Count;
            Assert.Equal(
                status,
                Assert.IsType<Refused>((await peer.SearchFilesAsync(new Librarian.Client.Wire.FileSearchRequest(Name: "x"))).Error).Status
            );
            Assert.Equal(before + 1, Destination.Server.Requests.Count);
        }

        Assert.Equal(0, thief.Connections);
    }

    [Fact]
    public async Task Calls_ToAPeerThatHangs_EndWithTheirTimeout()
    {
        var hold = new TaskCompletionSource<WireAnswer?>();
        Destination.Interfere = _ => hold.Task;
        var connections = _fixture.Site.Services.GetRequiredService<PeerConnections>();
        var login = (await connections.FindAsync("aaa", CancellationToken.None))!.Login;
        Assert.Equal(TimeSpan.FromMinutes(5), connections.For(login)!.Client.AnswerTimeout);
        var reply = await connections.For(login, TimeSpan.FromMilliseconds(200))!.Client.PingLoggedAsync();
        Assert.True(Assert.IsType<Unreachable>(reply.Error).MayHaveActed);
        hold.SetResult(null);
    }

    private async Task<(StepOutcome Outcome, int Remaining)> OutcomeAsync(SendCloneInput batch)
    {
        var step = await _fixture.StageAsync(batch);
        return (step.Outcome, step.Remaining);
    }

    private static Func<WireRequest, Task<WireAnswer?>> Poison(string name, WireAnswer answer) =>
        request =>
            Task.FromResult(request.Path == "clone/batch_stage" && request.Body.Contains(name, StringComparison.Ordinal) ? answer : null);
}
