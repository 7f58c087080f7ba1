using Librarian.Domain.Catalog;
using Librarian.Orchestrations.Clone;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Peers;

/// <summary>A catalog that was restored from a backup hands out its numbers again: no number of the other side is believed alone.</summary>
public sealed class NumberTests(PostgresServer server) : IAsyncLifetime
{
    private PeerFixture _fixture = null!;

    private UpstreamLibrarian Peer => _fixture.Peer;

    public async ValueTask InitializeAsync() => _fixture = await PeerFixture.CreateAsync(DatabaseKind.Sqlite, server);

    public ValueTask DisposeAsync() => _fixture.DisposeAsync();

    [Fact]
    public async Task Complete_OfAnotherTransferThere_IsRefusedAndTheTransferStaysOpen()
    {
        await SentAsync("obs/a");
        // Told of the transfer that had this number before our catalog was restored.
        var stale = await Peer.CallAsync("clone/complete", """{"source_transfer_id":1,"destination_transfer_id":77,"store_id":1}""");
        Assert.Equal((400, "Could not find transfer."), (stale.Status, UpstreamLibrarian.Reason(stale)));
        Assert.Equal(TransferStatus.Staged, (await _fixture.OutgoingAsync())["obs/a"].Status);
        Assert.Empty(await CopiesAsync());
        Assert.Equal(200, (await Peer.CallBackAsync(Peer.Incoming[1])).Status);
        Assert.Equal(["obs/a"], await CopiesAsync());
    }

    [Theory]
    [InlineData("obs/b", PeerFixture.HelloSum, 11)]
    [InlineData("obs/a", PeerFixture.AbcSum, 11)]
    [InlineData("obs/a", PeerFixture.HelloSum, 12)]
    public async Task Complete_OfAnotherFile_IsRefusedAlthoughBothNumbersFit(string name, string checksum, long size)
    {
        await SentAsync("obs/a");
        var told = await Peer.CallAsync(
            "clone/complete",
            $$"""
            {"source_transfer_id":1,"destination_transfer_id":1,"store_id":1,
             "file_name":"{{name}}","checksum":"{{checksum}}","size":{{size}}}
            """
        );
        Assert.Equal(400, told.Status);
        Assert.Equal(TransferStatus.Staged, (await _fixture.OutgoingAsync())["obs/a"].Status);
        Assert.Empty(await CopiesAsync());
    }

    [Fact]
    public async Task Complete_OfAFileThatThePeerHolds_IsRecordedForThatFileWhateverItsNumber()
    {
        await SentAsync("obs/a");
        await _fixture.KeepAsync("obs/old");
        Peer.Files["obs/old"] = (11, PeerFixture.HelloSum);
        var told = await Peer.CallAsync(
            "clone/complete",
            $$"""
            {"source_transfer_id":1,"destination_transfer_id":77,"store_id":1,
             "file_name":"obs/old","checksum":"{{PeerFixture.HelloSum}}","size":11}
            """
        );
        Assert.Equal(200, told.Status);
        Assert.Equal(["obs/old"], await CopiesAsync());
        Assert.Equal(TransferStatus.Staged, (await _fixture.OutgoingAsync())["obs/a"].Status);
    }

    [Fact]
    public async Task Complete_ByHandWithoutAName_IsRefusedWhenTheDestinationDoesNotHoldTheFile()
    {
        await _fixture.KeepAsync("obs/a");
        await using (var db = _fixture.Site.Catalog.Open())
        {
            db.OutgoingTransfers.Add(
                new OutgoingTransfer
                {
                    Status = TransferStatus.Ongoing,
                    Destination = "aaa",
                    TransferSize = 11,
                    TransferChecksum = PeerFixture.HelloSum,
                    StartTime = DateTime.UtcNow,
                    FileName = "obs/a",
                }
            );
            await db.SaveChangesAsync();
        }

        const string Told = """{"source_transfer_id":1,"destination_transfer_id":5,"store_id":1}""";
        Assert.Equal(400, (await Peer.CallAsync("clone/complete", Told)).Status);
        Assert.Empty(await CopiesAsync());
        Peer.Files["obs/a"] = (11, PeerFixture.HelloSum);
        Assert.Equal(200, (await Peer.CallAsync("clone/complete", Told)).Status);
        Assert.Equal(["obs/a"], await CopiesAsync());
        // From now on the number counts.
        Assert.Equal(
            400,
            (await Peer.CallAsync("clone/complete", """{"source_transfer_id":1,"destination_transfer_id":6,"store_id":1}""")).Status
        );
    }

