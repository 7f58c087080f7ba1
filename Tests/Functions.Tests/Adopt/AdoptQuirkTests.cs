using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Functions.Adopt;

/// <summary>A source with everything in it that a Python site leaves behind, from either engine into either.</summary>
public class AdoptQuirkTests(PostgresServer server)
{
    private const string Moment = "'2025-02-03 04:05:06.789012'";

    private static readonly DateTime Utc = new(new DateTime(2025, 2, 3, 4, 5, 6, 789, DateTimeKind.Utc).Ticks + 120, DateTimeKind.Utc);

    [Theory]
    [InlineData(DatabaseKind.Sqlite, DatabaseKind.Sqlite)]
    [InlineData(DatabaseKind.Sqlite, DatabaseKind.PostgreSql)]
    [InlineData(DatabaseKind.PostgreSql, DatabaseKind.Sqlite)]
    [InlineData(DatabaseKind.PostgreSql, DatabaseKind.PostgreSql)]
    public async Task Adopt_SourceWithEveryQuirk_TakesWhatCanBeServedAndNamesTheRest(DatabaseKind from, DatabaseKind to)
    {
        await using var fixture = await AdoptFixture.CreateAsync(from, to, server);
        await FillAsync(fixture);

        var run = await fixture.RunAsync();

        Assert.True(run.Exit == 3, run.Output + run.Errors);
        Assert.All(run.Json.GetProperty("kinds").EnumerateArray(), kind =>
            Assert.True(kind.GetProperty("matches").GetBoolean(), kind.GetRawText())
        );
        using var catalog = fixture.OpenCatalog();
        await using var db = catalog.Open();
        await FilesAndCopiesAsync(run, fixture, db);
        await AccountsAsync(run, db);
        await OutgoingAsync(run, db);
        await IncomingAsync(run, fixture, db);
        await HistoryAsync(run, db);
        Assert.Contains(run.Notes, note =>
            note.StartsWith("The Python site called itself 'oldname', this one is 'testsite'", StringComparison.Ordinal)
        );
        // The rig's own connection stands for a Python site that has not been stopped.
        Assert.Equal(
            from == DatabaseKind.PostgreSql,
            run.Notes.Any(note => note.StartsWith("1 other connections to the source are open.", StringComparison.Ordinal))
        );
        Assert.Contains(run.Notes, note => note.StartsWith("The password for 'archive' has a colon.", StringComparison.Ordinal));
        Assert.Contains(run.Notes, note => note.StartsWith("4 batches have transfers on their way.", StringComparison.Ordinal));
    }

