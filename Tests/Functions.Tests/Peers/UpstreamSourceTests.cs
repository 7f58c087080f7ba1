using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Functions.Timers;
using Librarian.Orchestrations.Incoming;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Peers;

public sealed class SqliteUpstreamSourceTests(PostgresServer server) : UpstreamSourceTests(server, DatabaseKind.Sqlite);

public sealed class PostgresUpstreamSourceTests(PostgresServer server) : UpstreamSourceTests(server, DatabaseKind.PostgreSql);

/// <summary>An unmodified upstream librarian sends to our site (docs/spec/wire.md#between-sites, as D), and its client uploads.</summary>
public abstract class UpstreamSourceTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private PeerFixture _fixture = null!;

    private UpstreamLibrarian Source => _fixture.Peer;

    public async ValueTask InitializeAsync() => _fixture = await PeerFixture.CreateAsync(kind, server);

    public async ValueTask DisposeAsync()
    {
        await _fixture.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Push_DeepNamesAndADirectory_IsTakenByteForByteAsUpstreamWouldAndAcknowledged()
    {
        Source.Keep("one.bin", PeerFixture.HelloSum, "hello world");
        Source.Keep("obs/2026/11/été/two.bin", PeerFixture.AbcSum, "abc");
        Source.Keep("obs/2026/11/book", PeerFixture.DirectorySum, "aaa", directory: true);
        var staged = await Source.SendCloneAsync("one.bin", "obs/2026/11/été/two.bin", "obs/2026/11/book");

        var rows = await _fixture.IncomingAsync();
        string Place(int i) =>
            $$"""
                {"staging_name":"{{rows[i].StagingPath}}",
                "staging_location":"{{_fixture.Site.StagingPath}}/{{rows[i].StagingPath}}/{{rows[i].UploadName}}",
                "upload_name":"{{rows[i].UploadName}}","destination_location":"{{rows[i].UploadName}}",
                "source_transfer_id":{{rows[i].SourceTransferId}},"destination_transfer_id":{{rows[i].Id}}}
                """.ReplaceLineEndings("");
        var free = staged!.Json.GetProperty("available_bytes_on_store").GetRawText();
        Assert.Equal(
            $$$$"""
            {"available_bytes_on_store":{{{{free}}}},"store_name":"main",
            "uploads":[{{{{Place(0)}}}},{{{{Place(1)}}}},{{{{Place(2)}}}}],
            "async_transfer_providers":{"local":{"hostnames":["here"],"transfer_attempted":false,
            "transfer_complete":false,"start_time_transfer":null,"bytes_transfer":null}}}
            """.ReplaceLineEndings(""),
            staged.Body
        );

        Source.ConsumeQueue();
        await Source.CheckConsumedQueueAsync();
        await AcknowledgedAsync(3);

        var first = Source.Server.Requests.First(r => r.Path == "clone/complete");
        Assert.Equal("POST /api/v2/clone/complete HTTP/1.1", first.Line);
        Assert.Equal($"127.0.0.1:{Source.Server.Port}", first.Header("Host"));
        Assert.Equal("application/json", first.Header("Content-Type"));
        Assert.Equal(("testsite", "open-sesame"), first.Credentials);
        Assert.Null(first.Header("Expect"));
        Assert.Equal(
            rows.Select(r => $$"""{"source_transfer_id":{{r.SourceTransferId}},"destination_transfer_id":{{r.Id}},"store_id":1}""")
                .Order(StringComparer.Ordinal),
            Source.Bodies("clone/complete").Order(StringComparer.Ordinal)
        );
        Assert.Equal("abc", await File.ReadAllTextAsync(Path.Combine(_fixture.Site.StorePath, "obs/2026/11/été/two.bin")));
        Assert.Equal("aaa", await File.ReadAllTextAsync(Path.Combine(_fixture.Site.StorePath, "obs/2026/11/book/page")));
        var hit = Assert.Single(await Source.SearchAsync("obs/2026/11/été/two.bin"));
        Assert.Equal(
            (PeerFixture.AbcSum, "aaa", "aaa"),
            (hit.GetProperty("checksum").GetString(), hit.GetProperty("uploader").GetString(), hit.GetProperty("source").GetString())
        );
    }

    [Fact]
    public async Task Checkin_UpdateAndStatus_AnswerAsCaptured()
    {
        Source.Keep("a", PeerFixture.HelloSum, "hello world");
        await Source.SendCloneAsync("a");
        var id = (await _fixture.IncomingAsync())[0].Id;
        var update = await Source.CallAsync(
            "checkin/update",
            $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{id}},999],"new_status":5}"""
        );
        Assert.Equal(
            $$"""
            {"modified_source_transfer_ids":[],"modified_destination_transfer_ids":[{{id}}],"unmodified_source_transfer_ids":[],
            "unmodified_destination_transfer_ids":[999],"reasons":["No destination transfer with the appropriate ID was found."]}
            """.ReplaceLineEndings(""),
            update.Body
        );
        var status = await Source.CallAsync(
            "checkin/status",
            $$"""{"source_transfer_ids":[1,999],"destination_transfer_ids":[{{id}},-1]}"""
        );
        Assert.Equal(
            $$$"""{"source_transfer_status":{"1":null,"999":null},"destination_transfer_status":{"{{{id}}}":5,"-1":null}}""",
            status.Body
        );
        Assert.Equal("application/json", status.Header("Content-Type")!.Split(';')[0]);
    }

    [Fact]
    public async Task BatchStage_OfWhatIsThereOngoingOrStaged_RefusesInTheShapesThatUpstreamReads()
    {
        Source.Keep("a", PeerFixture.HelloSum, "hello world");
        Source.Keep("b", PeerFixture.AbcSum, "abc");
        Source.Keep("c", PeerFixture.HelloSum, "hello world");
        await _fixture.KeepAsync("c");
        await Source.SendCloneAsync("a");
        await Source.CallAsync(
            "clone/batch_stage",
            $$"""
            {"uploads":[{"upload_size":3,"upload_checksum":"{{PeerFixture.AbcSum}}","upload_name":"b",
               "destination_location":"b","uploader":"admin","source_transfer_id":77}],"source":"aaa","total_size":3}
            """
        );

        var all = await Source.SendCloneAsync("a", "b", "c");
        Assert.Equal((425, "Transfer is ongoing."), (all!.Status, UpstreamLibrarian.Reason(all)));
        Assert.Equal("[2]", all.Json.GetProperty("source_transfer_ids").GetRawText());
        var exists = await Source.SendCloneAsync("c");
        Assert.Equal(
            $$"""
            {"reason":"File already exists on librarian.",
            "suggested_remedy":{{exists!.Json.GetProperty("suggested_remedy").GetRawText()}},
            "source_transfer_ids":[5],"destination_transfer_ids":[-1]}
            """.ReplaceLineEndings(""),
            exists.Body
        );
        await Source.CallAsync(
            "clone/batch_stage",
            $$"""
            {"uploads":[{"upload_size":3,"upload_checksum":"{{PeerFixture.AbcSum}}","upload_name":"b",
               "destination_location":"b","uploader":"admin","source_transfer_id":78}],"source":"aaa","total_size":3}
            """
        );
        var staged = await Source.SendCloneAsync("b");
        Assert.Equal(406, staged!.Status);
        Assert.Equal(201, (await Source.SendCloneAsync("b"))!.Status);
        Assert.Equal(201, (await Source.CallAsync("clone/batch_stage", """{"uploads":[],"source":"aaa","total_size":0}""")).Status);
    }

    /// <summary>Upstream calls once and never again; we go on until the source answers.</summary>
    [Theory]
    [InlineData("fault")]
    [InlineData("gateway")]
    [InlineData("dropped")]
    [InlineData("garbage")]
    [InlineData("login")]
    [InlineData("unregistered")]
    public async Task Callback_NotHeardAtFirst_ComesAgainUntilItIs(string trouble)
    {
        var left = 2;
        Source.Interfere = request =>
            Task.FromResult(
                request.Path != "clone/complete" || Interlocked.Decrement(ref left) < 0
                    ? null
                    : trouble switch
                    {
                        "fault" => WireAnswer.Fault,
                        "gateway" => new WireAnswer(502, "<html>Bad Gateway</html>", "text/html"),
                        "dropped" => WireAnswer.Drop,
                        "garbage" => new WireAnswer(200, "<html>It works!</html>", "text/html"),
                        "login" => new WireAnswer(401, """{"detail":"Incorrect username or password"}"""),
                        _ => new WireAnswer(
                            400,
                            """
                            {"reason":"Could not find librarian testsite.","suggested_remedy":"",
                             "source_transfer_id":1,"destination_transfer_id":1}
                            """
                        ),
                    }
            );
        await PushAsync("obs/a");
        await AcknowledgedAsync(1);
        Assert.Equal(3, Source.Bodies("clone/complete").Count);
        Assert.Single(Source.Bodies("clone/complete").Distinct(StringComparer.Ordinal));
        Assert.Single(Source.RemoteInstances);
        if (trouble is not ("login" or "unregistered"))
            return;
        var error = Assert.Single(await _fixture.ErrorsAsync());
        Assert.Equal((ErrorCategory.Configuration, "callback aaa"), (error.Category, error.Caller));
        await _fixture.UntilAsync(async () => (await _fixture.ErrorsAsync())[0].Cleared, "the error is settled when the source hears us");
    }

    [Fact]
    public async Task Callback_WhoseAnswerWasLost_IsNotTakenForARefusalTheSecondTime()
    {
        var lost = false;
        Source.Interfere = request =>
        {
            if (request.Path != "clone/complete" || lost)
                return Task.FromResult<WireAnswer?>(null);
            lost = true;
            Source.Outgoing[request.Json.GetProperty("source_transfer_id").GetInt64()].Status = 3;
            return Task.FromResult<WireAnswer?>(WireAnswer.Drop);
        };
        await PushAsync("obs/a");
        await _fixture.UntilAsync(
            async () => (await _fixture.IncomingAsync())[0] is { Status: TransferStatus.Completed, CallbackTries: null },
            "told"
        );
        Assert.Equal(2, Source.Bodies("clone/complete").Count);
        Assert.Equal("""{"source_transfer_ids":[1],"destination_transfer_ids":[]}""", Source.Bodies("checkin/status").Single());
        Assert.Empty(await _fixture.ErrorsAsync());
    }

    [Fact]
    public async Task Callback_ThatNeverCame_IsMadeUpForByUpstreamsHypervisor()
    {
        Source.Interfere = request => Task.FromResult(request.Path == "clone/complete" ? WireAnswer.Fault : null);
        await PushAsync("obs/a", "obs/b");
        await _fixture.UntilAsync(
            async () => (await Source.SearchAsync("obs/b")).Count == 1 && (await Source.SearchAsync("obs/a")).Count == 1,
            "ingested"
        );
        Source.Keep("gone", PeerFixture.AbcSum, "abc");
        await Source.SendCloneAsync("gone");
        await Source.OutgoingHypervisorAsync();
        Assert.Equal([3, 3, 4], Source.Outgoing.Values.OrderBy(t => t.Id).Select(t => t.Status));
        Assert.All(Source.RemoteInstances, r => Assert.Equal(1, r.StoreId));
        // clone/fail has ended our side of the last, its staging included.
        Assert.Equal(TransferStatus.Failed, (await _fixture.IncomingAsync())[2].Status);
    }

    [Fact]
    public async Task Fail_OfAFileThatIsStored_IsAnsweredAndTheFileStays()
    {
        await PushAsync("obs/a");
        await AcknowledgedAsync(1);
        await Source.FailAsync(Source.Outgoing[1]);
        Assert.Equal(TransferStatus.Completed, (await _fixture.IncomingAsync())[0].Status);
        var stranger = await Source.CallAsync("clone/fail", """{"source_transfer_id":1,"destination_transfer_id":99,"reason":"x"}""");
        Assert.Equal((404, "Could not find transfer with ID 99."), (stranger.Status, UpstreamLibrarian.Reason(stranger)));
    }

    [Fact]
    public async Task Push_OfBytesThatAreNotTheDeclaredOnes_TellsTheSourceByOneList()
    {
        foreach (var name in new[] { "obs/a", "obs/b", "obs/c" })
            Source.Keep(name, PeerFixture.HelloSum, "hello world");
        await Source.SendCloneAsync("obs/a", "obs/b", "obs/c");
        Source.ConsumeQueue();
        foreach (var row in Source.Outgoing.Values)
            await File.WriteAllTextAsync(row.Slot!, "hello_world");
        // All three have failed before any of them can be told.
        Source.Server.GoAway();
        foreach (var row in await _fixture.IncomingAsync())
        {
            await using var db = _fixture.Site.Catalog.Open();
            await db
                .IncomingTransfers.Where(t => t.Id == row.Id)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged));
            Assert.Equal(IngestOutcome.Mismatch, (await IngestAsync(row.Id)).Outcome);
        }

        Source.Server.ComeBack();
        Assert.Equal(NotifyOutcome.Continue, (await _fixture.NotifyAsync()).Outcome);
        Assert.Equal(
            """{"source_transfer_ids":[1,2,3],"destination_transfer_ids":[],"new_status":4}""",
            Source.Bodies("checkin/update").Single()
        );
        Assert.All(Source.Outgoing.Values, t => Assert.Equal(4, t.Status));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_fixture.Site.StagingPath));
        Assert.Equal(NotifyOutcome.Done, (await _fixture.NotifyAsync()).Outcome);
    }

    /// <summary>
    /// The process stops between the commit of an ingest and everything that follows; the timer of its successor makes up for it.
    /// </summary>
    [Fact]
    public async Task Ingest_CrashedBeforeItsCallback_IsToldByTheTimer()
    {
        Source.Keep("obs/a", PeerFixture.HelloSum, "hello world");
        await Source.SendCloneAsync("obs/a");
        Source.ConsumeQueue();
        Source.Outgoing[1].Status = 2;
        await using (var db = _fixture.Site.Catalog.Open())
            await db.IncomingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged));
        Assert.Equal(IngestOutcome.Ingested, (await IngestAsync(1)).Outcome);
        Assert.Equal(0, (await _fixture.IncomingAsync())[0].CallbackTries);
        Assert.Empty(Source.Bodies("clone/complete"));

        await ActivatorUtilities
            .CreateInstance<CloneTimers>(_fixture.Site.Services)
            .ReceiveStagedFilesAsync(new TimerInfo(), CancellationToken.None);
        await AcknowledgedAsync(1);
    }

    [Fact]
    public async Task Callback_ToASourceThatIsNoLibrarianHere_IsDroppedAndAPersonTold()
    {
        await _fixture.Site.PostAsync("admin/librarians/remove", """{"librarian_name":"aaa"}""");
        await PushAsync("obs/a");
        await _fixture.UntilAsync(
            async () => (await _fixture.IncomingAsync())[0] is { Status: TransferStatus.Completed, CallbackTries: null },
            "dropped"
        );
        Assert.Empty(Source.Bodies("clone/complete"));
        Assert.Equal("callback aaa", Assert.Single(await _fixture.ErrorsAsync()).Caller);
    }

    [Fact]
    public async Task Review_OfTransfersThatStayedBehind_FollowsWhatTheSourceSays()
    {
        foreach (var name in new[] { "ongoing", "staged", "failed", "completed", "unknown" })
            Source.Keep(name, PeerFixture.HelloSum, "hello world");
        await Source.SendCloneAsync("ongoing", "staged", "failed", "completed", "unknown");
        Source.ConsumeQueue();
        foreach (var row in Source.Outgoing.Values)
            row.Status = row.Name switch
            {
                "staged" => 2,
                "failed" => 4,
                "completed" => 3,
                _ => 1,
            };
        Source.Outgoing.TryRemove(5, out _);
        await using (var db = _fixture.Site.Catalog.Open())
        {
            var old = DateTime.UtcNow.AddDays(-2);
            await db.IncomingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.StartTime, old));
        }

        await _fixture.Site.Services.GetRequiredService<IncomingReview>().ReviewStaleAsync(CancellationToken.None);
        await _fixture.UntilAsync(
            async () => (await _fixture.IncomingAsync())[1].Status == TransferStatus.Completed,
            "what the source calls staged is ingested"
        );
        Assert.Equal(
            [TransferStatus.Ongoing, TransferStatus.Completed, TransferStatus.Failed, TransferStatus.Failed, TransferStatus.Failed],
            (await _fixture.IncomingAsync()).Select(t => t.Status)
        );
        Assert.Equal("""{"source_transfer_ids":[1,2,3,4,5],"destination_transfer_ids":[]}""", Source.Bodies("checkin/status")[0]);
    }

    [Fact]
    public async Task Upload_ByThePythonClient_EndsWith200WithoutBodyOrType()
    {
        Source.Keep("local", PeerFixture.HelloSum, "hello world");
        var commit = await Source.UploadAsync(
            "uploader",
            "uploaderpw",
            Path.Combine(Source.Store, "local"),
            "obs/2026/11/one.bin",
            PeerFixture.HelloSum,
            "here"
        );
        Assert.Equal((200, "", null), (commit.Status, commit.Body, commit.Header("Content-Type")));
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(_fixture.Site.StorePath, "obs/2026/11/one.bin")));
        Source.Keep("book", PeerFixture.DirectorySum, "aaa", directory: true);
        Assert.Equal(
            200,
            (
                await Source.UploadAsync(
                    "uploader",
                    "uploaderpw",
                    Path.Combine(Source.Store, "book"),
                    "obs/book",
                    PeerFixture.DirectorySum,
                    "here"
                )
            ).Status
        );
        Assert.Empty(Directory.EnumerateFileSystemEntries(_fixture.Site.StagingPath));
    }

    [Fact]
    public async Task IngestManifestEntry_ByThePythonClient_IsStoredAndTheSourceIsCalled()
    {
        Source.Keep("drive/a", PeerFixture.HelloSum, "hello world");
        Source.Outgoing[41] = new UpstreamTransfer
        {
            Id = 41,
            Name = "drive/a",
            Size = 11,
            Checksum = PeerFixture.HelloSum,
            Status = 1,
        };
        var staged = await Source.IngestManifestEntryAsync(
            Path.Combine(Source.Store, "drive/a"),
            "drive/a",
            PeerFixture.HelloSum,
            "here",
            41
        );
        Assert.Equal((200, """{"source_transfer_id":41,"destination_transfer_id":1,"success":true}"""), (staged.Status, staged.Body));
        await AcknowledgedAsync(1);
        var again = await Source.IngestManifestEntryAsync(
            Path.Combine(Source.Store, "drive/a"),
            "drive/a",
            PeerFixture.HelloSum,
            "here",
            41
        );
        Assert.Equal(409, again.Status);
        Assert.Contains("already exists on librarian", UpstreamLibrarian.Reason(again), StringComparison.Ordinal);
        Assert.Equal(["detail"], again.Json.EnumerateObject().Select(f => f.Name));
        Assert.Null(
            Pydantic.Model(
                System.Text.Json.JsonDocument.Parse(again.Json.GetProperty("detail").GetString()!).RootElement,
                ("reason", Field.Text),
                ("suggested_remedy", Field.Text),
                ("source_transfer_id", Field.Int),
                ("destination_transfer_id", Field.Int)
            )
        );
    }

    /// <summary>Repair (docs/spec/wire.md#repair), where our copy is bad; upstream calls back twice while our request is open.</summary>
    [Fact]
    public async Task Repair_OfOurCopy_IsServedByUpstreamWhileItCallsUs()
    {
        Source.Keep("obs/a", PeerFixture.HelloSum, "hello world");
        await PushAsync("obs/a");
        await AcknowledgedAsync(1);
        var stored = Path.Combine(_fixture.Site.StorePath, "obs/a");
        await File.WriteAllTextAsync(stored, "hello_world");
        var validated = await _fixture.Site.PostAsync("validate/file", """{"file_name":"obs/a"}""");
        Assert.Equal(HttpStatusCode.OK, validated.Status);

        await _fixture.Site.Services.GetRequiredService<Orchestrations.Repair.RepairScheduler>().ScheduleAsync(CancellationToken.None);
        await _fixture.UntilAsync(
            () =>
                Task.FromResult(Source.Bodies("corrupt/resend").Count > 0 && Source.Outgoing.Values.Any(t => t is { Id: > 1, Status: 1 })),
            "upstream sends"
        );
        Assert.Equal("""{"file_name":"obs/a","librarian_name":"testsite"}""", Source.Bodies("corrupt/prepare")[0]);
        Assert.Equal("""{"librarian_name":"testsite","file_name":"obs/a"}""", Source.Bodies("corrupt/resend")[0]);
        Source.ConsumeQueue();
        await Source.CheckConsumedQueueAsync();
        await AcknowledgedAsync(2);
        Assert.Equal("hello world", await File.ReadAllTextAsync(stored));
        await using var db = _fixture.Site.Catalog.Open();
        Assert.Equal(0, await db.CorruptFiles.CountAsync());
    }

    private Task<IngestResult> IngestAsync(long id) =>
        _fixture.Site.Services.GetRequiredService<StagedFileIngest>().RunAsync(id, DeletionPolicy.Disallowed, CancellationToken.None);

    private async Task PushAsync(params string[] names)
    {
        foreach (var name in names)
            Source.Keep(name, PeerFixture.HelloSum, "hello world");
        Assert.Equal(201, (await Source.SendCloneAsync(names))!.Status);
        Source.ConsumeQueue();
        await Source.CheckConsumedQueueAsync();
    }

    /// <summary>The source has recorded so many copies, and we have nothing more to tell it.</summary>
    private Task AcknowledgedAsync(int copies) =>
        _fixture.UntilAsync(
            async () =>
                Source.Outgoing.Values.Count(t => t.Status == 3) == copies
                && (await _fixture.IncomingAsync()).TrueForAll(t => t.CallbackTries is null),
            $"{copies} copies acknowledged"
        );
}
