using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using Librarian.Domain.Catalog;
using Librarian.Durable;
using Librarian.Functions.Hosting;
using Librarian.Functions.Startup;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Incoming;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Weaknesses;

public sealed class SqliteLivenessWeaknessTests(PostgresServer server) : LivenessWeaknessTests(server, DatabaseKind.Sqlite);

public sealed class PostgresLivenessWeaknessTests(PostgresServer server) : LivenessWeaknessTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// Upstream stops, waits in vain or goes round in circles (docs/spec/upstream.md#weaknesses-of-liveness); this site goes on.
/// </summary>
public abstract class LivenessWeaknessTests(PostgresServer server, DatabaseKind kind) : WeaknessTests(server, kind)
{
    [Fact]
    public async Task W13_OldTransferThatMerelyWaits_IsNotFailed()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        peer.Answer("clone/batch_stage", 503, "away");
        foreach (var name in new[] { "obs/a", "obs/b" })
            await UploadAsync(name);
        Assert.Equal(2, await SendAsync());
        await UntilAsync(() => peer.Calls("clone/batch_stage").Count > 0, "the first question");
        await AgeAsync();
        await Site.Services.GetRequiredService<CloneScheduler>().ReviewStaleAsync(Stop);
        foreach (var (status, json) in new[] { (503, "away"), (200, "[]"), (401, """{"detail":"Incorrect username or password"}""") })
        {
            peer.Answer("checkin/status", status, json);
            Assert.Equal(StepOutcome.Wait, (await ReviewAsync()).Outcome);
            Assert.Equal(2, await ReadAsync(db => db.OutgoingTransfers.CountAsync(t => t.Status == TransferStatus.Initiated)));
        }

        // It has one of them, and for the other it names no copy: that one is offered again later, and the review goes on to its end.
        peer.Answer("checkin/status", (_, _) =>
            Task.FromResult<string?>("""{"source_transfer_status":{},"destination_transfer_status":{}}""")
        );
        peer.Answer("search/file", (_, body) =>
            Task.FromResult<string?>(Hit(body.GetProperty("name").GetString()!, withCopy: body.GetProperty("name").GetString() == "obs/b"))
        );
        peer.Answer(
            "validate/file",
            200,
            """
            [{"librarian":"callback","store":5,"instance_id":1,"original_checksum":"x",
              "original_size":11,"current_checksum":"x","current_size":11,"computed_same_checksum":true}]
            """
        );
        Assert.Equal(0, (await ReviewAsync()).Remaining);
        Assert.Equal(
            TransferStatus.Failed,
            await ReadAsync(db => db.OutgoingTransfers.Where(t => t.FileName == "obs/a").Select(t => t.Status).SingleAsync())
        );
        Assert.Equal("obs/b", (await ReadAsync(db => db.RemoteCopies.AsNoTracking().SingleAsync())).FileName);