    private static async Task FilesAndCopiesAsync(AdoptRun run, AdoptFixture fixture, CatalogContext db)
    {
        Assert.Equal((12, 7, 0, 0, 5), run.Counts("files"));
        Assert.Equal(
            ["obs/a", "obs/b", "obs/c", "obs/d", "obs/e", "obs/f", "obs/g"],
            await db.Files.OrderBy(f => f.Name).Select(f => f.Name).ToListAsync()
        );
        var a = await db.Files.SingleAsync(f => f.Name == "obs/a");
        Assert.Equal(
            (Utc, 11L, "xxh3:::df8d09e93f874900a99b8775cc15b6c7", "mountain", "mountain"),
            (a.CreateTime, a.Size, a.Checksum, a.Uploader, a.Source)
        );
        Assert.Equal("5eb63bbbe01eeed093cb22bb8f5acdc3", (await db.Files.SingleAsync(f => f.Name == "obs/b")).Checksum);
        Assert.Equal(DateTime.UnixEpoch, (await db.Files.SingleAsync(f => f.Name == "obs/d")).CreateTime);

        Assert.Equal((11, 5, 0, 2, 4), run.Counts("instances"));
        var copies = await db.Copies.OrderBy(i => i.Id).ToListAsync();
        Assert.Equal(
            [(10, "obs/a", 3, true), (12, "obs/b", 5, false), (15, "obs/b", 3, true), (18, "obs/c", 3, true), (19, "obs/g", 3, true)],
            copies.Select(i => (i.Id, i.FileName, i.StoreId, i.Available))
        );
        Assert.Equal(
            ("obs/a", DeletionPolicy.Allowed, Utc, "xxh3:::df8d09e93f874900a99b8775cc15b6c7", 11L, Utc),
            (
                copies[0].Path,
                copies[0].DeletionPolicy,
                copies[0].CreatedTime,
                copies[0].CalculatedChecksum,
                copies[0].CalculatedSize,
                copies[0].ChecksumTime
            )
        );
        Assert.Contains(("instances", "15 /elsewhere/b", "noted"), fixture.Lines().Select(l => (l.Kind, l.Row, l.Effect)));

        Assert.Equal((6, 2, 0, 1, 3), run.Counts("remote_instances"));
        Assert.Equal(
            [(20, "obs/a", 4, 3), (22, "obs/a", 4, 8)],
            (await db.RemoteCopies.OrderBy(r => r.Id).ToListAsync()).Select(r => (r.Id, r.FileName, r.PeerId, r.StoreId))
        );

        Assert.Equal((3, 2, 0, 0, 1), run.Counts("store_metadata"));
        Assert.Equal(
            [(3, "main", true), (5, "drive", false)],
            (await db.Stores.OrderBy(s => s.Id).ToListAsync()).Select(s => (s.Id, s.Name, s.Enabled))
        );
    }

    private static async Task AccountsAsync(AdoptRun run, CatalogContext db)
    {
        Assert.Equal((5, 3, 0, 0, 2), run.Counts("users"));
        Assert.Equal(
            ["admin 100", "archive 2", "mountain 3"],
            (await db.Users.OrderBy(u => u.Username).ToListAsync()).Select(u => $"{u.Username} {(int)u.AuthLevel}")
        );
        Assert.Equal(AdoptFixture.PasswordHash, (await db.Users.SingleAsync(u => u.Username == "admin")).AuthToken);
        Assert.Equal(
            [(4, "archive", false), (7, "mountain", true)],
            (await db.Peers.OrderBy(l => l.Id).ToListAsync()).Select(l => (l.Id, l.Name, l.TransfersEnabled))
        );
    }

    private static async Task OutgoingAsync(AdoptRun run, CatalogContext db)
    {
        Assert.Equal((12, 11, 0, 0, 1), run.Counts("outgoing_transfers"));
        var rows = await db.OutgoingTransfers.OrderBy(t => t.Id).ToListAsync();
        Assert.Equal(
            [
                (40, "obs/a", TransferStatus.Completed, 30, 10),
                (41, "obs/b", TransferStatus.Staged, 30, 15),
                (42, "obs/c", TransferStatus.Ongoing, 31, 18),
                (43, "obs/d", TransferStatus.Failed, 32, null),
                (44, "obs/e", TransferStatus.Initiated, 32, null),
                (45, "obs/f", TransferStatus.Failed, null, null),
                (46, "obs/f", TransferStatus.Ongoing, null, null),
                (47, "obs/a", TransferStatus.Failed, null, 10),
                (48, "obs/g", TransferStatus.Staged, -1, 19),
                (50, "obs/a", TransferStatus.Completed, null, 10),
                (51, "obs/g", TransferStatus.Failed, 32, 19),
            ],
            rows.Select(t => ((int)t.Id, t.FileName, t.Status, (int?)t.SendQueueId, (int?)t.CopyId))
        );
        var moving = rows.Single(t => t.Id == 42);
        Assert.Equal(
            (142L, "/here/c", "/there/c", Utc, null),
            (moving.RemoteTransferId!.Value, moving.SourcePath, moving.DestPath, moving.StartTime, moving.EndTime)
        );
        Assert.Equal(
            "Taken over from the Python site: the destination had not agreed to it; the file is offered again.",
            rows.Single(t => t.Id == 43).FailureReason
        );
        Assert.Equal(
            "Taken over from the Python site: another transfer of the file to the same destination is further, or newer.",
            rows.Single(t => t.Id == 45).FailureReason
        );
        Assert.Equal(
            "Taken over from the Python site: its destination is not a registered librarian.",
            rows.Single(t => t.Id == 47).FailureReason
        );
        Assert.Equal(
            "Taken over from the Python site: another transfer of the file to the same destination is further, or newer.",
            rows.Single(t => t.Id == 51).FailureReason
        );
        Assert.All(rows.Where(t => t.Status == TransferStatus.Failed), t => Assert.NotNull(t.EndTime));

        Assert.Equal((4, 4, 0, 0, 0), run.Counts("send_queue"));
        Assert.Equal(
            [(-1, false, true), (30, false, true), (31, false, true), (32, false, false), (33, true, true)],
            (await db.SendQueue.OrderBy(q => q.Id).ToListAsync()).Select(q => (q.Id, q.Completed, q.Consumed))
        );
        Assert.True((await db.SendQueue.SingleAsync(q => q.Id == 33)).Failed);
        Assert.Equal((2, 1, 0, 0, 1), run.Counts("completed_transfers"));
        var record = await db.CompletedTransfers.SingleAsync();
        Assert.Equal((30L, "task-1", 90.5), (record.Id, record.TaskId, record.DurationSeconds));
    }