    [Fact]
    public async Task Checkin_WithCounterparts_TouchesAndShowsOnlyThePairsThatFit()
    {
        await SentAsync("obs/a");
        Peer.Keep("in", PeerFixture.AbcSum, "abc");
        await Peer.SendCloneAsync("in");
        var arriving = (await _fixture.IncomingAsync()).Single();
        var wrong = await Peer.CallAsync(
            "checkin/update",
            $$"""
            {"source_transfer_ids":[1],"destination_transfer_ids":[{{arriving.Id}}],
             "new_status":4,"source_counterpart_ids":[77],"destination_counterpart_ids":[77]}
            """
        );
        Assert.Equal(
            $$"""
            {"modified_source_transfer_ids":[],"modified_destination_transfer_ids":[],
            "unmodified_source_transfer_ids":[1],"unmodified_destination_transfer_ids":[{{arriving.Id}}],
            "reasons":["No destination transfer with the appropriate ID was found."]}
            """.ReplaceLineEndings(""),
            wrong.Body
        );
        var unknown = await Peer.CallAsync(
            "checkin/status",
            $$"""
            {"source_transfer_ids":[1],"destination_transfer_ids":[{{arriving.Id}}],
             "source_counterpart_ids":[77],"destination_counterpart_ids":[77]}
            """
        );
        Assert.Equal($$$"""{"source_transfer_status":{"1":null},"destination_transfer_status":{"{{{arriving.Id}}}":null}}""", unknown.Body);
        var known = await Peer.CallAsync(
            "checkin/status",
            $$"""
            {"source_transfer_ids":[1],"destination_transfer_ids":[{{arriving.Id}}],
             "source_counterpart_ids":[1],"destination_counterpart_ids":[{{arriving.SourceTransferId}}]}
            """
        );
        Assert.DoesNotContain("null", known.Body, StringComparison.Ordinal);
        Assert.Equal(
            422,
            (
                await Peer.CallAsync(
                    "checkin/status",
                    """{"source_transfer_ids":[1],"destination_transfer_ids":[],"source_counterpart_ids":[1,2]}"""
                )
            ).Status
        );
        var right = await Peer.CallAsync(
            "checkin/update",
            """
            {"source_transfer_ids":[1],"destination_transfer_ids":[],"new_status":4,
             "source_counterpart_ids":[1],"destination_counterpart_ids":[]}
            """
        );
        Assert.Contains("\"modified_source_transfer_ids\":[1]", right.Body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("clone/ongoing", "")]
    [InlineData("clone/staged", "")]
    [InlineData("clone/fail", ",\"reason\":\"r\"")]
    public async Task Pair_WhoseSourceNumberIsNotOurs_IsNotFoundAndChangesNothing(string path, string more)
    {
        Peer.Keep("in", PeerFixture.AbcSum, "abc");
        await Peer.SendCloneAsync("in");
        var arriving = (await _fixture.IncomingAsync()).Single();
        var answer = await Peer.CallAsync(
            path,
            $$"""{"source_transfer_id":{{arriving.SourceTransferId + 1}},"destination_transfer_id":{{arriving.Id}}{{more}}}"""
        );
        Assert.Equal(404, answer.Status);
        Assert.Equal(arriving.Status, (await _fixture.IncomingAsync()).Single().Status);
    }

    [Fact]
    public async Task Stage_NumberThatAnotherTransferHolds_BelongsToTheNewOne()
    {
        var first = await _fixture.BatchAsync(2);
        await _fixture.StageAsync(first);
        Peer.GoBackTo(0);
        await _fixture.KeepAsync("new/a");
        var second = (await _fixture.BatchAsync())!;
        await _fixture.StageAsync(second);
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal((1L, TransferStatus.Initiated), (rows["new/a"].RemoteTransferId, rows["new/a"].Status));
        Assert.Equal((TransferStatus.Failed, TransferStatus.Initiated), (rows["obs/000"].Status, rows["obs/001"].Status));
        // The peer was not told that it has failed: it would have taken it for the new one.
        Assert.DoesNotContain("clone/fail", Peer.Paths);
        var step = await _fixture.RunAsync<AnnounceOngoing, SendCloneInput, BatchStep>(second);
        Assert.Equal(StepOutcome.Done, step.Outcome);
        Assert.Equal(TransferStatus.Ongoing, (await _fixture.OutgoingAsync())["new/a"].Status);
    }

    [Fact]
    public async Task Announce_TwoTransfersWithOneNumber_GoesOnWithTheLaterOne()
    {
        var batch = await _fixture.BatchAsync(2);
        await _fixture.StageAsync(batch);
        await using (var db = _fixture.Site.Catalog.Open())
            await db.OutgoingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.RemoteTransferId, 2));
        var step = await _fixture.RunAsync<AnnounceOngoing, SendCloneInput, BatchStep>(batch);
        Assert.Equal((StepOutcome.Done, 1), (step.Outcome, step.Remaining));
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal((TransferStatus.Failed, TransferStatus.Ongoing), (rows["obs/000"].Status, rows["obs/001"].Status));
    }

    /// <summary>A Python site tells nothing of its catalog; that its numbers go back shows it.</summary>
    [Fact]
    public async Task Stage_NumbersOfAPythonSiteGoBack_ItsCopiesAreInDoubtAskedForAndSentAgain()
    {
        await SentAsync("obs/kept", "obs/lost");
        await Peer.ReceiveCloneAsync();
        Assert.Equal(["obs/kept", "obs/lost"], await CopiesAsync());
        Peer.GoBackTo(0);
        Peer.Files.TryRemove("obs/lost", out _);
        await _fixture.KeepAsync("obs/new");
        await _fixture.StageAsync((await _fixture.BatchAsync())!);
        Assert.Contains(await _fixture.ErrorsAsync(), e =>
            e.Caller == "copies at aaa" && e.Message.StartsWith("2 copies at 'aaa' are in doubt", StringComparison.Ordinal)
        );

        await _fixture.UntilAsync(async () => (await CopiesAsync()).SequenceEqual(["obs/kept"]), "the copies are asked for");
        await _fixture.UntilAsync(
            async () => (await _fixture.ErrorsAsync()).Single(e => e.Caller == "copies at aaa").Cleared,
            "the doubt has ended"
        );
        Assert.Contains(await _fixture.ErrorsAsync(), e => e.Caller == "copies gone at aaa" && !e.Cleared);
        await using var db = _fixture.Site.Catalog.Open();
        Assert.Equal(0, await db.RemoteCopies.CountAsync(r => r.FileName == "obs/lost"));
        Assert.NotNull(await _fixture.BatchAsync());
        Assert.Equal(TransferStatus.Initiated, (await _fixture.OutgoingAsync())["obs/lost"].Status);
    }

    [Fact]
    public async Task Stage_AnswersThatOvertakeEachOther_AreNoSignOfARestore()
    {
        var first = await _fixture.BatchAsync(1);
        await _fixture.KeepAsync("late");
        var second = (await _fixture.BatchAsync())!;
        var (arrived, go) = (new TaskCompletionSource(), new TaskCompletionSource());
        Peer.Interfere = async request =>
        {
            if (request.Path != "clone/batch_stage" || !arrived.TrySetResult())
                return null;
            // It has decided on lower numbers, and its answer is slow.
            Peer.Interfere = null;
            await go.Task;
            return new WireAnswer(
                201,
                $$"""
                {"available_bytes_on_store":1,"store_name":"s",
                 "uploads":[{"staging_name":"x","staging_location":"{{Peer.Staging}}/x/obs/000",
                   "upload_name":"obs/000","destination_location":"obs/000","source_transfer_id":1,"destination_transfer_id":1}],
                 "async_transfer_providers":{{Peer.Providers}}}
                """
            );
        };
        Peer.GoBackTo(10);
        var slow = _fixture.StageAsync(first);
        await arrived.Task;
        await _fixture.StageAsync(second);
        go.SetResult();
        await slow;
        Assert.Empty(await _fixture.ErrorsAsync());
    }

    private async Task SentAsync(params string[] names)
    {
        foreach (var name in names)
            await _fixture.KeepAsync(name);
        await _fixture.Site.Services.GetRequiredService<CloneScheduler>().ScheduleAsync(CancellationToken.None);
        await _fixture.UntilAsync(() => Task.FromResult(Peer.Incoming.Values.Count(t => t.Status == 2) == names.Length), "staged there");
        await _fixture.UntilAsync(
            async () => (await _fixture.OutgoingAsync()).Values.All(t => t.Status == TransferStatus.Staged),
            "staged here"
        );
    }

    private async Task<List<string>> CopiesAsync()
    {
        await using var db = _fixture.Site.Catalog.Open();
        return await db.RemoteCopies.Where(r => r.UnconfirmedSince == null).OrderBy(r => r.FileName).Select(r => r.FileName).ToListAsync();
    }
}