        Task<BatchStep> ReviewAsync() =>
            ActivatorUtilities.CreateInstance<ReviewBatch>(Site.Services).RunAsync(new DirectCall(), new SendCloneInput(1, "callback"));
    }

    [Fact]
    public async Task W13_OldTransferWhoseSourceAnswersOddly_KeepsItsStaging()
    {
        await OpenAsync();
        var source = await PeerAsync("other");
        var (id, location) = await StageCloneAsync("obs/a", "hello world");
        await File.WriteAllTextAsync(location, "hello", Stop);
        await AgeAsync();
        foreach (
            var (status, json) in new[]
            {
                (503, "away"),
                (401, """{"detail":"Incorrect username or password"}"""),
                (200, "[]"),
                (200, """{"source_transfer_status":{},"destination_transfer_status":{}}"""),
                (200, """{"source_transfer_status":{"1":1},"destination_transfer_status":{}}"""),
            }
        )
        {
            source.Answer("checkin/status", status, json);
            await ReviewAsync();
            Assert.True(File.Exists(location), json);
        }

        source.Answer("checkin/status", 200, """{"source_transfer_status":{"1":4},"destination_transfer_status":{}}""");
        await ReviewAsync();
        Assert.Empty(Directory.EnumerateFileSystemEntries(Site.StagingPath));
        Assert.Equal(
            TransferStatus.Failed,
            await ReadAsync(db => db.IncomingTransfers.Where(t => t.Id == id).Select(t => t.Status).SingleAsync())
        );
    }

    [Fact]
    public async Task W14_FileThatCannotBeCopied_HoldsUpNeitherItsBatchNorTheNext()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        File.Delete(await UploadAsync("obs/a"));
        await UploadAsync("obs/b");
        Assert.Equal(2, await SendAsync());
        await UntilSentAsync("obs/b", "callback", TransferStatus.Staged);
        await UntilSentAsync("obs/a", "callback", TransferStatus.Failed);
        await UntilAsync(() => peer.Calls("clone/fail").Count == 1, "the peer is told");
        var poison = await ReadAsync(db => db.OutgoingTransfers.AsNoTracking().SingleAsync(t => t.FileName == "obs/a"));
        Assert.NotNull(poison.FailureReason);
        Assert.True(poison.RetryAfter > poison.EndTime);

        await UploadAsync("obs/c");
        Assert.InRange(await SendAsync(), 1, 2);
        await UntilSentAsync("obs/c", "callback", TransferStatus.Staged);
    }

    [Fact]
    public async Task W15_FileThatFailsAgainAndAgain_IsOfferedAfterDoublingPauses()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        peer.Answer("clone/batch_stage", (context, body) =>
        {
            context.Response.StatusCode = 409;
            var offered = body.GetProperty("uploads")[0].GetProperty("source_transfer_id");
            return Task.FromResult<string?>(
                $$"""
                {"reason":"File already exists on librarian.","suggested_remedy":"",
                 "source_transfer_ids":[{{offered}}],"destination_transfer_ids":[-1]}
                """
            );
        });
        await UploadAsync("obs/a");
        foreach (var (failures, pause) in new[] { (1, 15), (2, 30), (3, 60) })
        {
            Assert.Equal(1, await SendAsync());
            await UntilAsync(
                async () => await ReadAsync(db => db.OutgoingTransfers.CountAsync(t => t.Status == TransferStatus.Failed)) == failures,
                "the failure"
            );
            var last = await ReadAsync(db => db.OutgoingTransfers.AsNoTracking().OrderByDescending(t => t.Id).FirstAsync());
            Assert.Equal(TimeSpan.FromSeconds(pause), last.RetryAfter - last.EndTime);
            // However long this test takes, the pause is not over yet, and then it is.
            var (future, past) = (DateTime.UtcNow.AddHours(1), DateTime.UtcNow.AddSeconds(-1));
            await ReadAsync(db => db.OutgoingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.RetryAfter, future), Stop));
            Assert.Equal(0, await SendAsync());
            await ReadAsync(db => db.OutgoingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.RetryAfter, past), Stop));
        }

        Assert.Equal(3, peer.Calls("clone/batch_stage").Count);
        // One entry for the person who looks, however often it fails.
        Assert.Single((await OkAsync("search/error", """{"category":"transfer"}""")).EnumerateArray());
    }

    [Fact]
    public async Task W20_PeerThatHangs_HoldsUpNeitherUploadsNorOtherPeers()
    {
        await OpenAsync(("Site:Peers:0:BatchSize", "1"));
        var hanging = await PeerAsync("callback");
        hanging.Hang("clone/batch_stage");
        await PeerAsync("other");
        var names = Enumerable.Range(0, 6).Select(i => $"obs/{i}").ToList();
        foreach (var name in names)
            await UploadAsync(name);
        Assert.Equal(4 + 6, await SendAsync());
        foreach (var name in names)
            await UntilSentAsync(name, "other", TransferStatus.Staged);
        await UploadAsync("obs/more");
        Assert.Equal(
            4,
            await ReadAsync(db => db.OutgoingTransfers.CountAsync(t => t.Destination == "callback" && t.Status == TransferStatus.Initiated))
        );
        Assert.Empty(hanging.Calls("clone/batch_stage"));
    }

    [Fact]
    public async Task W22_TransfersSwitchedOff_NothingIsOfferedAndABatchUnderWayStops()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        await UploadAsync("obs/a");
        await SwitchAsync(false);
        Assert.Equal(0, await SendAsync());
        await SwitchAsync(true);
        peer.Answer("checkin/update", async (_, _) =>
        {
            // Just before the copy.
            await ReadAsync(db => db.Peers.ExecuteUpdateAsync(s => s.SetProperty(l => l.TransfersEnabled, false), CancellationToken.None));
            return null;
        });
        Assert.Equal(1, await SendAsync());
        var engine = Site.Services.GetRequiredService<DatabaseDurableTaskClient>();
        await UntilAsync(
            async () =>
                (await engine.GetInstanceAsync(SendClone.InstanceId(1), getInputsAndOutputs: true, Stop))?.SerializedCustomStatus
                    is { } status
                && status.Contains(nameof(CopyBatch), StringComparison.Ordinal)
                && status.Contains("switched off", StringComparison.Ordinal),
            "the copy waits"
        );
        Assert.Empty(Directory.EnumerateFiles(StagingOf("callback"), "*", SearchOption.AllDirectories));

        peer.Answer("checkin/update", (_, _) => Task.FromResult<string?>(null));
        await SwitchAsync(true);
        await UntilSentAsync("obs/a", "callback", TransferStatus.Staged);

        Task SwitchAsync(bool on) =>
            OkAsync(
                "admin/librarians/transfer_status/set",
                $$"""{"librarian_name":"callback","transfers_enabled":{{(on ? "true" : "false")}}}"""
            );
    }

    [Fact]
    public async Task W23_EveryTimerWithDefaultSettings_RunsThroughWhateverItFinds()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        peer.Answer("clone/batch_stage", 503, "away");
        var stored = await UploadAsync("obs/a");
        Assert.Equal(1, await SendAsync());
        await StageCloneAsync("obs/clone", "hello world");
        await Site.StageAsync("obs/abandoned", HelloSum, 11);
        await File.WriteAllTextAsync(stored, "hello_world", Stop);
        await OkAsync("validate/file", """{"file_name":"obs/a"}""");
        await AgeAsync();

        var timers = FunctionCatalog.Discover(typeof(SiteServices).Assembly).TimerFunctions;
        Assert.InRange(timers.Count, 5, 100);
        foreach (var timer in timers)
        {
            var functions = ActivatorUtilities.CreateInstance(Site.Services, timer.Method.DeclaringType!);
            await (Task)
                timer.Method.Invoke(functions, BindingFlags.DoNotWrapExceptions, binder: null, [new TimerInfo(), Stop], culture: null)!;
        }
    }

    [Fact]
    public async Task W24_FaultWhileABatchIsMade_LeavesNoPartOfIt()
    {
        await OpenAsync();
        await RegisterAsync("callback", 1);
        await UploadAsync("obs/a");
        await ExecuteAsync(
            Kind == DatabaseKind.Sqlite
                ? ["create trigger fault before insert on dt_instance begin select raise(abort, 'fault'); end"]
                :
                [
                    "create function fault() returns trigger as $$ begin raise exception 'fault'; end $$ language plpgsql",
                    "create trigger fault before insert on dt_instance for each row execute function fault()",
                ]
        );
        await Assert.ThrowsAnyAsync<Exception>(SendAsync);
        Assert.Equal(0, await ReadAsync(db => db.SendQueue.CountAsync()));
        Assert.Equal(0, await ReadAsync(db => db.OutgoingTransfers.CountAsync()));

        await ExecuteAsync(Kind == DatabaseKind.Sqlite ? ["drop trigger fault"] : ["drop trigger fault on dt_instance"]);
        Assert.Equal(1, await SendAsync());
        var transfer = await ReadAsync(db => db.OutgoingTransfers.AsNoTracking().SingleAsync());
        Assert.Equal(
            (await ReadAsync(db => db.SendQueue.Select(q => (long?)q.Id).SingleAsync()), Path.Combine(Site.StorePath, "obs/a")),
            (transfer.SendQueueId, transfer.SourcePath)
        );
    }

    [Fact]
    public async Task W25_WhileAPeerIsWaitedFor_NoRowIsLocked()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        var asked = new TaskCompletionSource();
        peer.Answer("clone/batch_stage", async (context, _) =>
        {
            asked.TrySetResult();
            await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);
            return "{}";
        });
        await UploadAsync("obs/a");
        Assert.Equal(1, await SendAsync());
        await asked.Task.WaitAsync(TimeSpan.FromMinutes(5), Stop);
        await using var db = Site.Catalog.Open();
        db.Database.SetCommandTimeout(TimeSpan.FromMinutes(2));
        // On SQLite any transaction that has written would be in the way of these, on PostgreSQL one that holds the rows.
        Assert.Equal(1, await db.SendQueue.ExecuteUpdateAsync(s => s.SetProperty(q => q.Priority, 1), Stop));
        Assert.Equal(1, await db.OutgoingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.RetryAfter, (DateTime?)null), Stop));
        Assert.Equal(1, await db.Peers.ExecuteUpdateAsync(s => s.SetProperty(l => l.LastSeen, DateTime.UtcNow), Stop));
        await UploadAsync("obs/b");
    }

    [Fact]
    public async Task W26_ProvidersOfAPeer_AreTriedForUseNotTakenInOrder()
    {
        await OpenAsync(("Site:Peers:0:BatchSize", "1"), ("Site:Peers:0:MaxBatchesInFlight", "2"));
        var peer = await PeerAsync("callback");
        var offer = """
            {"globus":{"destination_endpoint":"dead"},"rsync":{"hostname":"h"},
             "elsewhere":{"hostnames":["elsewhere"]},"local":{"hostnames":["there","here"]}}
            """;
        peer.Answer("clone/batch_stage", (context, body) =>
        {
            context.Response.StatusCode = 201;
            return Task.FromResult<string?>(peer.Slots(body.GetProperty("uploads").EnumerateArray(), offer));
        });
        foreach (var name in new[] { "obs/a", "obs/b", "obs/c" })
            await UploadAsync(name);
        // The limit of batches is the peer's own, and exact.
        Assert.Equal(2, await SendAsync());
        Assert.Equal(0, await SendAsync());
        await UntilSentAsync("obs/a", "callback", TransferStatus.Staged);
        await UntilSentAsync("obs/b", "callback", TransferStatus.Staged);

        offer = """{"elsewhere":{"hostnames":["elsewhere"]}}""";
        var theirs = await ReadAsync(db => db.OutgoingTransfers.Where(t => t.Id == 1).Select(t => t.RemoteTransferId!.Value).SingleAsync());
        await OkAsync("clone/complete", $$"""{"source_transfer_id":1,"destination_transfer_id":{{theirs}},"store_id":4}""", "callback");
        await UntilAsync(async () => await SendAsync() == 1, "room for the third");
        await UntilSentAsync("obs/c", "callback", TransferStatus.Failed);
        Assert.Contains(
            "offers no transfer manager",
            (await ReadAsync(db => db.OutgoingTransfers.AsNoTracking().SingleAsync(t => t.FileName == "obs/c"))).FailureReason,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData(425, "Transfer is ongoing.")]
    [InlineData(409, "File already exists on librarian.")]
    [InlineData(400, "The request is not valid.")]
    public async Task W27_OneFileThatThePeerRefuses_LeavesTheRestOfItsBatch(int status, string reason)
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        peer.Answer("clone/batch_stage", (context, body) =>
        {
            var bad = body.GetProperty("uploads")
                .EnumerateArray()
                .FirstOrDefault(u => u.GetProperty("upload_name").GetString() == "obs/bad");
            if (bad.ValueKind == JsonValueKind.Undefined)
                return Task.FromResult<string?>(null);
            context.Response.StatusCode = status;
            var id = bad.GetProperty("source_transfer_id");
            return Task.FromResult<string?>(
                $$"""{"reason":"{{reason}}","suggested_remedy":"","source_transfer_ids":[{{id}}],"destination_transfer_ids":[-1]}"""
            );
        });
        var names = Enumerable.Range(0, 5).Select(i => i == 2 ? "obs/bad" : $"obs/{i}").ToList();
        foreach (var name in names)
            await UploadAsync(name);
        Assert.Equal(5, await SendAsync());
        // What is on its way there already stands back, without an error; the rest goes on all the same.
        var bad = status == 425 ? TransferStatus.Cancelled : TransferStatus.Failed;
        foreach (var name in names)
            await UntilSentAsync(name, "callback", name == "obs/bad" ? bad : TransferStatus.Staged);
        if (status != 425)
            Assert.Equal(2, peer.Calls("clone/batch_stage").Count);
    }

    [Fact]
    public async Task Send_FileThatThePeerCanNeverTake_FailsAloneWithTheReasonAndOneError()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        peer.Answer("clone/batch_stage", (context, body) =>
        {
            var uploads = body.GetProperty("uploads")
                .EnumerateArray()
                .ToLookup(u => u.GetProperty("upload_name").GetString()!.StartsWith("obs/bad", StringComparison.Ordinal));
            context.Response.StatusCode = 201;
            var answer = JsonNode.Parse(peer.Slots(uploads[false]))!;
            answer["refused"] = new JsonArray([
                .. uploads[true]
                    .Select(u => new JsonObject
                    {
                        ["source_transfer_id"] = u.GetProperty("source_transfer_id").GetInt64(),
                        ["reason"] = "No such names here.",
                    }),
            ]);
            return Task.FromResult<string?>(answer.ToJsonString());
        });
        List<string> names = ["obs/0", "obs/bad1", "obs/bad2", "obs/3"];
        foreach (var name in names)
            await UploadAsync(name);
        Assert.Equal(4, await SendAsync());
        foreach (var name in names)
            await UntilSentAsync(
                name,
                "callback",
                name.StartsWith("obs/bad", StringComparison.Ordinal) ? TransferStatus.Failed : TransferStatus.Staged
            );

        Assert.Single(peer.Calls("clone/batch_stage"));
        Assert.All(
            await ReadAsync(db => db.OutgoingTransfers.AsNoTracking().Where(t => t.FileName.StartsWith("obs/bad")).ToListAsync()),
            t => Assert.Equal("No such names here.", t.FailureReason)
        );
        Assert.Contains(
            "2 files",
            Assert.Single(await ReadAsync(db => db.Errors.AsNoTracking().ToListAsync())).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task W29_TwoUploadsOfNineTenthsOfTheSpace_AreNotBothAccepted()
    {
        await OpenAsync(("Site:MaximalUploadSizeBytes", long.MaxValue.ToString()));
        var free = (await OkAsync("admin/stores/list", null))[0].GetProperty("free_space").GetInt64();
        var answers = await Task.WhenAll(
            new[] { "a", "b" }.Select(name =>
                Site.PostAsync(
                    "upload/stage",
                    $$"""
                    {"upload_size":{{free / 10 * 9}},"upload_checksum":"c{{name}}",
                     "upload_name":"{{name}}","destination_location":"{{name}}","uploader":"u"}
                    """,
                    "uploader"
                )
            )
        );
        Assert.Equal([201, 413], answers.Select(a => (int)a.Status).Order());
    }

    [Fact]
    public async Task W30_StagingOfTransfersThatEnd_IsRemovedHoweverTheyEnd()
    {
        await OpenAsync();
        await RegisterAsync("other", 1);
        var foreign = Directory.CreateDirectory(Path.Combine(Site.StagingPath, Guid.NewGuid().ToString("D")));
        await Site.StageAsync("obs/abandoned", HelloSum, 11);
        var (failed, _) = await StageCloneAsync("obs/failed", "one");
        var (told, location) = await StageCloneAsync("obs/told", "two");
        await File.WriteAllTextAsync(location, "tw", Stop);
        var left = await StageCloneAsync("obs/left", "three");
        Assert.Equal(5, Directory.GetDirectories(Site.StagingPath).Length);

        await OkAsync("clone/fail", $$"""{"source_transfer_id":1,"destination_transfer_id":{{failed}},"reason":"no"}""", "other");
        await OkAsync("checkin/update", Checkin(told, 4), "other");
        Assert.Equal(3, Directory.GetDirectories(Site.StagingPath).Length);
        // A crash between the end of a transfer and the removal.
        await ReadAsync(db =>
            db.IncomingTransfers.Where(t => t.Id == left.Id)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Failed), Stop)
        );
        await AgeAsync();
        await ReviewAsync();
        await Site.Services.GetRequiredService<StagingSweep>().SweepAsync(Stop);
        Assert.Equal([foreign.FullName], Directory.GetDirectories(Site.StagingPath));
    }

    [Fact]
    public async Task W31_DeepNameToAPeerThatMakesNoParents_IsCopied()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        peer.MakesParents = false;
        await UploadAsync("2026/11/24/night/obs");
        Assert.Equal(1, await SendAsync());
        await UntilSentAsync("2026/11/24/night/obs", "callback", TransferStatus.Staged);
        var copy = Assert.Single(Directory.GetFiles(StagingOf("callback"), "*", SearchOption.AllDirectories));
        Assert.EndsWith("/2026/11/24/night/obs", copy, StringComparison.Ordinal);
        Assert.Equal("hello world", await File.ReadAllTextAsync(copy, Stop));

        // A staging directory that is gone was given up, and is not made anew.
        peer.Answer("checkin/update", (_, _) =>
        {
            foreach (var directory in Directory.GetDirectories(StagingOf("callback")))
                Directory.Delete(directory, recursive: true);
            return Task.FromResult<string?>(null);
        });
        await UploadAsync("2026/11/24/night/late");
        Assert.Equal(1, await SendAsync());
        await UntilSentAsync("2026/11/24/night/late", "callback", TransferStatus.Failed);
        Assert.Empty(Directory.GetFileSystemEntries(StagingOf("callback")));
    }

    [Fact]
    public async Task W32_SourceThatCannotBeCalledBack_DoesNotKeepOthersFromBeingTold()
    {
        await OpenAsync();
        var port = PostgresServer.FreePort();
        await RegisterAsync("other", port);
        var reachable = await PeerAsync("uploader");
        foreach (var (name, source, id) in new[] { ("obs/a", "other", 71L), ("obs/b", "uploader", 72L) })
        {
            var (transfer, location) = await StageCloneAsync(name, "hello world", source, id);
            await File.WriteAllTextAsync(location, "hello world", Stop);
            await OkAsync("checkin/update", Checkin(transfer, 2), source);
        }

        await UntilAsync(() => reachable.Calls("clone/complete").Count == 1, "the reachable one is told");
        Assert.Equal(72, reachable.Calls("clone/complete")[0].GetProperty("source_transfer_id").GetInt64());
        await UntilAsync(() => ReadAsync(db => db.Files.AnyAsync(f => f.Name == "obs/a")), "the other's file is stored");
        await using var back = await FakePeer.StartAsync(StagingOf("other"), port);
        await UntilAsync(() => back.Calls("clone/complete").Count == 1, "the other is told when it is back");
        Assert.Equal(71, back.Calls("clone/complete")[0].GetProperty("source_transfer_id").GetInt64());
    }

    [Fact]
    public async Task W34_StateThatThePeerRefuses_IsNotAssumedHere()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        var refused = 0L;
        peer.Answer("checkin/update", (_, body) =>
        {
            var ids = body.GetProperty("destination_transfer_ids").EnumerateArray().Select(i => i.GetInt64()).Order().ToList();
            if (body.GetProperty("new_status").GetInt32() != 2)
                return Task.FromResult<string?>(null);
            refused = ids[0];
            peer.States[refused] = 5;
            return Task.FromResult<string?>(
                $$"""
                {"modified_source_transfer_ids":[],"modified_destination_transfer_ids":[{{string.Join(',', ids.Skip(1))}}],
                 "unmodified_source_transfer_ids":[],"unmodified_destination_transfer_ids":[{{refused}}],
                 "reasons":["Transition from TransferStatus.CANCELLED to TransferStatus.STAGED is not permitted."]}
                """
            );
        });
        foreach (var name in new[] { "obs/a", "obs/b" })
            await UploadAsync(name);
        Assert.Equal(2, await SendAsync());
        await UntilAsync(() => ReadAsync(db => db.OutgoingTransfers.AnyAsync(t => t.Status == TransferStatus.Staged)), "the accepted one");
        var given = await ReadAsync(db => db.OutgoingTransfers.AsNoTracking().SingleAsync(t => t.RemoteTransferId == refused));
        Assert.Equal(TransferStatus.Failed, given.Status);
        Assert.Contains("no longer expects", given.FailureReason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task W34_SeveralUnfinishedTransfersOfOneFile_AreNoServerError()
    {
        await OpenAsync();
        var (id, _) = await StageCloneAsync("obs/a", "hello world");
        await using (var db = Site.Catalog.Open())
        {
            for (var i = 0; i < 2; i++)
                db.IncomingTransfers.Add(
                    new IncomingTransfer
                    {
                        Status = TransferStatus.Initiated,
                        Uploader = "other",
                        UploadName = "obs/a",
                        Source = "other",
                        TransferSize = 11,
                        TransferChecksum = Sum("hello world"),
                        StoreId = 1,
                        StartTime = DateTime.UtcNow,
                        FileName = "obs/a",
                        SourceTransferId = 9,
                    }
                );
            await db.SaveChangesAsync(Stop);
        }

        await AnswerAsync("clone/batch_stage", CloneBatch("obs/a", "hello world"), 406, "other");
        Assert.Equal(3, await ReadAsync(db => db.IncomingTransfers.CountAsync(t => t.Status == TransferStatus.Failed)));
        Assert.NotEqual(id, (await StageCloneAsync("obs/a", "hello world")).Id);
    }

    private Task ReviewAsync() => Site.Services.GetRequiredService<IncomingReview>().ReviewStaleAsync(Stop);

    /// <summary>As if everything had begun a month ago.</summary>
    private async Task AgeAsync()
    {
        var then = DateTime.UtcNow.AddDays(-30);
        await ReadAsync(db => db.IncomingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.StartTime, then), Stop));
        await ReadAsync(db => db.OutgoingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.StartTime, then), Stop));
        await ReadAsync(db => db.SendQueue.ExecuteUpdateAsync(s => s.SetProperty(q => q.CreatedTime, then), Stop));
    }

    private async Task ExecuteAsync(string[] statements)
    {
        await using var db = Site.Catalog.Open();
        var connection = db.Database.GetDbConnection();
        await connection.OpenAsync(Stop);
        foreach (var statement in statements)
        {
            await using var command = connection.CreateCommand();
            command.CommandText = statement;
            await command.ExecuteNonQueryAsync(Stop);
        }
    }

    private static string Hit(string name, bool withCopy)
    {
        var copy = """
            {"path":"/p","deletion_policy":0,"created_time":"2026-01-01T00:00:00",
             "available":true,"id":null,"file_name":null,"store_id":5}
            """;
        return $$"""
            [{"name":"{{name}}","create_time":"2026-01-01T00:00:00","size":11,"checksum":"{{Sum("hello world")}}",
              "uploader":"u","source":"s","instances":[{{(withCopy ? copy : "")}}],"remote_instances":[]}]
            """;
    }
}
