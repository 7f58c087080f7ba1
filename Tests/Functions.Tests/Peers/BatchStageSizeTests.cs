using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Functions.Peers;

public sealed class SqliteBatchStageSizeTests(PostgresServer server) : BatchStageSizeTests(server, DatabaseKind.Sqlite);

public sealed class PostgresBatchStageSizeTests(PostgresServer server) : BatchStageSizeTests(server, DatabaseKind.PostgreSql);

/// <summary>clone/batch_stage of up to 1024 files.</summary>
public abstract class BatchStageSizeTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private TestSite _site = null!;
    private long _next;

    public async ValueTask InitializeAsync() => _site = await TestSite.CreateAsync(kind, server);

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task BatchStage_Of16And1024Files_SendsAsManyStatements()
    {
        await StageAsync(1);
        var few = await StageAsync(16);
        var many = await StageAsync(1024);
        // One of a call's statements reads the account, and that is remembered for a second: the larger batch may save it, or pay it.
        Assert.InRange(many, few - 1, few + 1);
        Assert.InRange(many, 1, 12);
        await using var db = _site.Catalog.Open();
        Assert.Equal(
            1041,
            await db.IncomingTransfers.CountAsync(t =>
                t.Status == TransferStatus.Initiated && t.SourceTransferId != null && !t.Committing && t.CallbackTries == null
            )
        );
        Assert.Equal(1041, await db.IncomingTransfers.Select(t => t.StagingPath).Distinct().CountAsync());
        Assert.Equal(1041, Directory.EnumerateDirectories(_site.StagingPath).Count());
    }

    [Fact]
    public async Task BatchStage_RowsOfTheOneStatement_AreWhatWasSent()
    {
        var time = DateTime.UtcNow;
        var (status, body) = await _site.PostAsync(
            "clone/batch_stage",
            """
            {"uploads":[{"upload_size":9007199254740993,"upload_checksum":"'\"\\ü","upload_name":"a/é","destination_location":"b/'q'",
               "uploader":"u","source_transfer_id":4611686018427387905}],"source":"other","total_size":0}
            """,
            "other"
        );
        // There is hardly room for nine petabytes; the same without them.
        Assert.Equal(413, (int)status);
        Assert.Equal(System.Text.Json.JsonValueKind.String, body.GetProperty("detail").ValueKind);
        (status, body) = await _site.PostAsync(
            "clone/batch_stage",
            """
            {"uploads":[{"upload_size":0,"upload_checksum":"'\"\\ü","upload_name":"a/é","destination_location":"b/'q'",
               "uploader":"u","source_transfer_id":4611686018427387905}],"source":"other","total_size":0}
            """,
            "other"
        );
        Assert.Equal(HttpStatusCode.Created, status);
        await using var db = _site.Catalog.Open();
        var row = await db.IncomingTransfers.SingleAsync();
        Assert.Equal(
            ("'\"\\ü", "a/é", "b/'q'", 4611686018427387905L, "other", "other", 1L),
            (row.TransferChecksum, row.UploadName, row.FileName, row.SourceTransferId, row.Uploader, row.Source, row.StoreId)
        );
        Assert.InRange(row.StartTime, time.AddSeconds(-1), DateTime.UtcNow);
        Assert.Equal(DateTimeKind.Utc, row.StartTime.Kind);
        Assert.Equal(1, await db.IncomingTransfers.CountAsync(t => t.StartTime <= DateTime.UtcNow && t.StartTime > time.AddSeconds(-1)));
        Assert.Equal(row.Id, body.GetProperty("uploads")[0].GetProperty("destination_transfer_id").GetInt64());
    }

    private async Task<int> StageAsync(int files)
    {
        var items = Enumerable
            .Range(0, files)
            .Select(_ => _next++)
            .Select(id =>
                $$"""
                    {"upload_size":11,"upload_checksum":"xxh3:::df8d09e93f874900a99b8775cc15b6c7","upload_name":"obs/{{id}}",
                     "destination_location":"obs/{{id}}","uploader":"u","source_transfer_id":{{id}}}
                    """
            );
        var json = $$"""{"uploads":[{{string.Join(',', items)}}],"source":"other","total_size":{{11 * files}}}""";
        _site.Statements.Reset();
        var (status, body) = await _site.PostAsync("clone/batch_stage", json, "other");
        Assert.Equal(HttpStatusCode.Created, status);
        Assert.Equal(files, body.GetProperty("uploads").GetArrayLength());
        return _site.Statements.Count;
    }
}