    private static async Task IncomingAsync(AdoptRun run, AdoptFixture fixture, CatalogContext db)
    {
        Assert.Equal((8, 8, 0, 0, 0), run.Counts("incoming_transfers"));
        var rows = await db.IncomingTransfers.OrderBy(t => t.Id).ToListAsync();
        Assert.Equal(
            [
                (60, TransferStatus.Completed, 3, 160),
                (61, TransferStatus.Staged, 3, 161),
                (62, TransferStatus.Failed, 3, 162),
                (63, TransferStatus.Failed, null, null),
                (64, TransferStatus.Staged, 3, null),
                (65, TransferStatus.Failed, 3, 165),
                (66, TransferStatus.Cancelled, 3, -1),
                (67, TransferStatus.Failed, 3, 167),
            ],
            rows.Select(t => ((int)t.Id, t.Status, (int?)t.StoreId, (int?)t.SourceTransferId))
        );
        Assert.Equal(
            [
                "its staging directory is gone",
                "no store had been chosen for it",
                "its name cannot be served",
                "its staging directory is gone, but something lies under its name in the store; "
                    + "if no file of that name is catalogued, examine it and register it with admin/add_file",
            ],
            rows.Where(t => t.Status == TransferStatus.Failed).Select(t => t.FailureReason!["Taken over from the Python site: ".Length..^1])
        );
        Assert.Equal(4, fixture.Lines().Count(l => l is { Kind: "incoming_transfers", Effect: "changed" }));
    }

    private static async Task HistoryAsync(AdoptRun run, CatalogContext db)
    {
        Assert.Equal((3, 2, 0, 0, 1), run.Counts("clone_transfers"));
        Assert.Equal(
            [(70L, TransferStatus.Completed, 10L, 12L), (71L, TransferStatus.Failed, 18L, null)],
            (await db.CloneTransfers.OrderBy(t => t.Id).ToListAsync()).Select(t =>
                (t.Id, t.Status, t.SourceCopyId!.Value, t.DestinationCopyId)
            )
        );
        Assert.Equal((2, 2, 0, 0, 0), run.Counts("corrupt_files"));
        Assert.Equal(
            [(80, 10, 3, false), (81, 999, 1, true)],
            (await db.CorruptFiles.OrderBy(c => c.Id).ToListAsync()).Select(c => (c.Id, c.CopyId, c.Count, c.ReplacementRequested))
        );
        Assert.Equal((1, 1, 0, 0, 0), run.Counts("errors"));
        var error = await db.Errors.SingleAsync();
        Assert.Equal(
            (ErrorSeverity.Critical, ErrorCategory.LibrarianNetworkAvailability, "lost it", Utc),
            (error.Severity, error.Category, error.Message, error.RaisedTime)
        );
    }

