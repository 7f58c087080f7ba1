using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Drives;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Repair;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Weaknesses;

public sealed class SqliteDataWeaknessTests(PostgresServer server) : DataWeaknessTests(server, DatabaseKind.Sqlite);

public sealed class PostgresDataWeaknessTests(PostgresServer server) : DataWeaknessTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// Upstream loses or damages data, or its catalog is wrong (docs/spec/upstream.md#weaknesses-of-data); this site does not.
/// </summary>
public abstract class DataWeaknessTests(PostgresServer server, DatabaseKind kind) : WeaknessTests(server, kind)
{
    private const string Manifest = """
        {"store_name":"main","create_outgoing_transfers":true,"destination_librarian":"callback",
         "disable_store":true,"mark_local_instances_as_unavailable":true}
        """;

    /// <summary>As a stalled worker's activity and that of its successor overlap.</summary>
    [Fact]
    public async Task W03_RunsOfOneIngestAtOnce_NeverFailIt()
    {
        await OpenAsync();
        var ingest = Site.Services.GetRequiredService<StagedFileIngest>();
        for (var i = 0; i < 40; i++)
        {
            var (id, location, _) = await Site.StageAsync($"race/{i}", HelloSum, 11);
            await File.WriteAllTextAsync(location, "hello world", Stop);
            await ReadAsync(db =>
                db.IncomingTransfers.Where(t => t.Id == id)
                    .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged), Stop)
            );
            var outcomes = await Task.WhenAll(
                Enumerable
                    .Range(0, 12)
                    .Select(run =>
                        Task.Run(
                            async () =>
                            {
                                // One after the other, so that some begin between another's reservation and its rename.
                                await Task.Delay(run, Stop);
                                return await ingest.RunAsync(id, DeletionPolicy.Disallowed, Stop);
                            },
                            Stop
                        )
                    )
            );
            Assert.All(outcomes, o =>
                Assert.True(o.Outcome is IngestOutcome.Ingested or IngestOutcome.TryLater, $"{i}: {o.Outcome} {o.Message}")
            );
            Assert.Equal(
                TransferStatus.Completed,
                await ReadAsync(db => db.IncomingTransfers.Where(t => t.Id == id).Select(t => t.Status).SingleAsync())
            );
        }
    }

    [Fact]
    public async Task W03_CommitsWhileTheReceiveTimerRuns_AllSucceedAndEachFileIsStoredOnce()
    {
        await OpenAsync();
        var arrivals = Site.Services.GetRequiredService<IncomingWorkflows>();
        var uploads = new List<(long Id, string Name)>();
        for (var i = 0; i < 12; i++)
        {
            var (id, location, _) = await Site.StageAsync($"race/{i}", HelloSum, 11);
            await File.WriteAllTextAsync(location, "hello world", Stop);
            uploads.Add((id, $"race/{i}"));
        }

        // The first is taken by the timer before its client has committed in full.
        var first = uploads[0].Id;
        await ReadAsync(db =>
            db.IncomingTransfers.Where(t => t.Id == first)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged), Stop)
        );
        Assert.Equal(1, await arrivals.StartAllStagedAsync(Stop));
        using var done = new CancellationTokenSource();
        var timer = Task.Run(
            async () =>
            {
                while (!done.IsCancellationRequested)
                    await arrivals.StartAllStagedAsync(CancellationToken.None);
            },
            Stop
        );
        var answers = await Task.WhenAll(uploads.Select(u => Site.CommitAsync(u.Id, u.Name)));
        await done.CancelAsync();
        await timer;

        Assert.All(answers, a => Assert.Equal(HttpStatusCode.OK, a.Status));
        Assert.Equal(12, await ReadAsync(db => db.Files.CountAsync()));
        Assert.Equal(12, await ReadAsync(db => db.Copies.CountAsync()));
        Assert.Equal(12, await ReadAsync(db => db.IncomingTransfers.CountAsync(t => t.Status == TransferStatus.Completed)));
        Assert.Empty(Directory.EnumerateFileSystemEntries(Site.StagingPath));
    }

    [Fact]
    public async Task W05_DeletedCopy_LosesItsDataWithItsRowOrNeither()
    {
        var second = Path.Combine(Scratch, "second");
        await OpenAsync(
            ("Site:Stores:1:Name", "second"),
            ("Site:Stores:1:StagingPath", second + "/staging"),
            ("Site:Stores:1:StorePath", second + "/store")
        );
        var stored = await UploadAsync("obs/a");
        var copy = Path.Combine(second, "store/obs/a");
        Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
        File.Copy(stored, copy);
        await using (var db = Site.Catalog.Open())
        {
            db.Copies.Add(
                new FileCopy
                {
                    Path = "obs/a",
                    FileName = "obs/a",
                    StoreId = 2,
                    DeletionPolicy = DeletionPolicy.Disallowed,
                    CreatedTime = DateTime.UtcNow,
                    Available = true,
                }
            );
            await db.SaveChangesAsync(Stop);
        }

        // Upstream leaves these data because the file has another copy.
        await OkAsync("admin/instance/delete_local", """{"instance_id":1,"delete_file":true}""");
        Assert.False(Path.Exists(stored));
        Assert.True(File.Exists(copy));
        // Data that cannot be removed keep their row: the catalog never says gone of what is there.
        var marker = Path.Combine(second, "store", SiteStore.MarkerFile);
        File.Move(marker, marker + ".away");
        await AnswerAsync("admin/instance/delete_local", """{"instance_id":2,"delete_file":true}""", 400);
        Assert.True(File.Exists(copy));
        Assert.Single((await OkAsync("search/instance_local", """{"id":2}""")).EnumerateArray());
        File.Move(marker + ".away", marker);
        await OkAsync("admin/instance/delete_local", """{"instance_id":2,"delete_file":true}""");
        Assert.False(Path.Exists(copy));
    }

    [Fact]
    public async Task W07_DanglingLinkOrVanishedCopy_IsNotTakenForEmptyContent()
    {
        await OpenAsync();
        // Upstream: "aaa", "bbb", "h", "e" and an empty file, or a link that leads nowhere.
        const string FourAndEmpty = "xxh3:::6c6cd6d20a8d7abdf7d16726a31ac316";
        Assert.Equal(406, (int)await BookAsync("linked", empty => File.CreateSymbolicLink(empty, "nowhere")));
        Assert.Equal(200, (int)await BookAsync("plain", empty => File.WriteAllText(empty, "")));

        var (id, place, _) = await Site.StageAsync("empty", "xxh3:::99aa06d3014798d86001c324468d497f", 0);
        await File.WriteAllTextAsync(place, "", Stop);
        Assert.Equal(HttpStatusCode.OK, (await Site.CommitAsync(id, "empty")).Status);
        File.Delete(Path.Combine(Site.StorePath, "empty"));
        Assert.Equal(0, (await OkAsync("validate/file", """{"file_name":"empty"}""")).GetArrayLength());

        async Task<HttpStatusCode> BookAsync(string name, Action<string> makeEmpty)
        {
            var (transfer, location, _) = await Site.StageAsync(name, FourAndEmpty, 8);
            Directory.CreateDirectory(location);
            foreach (var page in new[] { "aaa", "bbb", "h", "e" })
                await File.WriteAllTextAsync(Path.Combine(location, page), page, Stop);
            makeEmpty(Path.Combine(location, "empty"));
            return (await Site.CommitAsync(transfer, name)).Status;
        }
    }

    [Fact]
    public async Task W08_ReplacementRefusedOrNeverSent_LeavesDataAndEveryRowOfTheBadCopy()
    {
        await OpenAsync();
        var stored = await UploadAsync("obs/a");
        var peer = await PeerAsync("callback");
        // Whoever is to send a replacement must be allowed to; one who is not is not even asked.
        await OkAsync("users/update", """{"username":"callback","permission":3}""");
        await RegisterAsync("other", 1);
        await using (var db = Site.Catalog.Open())
        {
            foreach (var known in await db.Peers.ToListAsync(Stop))
                db.RemoteCopies.Add(
                    new RemoteCopy
                    {
                        FileName = "obs/a",
                        StoreId = 7,
                        PeerId = known.Id,
                        CopyTime = DateTime.UtcNow,
                        Sender = "testsite",
                    }
                );
            await db.SaveChangesAsync(Stop);
        }

        await File.WriteAllTextAsync(stored, "hello_world", Stop);
        await OkAsync("validate/file", """{"file_name":"obs/a"}""");
        var before = await StateAsync();
        var corrupt = await ReadAsync(db => db.CorruptFiles.Select(c => c.Id).SingleAsync());
        const string Ready = """{"ready":true}""";
        const string No = """{"reason":"no","suggested_remedy":""}""";
        foreach (
            var (prepareStatus, prepare, resendStatus, resend) in new[]
            {
                (409, No, 500, No),
                (200, """{"ready":false}""", 500, No),
                (200, "[]", 500, No),
                (500, "not json", 500, No),
                (200, Ready, 409, No),
                (200, Ready, 409, """{"detail":{"reason":"object"}}"""),
                (200, Ready, 200, "[]"),
                (200, Ready, 200, """{"success":false,"destination_transfer_id":1}"""),
                (200, Ready, 200, """{"success":true,"destination_transfer_id":999}"""),
            }
        )
        {
            peer.Answer("corrupt/prepare", prepareStatus, prepare);
            peer.Answer("corrupt/resend", resendStatus, resend);
            await ActivatorUtilities.CreateInstance<AskForReplacement>(Site.Services).RunAsync(new DirectCall(), new RepairInput(corrupt));
            Assert.Equal(before, await StateAsync());
        }

        Assert.Equal(9, peer.Calls("corrupt/prepare").Count);
        Assert.Equal(5, peer.Calls("corrupt/resend").Count);

        async Task<string> StateAsync()
        {
            var rows = await ReadAsync(async db =>
                string.Join(
                    ' ',
                    await db.Files.CountAsync(),
                    await db.Copies.CountAsync(i => i.Available),
                    await db.RemoteCopies.CountAsync(),
                    await db.CorruptFiles.CountAsync()
                )
            );
            return $"{rows} {await File.ReadAllTextAsync(stored, Stop)}";
        }
    }

    [Fact]
    public async Task W09_ManifestAskedForAgain_ListsTheSameTransfersUntilTheyAreAcknowledged()
    {
        await OpenAsync();
        await RegisterAsync("callback", 1);
        for (var i = 0; i < 3; i++)
            await UploadAsync($"obs/{i}");
        var manifests = Site.Services.GetRequiredService<StoreManifests>();
        // A reader that breaks off changes nothing.
        await foreach (var _ in manifests.ListAsync(1, "callback", markUnavailable: true, Stop))
            break;
        Assert.Equal(0, await ReadAsync(db => db.OutgoingTransfers.CountAsync()));
        Assert.Equal(3, await ReadAsync(db => db.Copies.CountAsync(i => i.Available)));

        var first = await OkAsync("admin/stores/manifest", Manifest);
        var ids = first.GetProperty("store_files").EnumerateArray().Select(f => f.GetProperty("outgoing_transfer_id").GetInt64()).ToList();
        Assert.Equal(3, ids.Distinct().Count(id => id > 0));
        // The answer was lost on its way: the same again, and no transfer twice.
        Assert.Equal(first.GetRawText(), (await OkAsync("admin/stores/manifest", Manifest)).GetRawText());
        Assert.Equal(3, await ReadAsync(db => db.OutgoingTransfers.CountAsync(t => t.Status == TransferStatus.Ongoing)));
        Assert.Equal(3, await ReadAsync(db => db.OutgoingTransfers.CountAsync()));
        Assert.Equal(0, await ReadAsync(db => db.Copies.CountAsync(i => i.Available)));

        await OkAsync("clone/complete", $$"""{"source_transfer_id":{{ids[1]}},"destination_transfer_id":-1,"store_id":4}""", "callback");
        var left = (await OkAsync("admin/stores/manifest", Manifest))
            .GetProperty("store_files")
            .EnumerateArray()
            .Select(f => f.GetProperty("outgoing_transfer_id").GetInt64());
        Assert.Equal([ids[0], ids[2]], left);
    }

    [Fact]
    public async Task W12_CopyThatWasSentAndCloned_CanBeDeletedAndTheHistoryStays()
    {
        await OpenAsync();
        var stored = await UploadAsync("obs/a");
        await using (var db = Site.Catalog.Open())
        {
            var now = DateTime.UtcNow;
            db.OutgoingTransfers.Add(
                new OutgoingTransfer
                {
                    Status = TransferStatus.Completed,
                    Destination = "callback",
                    TransferSize = 11,
                    TransferChecksum = "c",
                    StartTime = now,
                    FileName = "obs/a",
                    CopyId = 1,
                    SourcePath = stored,
                }
            );
            db.CloneTransfers.Add(
                new CloneTransfer
                {
                    Status = TransferStatus.Completed,
                    StartTime = now,
                    SourceStoreId = 1,
                    DestinationStoreId = 1,
                    SourceCopyId = 1,
                    DestinationCopyId = 1,
                }
            );
            await db.SaveChangesAsync(Stop);
        }

        await OkAsync("admin/instance/delete_local", """{"instance_id":1,"delete_file":true}""");
        Assert.False(Path.Exists(stored));
        Assert.Null((await ReadAsync(db => db.OutgoingTransfers.AsNoTracking().SingleAsync())).CopyId);
        Assert.Null((await ReadAsync(db => db.CloneTransfers.AsNoTracking().SingleAsync())).SourceCopyId);
    }

    [Fact]
    public async Task W17_FinishedBatch_RecordsItsRealDurationAndBandwidth()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        await UploadAsync("obs/a");
        await UploadAsync("obs/b", "hello");
        Assert.Equal(2, await SendAsync());
        await UntilSentAsync("obs/a", "callback", TransferStatus.Staged);
        await UntilSentAsync("obs/b", "callback", TransferStatus.Staged);
        var hourAgo = DateTime.UtcNow.AddHours(-1);
        await ReadAsync(db => db.SendQueue.ExecuteUpdateAsync(s => s.SetProperty(q => q.CreatedTime, hourAgo), Stop));
        foreach (
            var (id, theirs) in await ReadAsync(db =>
                db.OutgoingTransfers.Select(t => new ValueTuple<long, long>(t.Id, t.RemoteTransferId!.Value)).ToListAsync()
            )
        )
            await OkAsync(
                "clone/complete",
                $$"""{"source_transfer_id":{{id}},"destination_transfer_id":{{theirs}},"store_id":4}""",
                "callback"
            );

        await UntilAsync(() => ReadAsync(db => db.CompletedTransfers.AnyAsync()), "the record");
        var record = await ReadAsync(db => db.CompletedTransfers.AsNoTracking().SingleAsync());
        Assert.Equal(16, record.BytesTransferred);
        Assert.InRange(record.DurationSeconds, 3600, 7200);
        Assert.Equal((record.EndTime - record.StartTime).TotalSeconds, record.DurationSeconds, 0.01);
        Assert.Equal(16 * 8 / record.DurationSeconds, record.EffectiveBandwidthBps, 1e-9);
        Assert.All(peer.States.Values, state => Assert.Equal(2, state));
    }

    [Fact]
    public async Task W18_StoreThatOwnsItsDataReadOnly_KeepsWhatItHasAcknowledged()
    {
        await OpenAsync(("Site:Stores:0:OwnAfterCommit", "true"), ("Site:Stores:0:ReadOnlyAfterCommit", "true"));
        var file = await UploadAsync("obs/deep/a");
        var (id, location, _) = await Site.StageAsync("book", "xxh3:::1cf8edfa1119a1f0ac66c88ef6317369", 3);
        Directory.CreateDirectory(Path.Combine(location, "in"));
        await File.WriteAllTextAsync(Path.Combine(location, "in/page"), "aaa", Stop);
        Assert.Equal(HttpStatusCode.OK, (await Site.CommitAsync(id, "book")).Status);
        var page = Path.Combine(Site.StorePath, "book/in/page");

        await Site.Services.GetRequiredService<StagingSweep>().SweepAsync(Stop);
        Assert.Equal("hello world", await File.ReadAllTextAsync(file, Stop));
        Assert.Equal("aaa", await File.ReadAllTextAsync(page, Stop));
        const UnixFileMode ReadOnly = UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
        const UnixFileMode Enter = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        Assert.Equal(
            [ReadOnly, ReadOnly, ReadOnly | Enter, ReadOnly | Enter],
            new[] { file, page, Path.GetDirectoryName(page)!, Path.Combine(Site.StorePath, "book") }.Select(File.GetUnixFileMode)
        );
        Assert.Empty(Directory.EnumerateFileSystemEntries(Site.StagingPath));
        foreach (var name in new[] { "obs/deep/a", "book" })
            Assert.True(
                (await OkAsync("validate/file", $$"""{"file_name":"{{name}}"}"""))[0].GetProperty("computed_same_checksum").GetBoolean()
            );
    }

    [Fact]
    public async Task W19_TimeOfAddedFile_IsKeptAndFoundInAnyZone()
    {
        await OpenAsync();
        Directory.CreateDirectory(Path.Combine(Site.StorePath, "old"));
        await File.WriteAllTextAsync(Path.Combine(Site.StorePath, "old/data"), "hello world", Stop);
        await OkAsync(
            "admin/add_file",
            $$"""
            {"name":"old/data","create_time":"2020-01-01T02:00:00+02:00","size":11,"checksum":"{{HelloSum}}",
             "uploader":"u","source":"s","path":"{{Site.StorePath}}/old/data","store_name":"main"}
            """
        );
        Assert.Equal(
            "2020-01-01T00:00:00",
            (await OkAsync("search/file", """{"name":"old/data"}"""))[0].GetProperty("create_time").GetString()
        );
        await OkAsync("search/file", """{"create_time_window":["2020-01-01T00:00:00","2020-01-01T00:00:00"]}""");
        await OkAsync("search/file", """{"create_time_window":["2020-01-01T05:29:59+05:30","2020-01-01T05:30:01+05:30"]}""");
        await AnswerAsync("search/file", """{"create_time_window":["2020-01-01T05:29:59Z","2020-01-01T05:30:01Z"]}""", 404);
    }
}