    private static async Task FillAsync(AdoptFixture fixture)
    {
        fixture.Settings["Site:Stores:1:Name"] = "drive";
        fixture.Settings["Site:Stores:1:StagingPath"] = Path.Combine(fixture.Root, "drive-staging");
        fixture.Settings["Site:Stores:1:StorePath"] = Path.Combine(fixture.Root, "drive-store");
        var staging = (Kept: Guid.NewGuid(), Upload: Guid.NewGuid(), Bad: Guid.NewGuid());
        foreach (var name in new[] { staging.Kept, staging.Upload, staging.Bad })
            Directory.CreateDirectory(Path.Combine(fixture.Staging, $"{name}"));
        Directory.CreateDirectory(Path.Combine(fixture.Store, "obs"));
        await File.WriteAllTextAsync(Path.Combine(fixture.Store, "obs/stray"), "");
        var source = fixture.Source;
        await source.AddSiteAsync(AdoptFixture.Authenticator("testsite:with:colon"));
        await source.ExecuteAsync(
            $"""
            INSERT INTO store_metadata (id, name, ingestable, enabled, store_type) VALUES
              (5, 'drive', false, false, 1), (9, 'gone', true, true, 1);
            UPDATE librarians SET transfers_enabled = NULL;
            INSERT INTO librarians (id, name, url, port, authenticator, transfers_enabled, last_seen, last_heard) VALUES
              (7, 'mountain', 'https://m', 443, '{AdoptFixture.Authenticator()}', true, {Moment}, {Moment});
            INSERT INTO users (username, auth_token, auth_level) VALUES
              ('bad:name', '{AdoptFixture.PasswordHash}', 'READONLY'), ('ancient', '$2b$12$abc', 'ADMIN');
            INSERT INTO files (name, create_time, size, checksum, uploader, source) VALUES
              ('obs/a', {Moment}, 11, 'xxh3:::df8d09e93f874900a99b8775cc15b6c7', 'mountain', 'mountain'),
              ('obs/b', {Moment}, 11, '5eb63bbbe01eeed093cb22bb8f5acdc3', 'mountain', 'mountain'),
              ('obs/c', {Moment}, 5000000000, 'md5:::c', 'u', 's'), ('obs/d', NULL, 4, 'md5:::d', 'u', 's'),
              ('obs/e', {Moment}, 5, 'md5:::e', 'u', 's'),
              ('obs/f', {Moment}, 6, 'md5:::f', 'u', 's'), ('obs/g', {Moment}, 7, 'md5:::g', 'u', 's'),
              ('/absolute', {Moment}, 1, 'md5:::1', 'u', 's'), ('up/../x', {Moment}, 1, 'md5:::2', 'u', 's'),
              ('twice//slashed', {Moment}, 1, 'md5:::3', 'u', 's'),
              ('no/size', {Moment}, NULL, 'md5:::4', 'u', 's'), ('negative', {Moment}, -1, 'md5:::5', 'u', 's');
            INSERT INTO instances (id, path, file_name, store_id, deletion_policy, created_time, available, calculated_checksum,
                calculated_size, checksum_time) VALUES
              (10, '{fixture.Store}/obs/a', 'obs/a', 3, 'ALLOWED', {Moment}, true, 'xxh3:::df8d09e93f874900a99b8775cc15b6c7', 11, {Moment}),
              (11, '{fixture.Store}/obs/a', 'obs/a', 3, 'DISALLOWED', {Moment}, true, NULL, NULL, NULL),
              (12, '{fixture.Root}/drive-store/obs/b', 'obs/b', 5, 'DISALLOWED', {Moment}, false, NULL, NULL, NULL),
              (13, '/absolute', '/absolute', 3, 'DISALLOWED', {Moment}, true, NULL, NULL, NULL),
              (14, '{fixture.Store}/none', 'none', 3, 'DISALLOWED', {Moment}, true, NULL, NULL, NULL),
              (15, '/elsewhere/b', 'obs/b', 3, 'DISALLOWED', {Moment}, true, NULL, NULL, NULL),
              (16, '{fixture.Store}/x', NULL, 3, 'DISALLOWED', {Moment}, true, NULL, NULL, NULL),
              (17, '{fixture.Store}/obs/c', 'obs/c', 3, 'DISALLOWED', {Moment}, false, NULL, NULL, NULL),
              (18, '{fixture.Store}/obs/c', 'obs/c', 3, 'DISALLOWED', {Moment}, true, NULL, NULL, NULL),
              (19, '{fixture.Store}/obs/g', 'obs/g', 3, 'DISALLOWED', {Moment}, true, NULL, NULL, NULL),
              (99, '{fixture.Store}/no/store', 'obs/f', NULL, 'DISALLOWED', {Moment}, true, NULL, NULL, NULL);
            INSERT INTO remote_instances (id, file_name, store_id, librarian_id, copy_time, sender) VALUES
              (20, 'obs/a', 3, 4, {Moment}, 'oldname'), (21, 'obs/a', 3, 4, '2025-06-01 00:00:00', 'oldname'),
              (22, 'obs/a', 8, 4, {Moment}, 'oldname'),
              (23, 'obs/a', 3, 99, {Moment}, 'oldname'), (24, 'none', 3, 4, {Moment}, 'oldname'),
              (25, 'up/../x', 3, 4, {Moment}, 'oldname');
            INSERT INTO send_queue (id, priority, created_time, retries, destination, async_transfer_manager, consumed, consumed_time,
                completed, completed_time, failed) VALUES
              (30, 0, {Moment}, 0, 'archive', {"{blob}"}, true, {Moment}, true, {Moment}, false),
              (31, 0, {Moment}, 1, 'archive', {"{blob}"}, true, {Moment}, false, NULL, false),
              (32, 0, {Moment}, 0, 'archive', {"{blob}"}, false, NULL, false, NULL, false),
              (33, 0, {Moment}, 4, 'archive', {"{blob}"}, true, {Moment}, true, {Moment}, true);
            INSERT INTO completed_transfers (id, task_id, source_endpoint_id, destination_endpoint_id, start_time, end_time,
                duration_seconds, bytes_transferred, effective_bandwidth_bps) VALUES
              (30, 'task-1', 'a', 'b', {Moment}, {Moment}, 90.5, 5000000000, 12), (77, 'task-2', 'a', 'b', {Moment}, {Moment}, 1, 1, 1);
            INSERT INTO outgoing_transfers (id, status, destination, transfer_size, transfer_checksum, start_time, end_time, file_name,
                instance_id, remote_transfer_id, send_queue_id, source_path, dest_path, transfer_data) VALUES
              (40, 'COMPLETED', 'archive', 11, 'c', {Moment}, NULL, 'obs/a', 11, 140, 30, '/here/a', '/there/a', {"{blob}"}),
              (41, 'STAGED', 'archive', 11, 'c', {Moment}, NULL, 'obs/b', 15, 141, 30, '/here/b', '/there/b', {"{blob}"}),
              (42, 'ONGOING', 'archive', 11, 'c', {Moment}, NULL, 'obs/c', 17, 142, 31, '/here/c', '/there/c', {"{blob}"}),
              (43, 'INITIATED', 'archive', 11, 'c', {Moment}, NULL, 'obs/d', 1, NULL, 32, NULL, NULL, {"{blob}"}),
              (44, 'INITIATED', 'archive', 11, 'c', {Moment}, NULL, 'obs/e', 1, 144, 32, '/here/e', '/there/e', {"{blob}"}),
              (45, 'ONGOING', 'archive', 11, 'c', {Moment}, NULL, 'obs/f', 1, NULL, NULL, NULL, NULL, NULL),
              (46, 'ONGOING', 'archive', 11, 'c', {Moment}, NULL, 'obs/f', 1, NULL, NULL, NULL, NULL, NULL),
              (47, 'ONGOING', 'nowhere', 11, 'c', {Moment}, NULL, 'obs/a', 10, 147, NULL, NULL, NULL, NULL),
              (48, 'STAGED', 'archive', 11, 'c', {Moment}, NULL, 'obs/g', 19, 148, NULL, NULL, NULL, NULL),
              (49, 'FAILED', 'archive', 11, 'c', {Moment}, {Moment}, NULL, 1, NULL, NULL, NULL, NULL, NULL),
              (50, 'COMPLETED', 'archive', 11, 'c', {Moment}, {Moment}, NULL, 10, 150, NULL, NULL, NULL, NULL),
              (51, 'INITIATED', 'archive', 11, 'c', {Moment}, NULL, 'obs/g', 19, 151, 32, '/here/g', '/there/g', NULL);
            INSERT INTO incoming_transfers (id, status, uploader, upload_name, source, transfer_size, transfer_checksum, store_id,
                start_time, end_time, staging_path, store_path, source_transfer_id) VALUES
              (60, 'COMPLETED', 'mountain', 'obs/a', 'mountain', 11, 'c', 3, {Moment}, {Moment}, 'gone', 'obs/a', 160),
              (61, 'STAGED', 'mountain', 'obs/n', 'mountain', 11, 'c', 3, {Moment}, NULL, '{staging.Kept}', 'obs/n', 161),
              (62, 'ONGOING', 'mountain', 'obs/o', 'mountain', 11, 'c', 3, {Moment}, NULL, '{Guid.NewGuid()}', 'obs/o', 162),
              (63, 'INITIATED', 'someone', 'p', 'someone', 11, 'c', NULL, {Moment}, NULL, NULL, NULL, NULL),
              (64, 'STAGED', 'someone', 'q', 'someone', 11, 'c', 3, {Moment}, NULL, '{staging.Upload}', 'obs/q', NULL),
              (65, 'ONGOING', 'mountain', '../r', 'mountain', 11, 'c', 3, {Moment}, NULL, '{staging.Bad}', 'obs/r', 165),
              (66, 'CANCELLED', 'mountain', 's', 'mountain', 11, 'c', 3, {Moment}, NULL, 'x', 'obs/s', -1),
              (67, 'STAGED', 'mountain', 'obs/stray', 'mountain', 11, 'c', 3, {Moment}, NULL, '{Guid.NewGuid()}', 'obs/stray', 167);
            INSERT INTO clone_transfers (id, status, start_time, end_time, source_store_id, destination_store_id, source_instance_id,
                destination_instance_id) VALUES
              (70, 'COMPLETED', {Moment}, {Moment}, 3, 5, 11, 12), (71, 'STAGED', {Moment}, NULL, 3, 5, 17, NULL),
              (72, 'COMPLETED', {Moment}, {Moment}, 3, 9, 10, NULL);
            INSERT INTO corrupt_files (id, file_name, file_source, instance_id, instance_path, corrupt_time, size, checksum, count,
                replacement_requested, incoming_transfer_id) VALUES
              (80, 'obs/a', 'mountain', 10, '{fixture.Store}/obs/a', {Moment}, 11, 'xxh3:::0', 3, false, NULL),
              (81, 'obs/lost', 'mountain', 999, '{fixture.Store}/obs/lost', {Moment}, 1, 'x', 1, true, 61);
            INSERT INTO errors (id, severity, category, message, raised_time, cleared, caller) VALUES
              (90, 'CRITICAL', 'LIBRARIAN_NETWORK_AVAILABILITY', 'lost it', {Moment}, false, NULL);
            """
        );
    }
}
