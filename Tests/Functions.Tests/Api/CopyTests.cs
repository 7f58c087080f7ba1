using System.Net;
using System.Text.Json;
using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using ContentDigest = Librarian.Domain.Checksums.ContentDigest;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteCopyTests(PostgresServer server) : CopyTests(server, DatabaseKind.Sqlite);

public sealed class PostgresCopyTests(PostgresServer server) : CopyTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// The catalog is not the disk: what is said of a copy that was deleted, flipped or whose store is away, to uploaders, sources and
/// searchers.
/// </summary>
public abstract class CopyTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private TestSite _site = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private string Stored => Path.Combine(_site.StorePath, "obs/a");

    private string Marker => Path.Combine(_site.StorePath, SiteStore.MarkerFile);

    public async ValueTask InitializeAsync() =>
        _site = await TestSite.CreateAsync(
            kind,
            server,
            settings: new Dictionary<string, string> { ["Site:Peers:0:Name"] = "callback", ["Site:Peers:0:Send"] = "true" }
        );

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Upload_CopyIsIntact_IsToldThatItWasLookedAt()
    {
        await UploadAsync();
        var (status, verified, _) = await StageUploadAsync();
        Assert.Equal(409, status);
        Assert.NotNull(verified);
        Assert.Null((await StageUploadAsync("xxh3:::00000000000000000000000000000000")).Verified);
    }

    [
        Theory,
        InlineData("gone"),
        InlineData("flipped"),
        InlineData("flipped, time put back"),
        InlineData("shorter"),
        InlineData("a directory")
    ]
    public async Task Upload_CopyIsGoneOrBad_IsStoredAgain(string damage)
    {
        await UploadAsync();
        await DamageAsync(damage);
        await UploadAsync();
        Assert.Equal("hello world", await File.ReadAllTextAsync(Stored, Stop));
        await using var db = _site.Catalog.Open();
        Assert.Equal(0, await db.CorruptFiles.CountAsync(Stop));
        var copy = await db.Copies.AsNoTracking().SingleAsync(Stop);
        Assert.True(copy is { Available: true, Fingerprint: not null, VerifiedTime: not null });
        Assert.Equal(1, await db.Files.CountAsync(Stop));
        Assert.Equal(0, await db.Errors.CountAsync(e => !e.Cleared, Stop));
        Assert.NotNull((await StageUploadAsync()).Verified);
        // What was bad is kept for whoever wants to look at it.
        var quarantine = Path.Combine(_site.StorePath, ".librarian/aside");
        Assert.Equal(
            damage == "gone" ? 0 : 1,
            Directory.EnumerateFileSystemEntries(quarantine, "data", SearchOption.AllDirectories).Count()
        );
    }

    [Fact]
    public async Task Validate_CopyVanishedSinceItWasRead_IsNotAnsweredFromMemory()
    {
        await UploadAsync();
        var (status, copies) = await _site.PostAsync("validate/file", """{"file_name":"obs/a"}""");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.True(copies[0].GetProperty("computed_same_checksum").GetBoolean());
        File.Delete(Stored);
        (_, copies) = await _site.PostAsync("validate/file", """{"file_name":"obs/a"}""");
        Assert.False(
            copies.ValueKind == JsonValueKind.Array
                && copies.EnumerateArray().Any(c => c.GetProperty("computed_same_checksum").GetBoolean()),
            copies.GetRawText()
        );
        await using var db = _site.Catalog.Open();
        Assert.Equal(CorruptFile.Missing, (await db.CorruptFiles.SingleAsync(Stop)).Checksum);
    }

    /// <summary>A new file, for which there is room: it is not told to be too large.</summary>
    [Fact]
    public async Task Upload_NoStoreIsMounted_IsToldSo()
    {
        File.Move(Marker, Marker + ".away");
        var (status, _, reason) = await StageUploadAsync();
        Assert.Equal((503, Reasons.StoreAway), (status, reason));
        await using var db = _site.Catalog.Open();
        Assert.Equal(0, await db.Errors.CountAsync(e => e.Category == ErrorCategory.StoreFull, Stop));
    }

    [Fact]
    public async Task Upload_StoreIsAway_IsRefusedWithoutTouchingTheCatalog()
    {
        await UploadAsync();
        File.Move(Marker, Marker + ".away");
        var (status, verified, reason) = await StageUploadAsync();
        Assert.Equal((503, null, Reasons.CopyUnknown), (status, verified, reason));
        await using (var db = _site.Catalog.Open())
        {
            Assert.True((await db.Copies.SingleAsync(Stop)).Available);
            Assert.Equal(0, await db.CorruptFiles.CountAsync(Stop));
        }

        File.Move(Marker + ".away", Marker);
        Assert.NotNull((await StageUploadAsync()).Verified);
    }

    [Fact]
    public async Task Upload_CopyThatWasMissingIsBack_CountsAgainAfterItWasRead()
    {
        await UploadAsync();
        File.Move(Stored, Stored + ".moved");
        Assert.Equal(201, (await StageUploadAsync()).Status);
        await AvailableAsync(false);
        File.Move(Stored + ".moved", Stored);
        Assert.NotNull((await StageUploadAsync()).Verified);
        await AvailableAsync(true);
    }

    [Fact]
    public async Task Upload_CopyThatLooksUntouched_IsReadWhenTheLastReadingIsOld()
    {
        await UploadAsync();
        await File.WriteAllTextAsync(Stored, "hello_world", Stop);
        Assert.True(FileName.TryParse("obs/a", out var path, out _));
        var seen = (await _site.Services.GetRequiredService<SiteStores>().All[0].Store.FingerprintAsync(path, Stop)).Fingerprint;
        // As if the medium had lost the bit: nobody wrote, so no time has changed.
        await using (var db = _site.Catalog.Open())
            await db.Copies.ExecuteUpdateAsync(s => s.SetProperty(i => i.Fingerprint, seen), Stop);
        Assert.NotNull((await StageUploadAsync()).Verified);
        var old = DateTime.UtcNow - _site.Services.GetRequiredService<IOptions<SiteOptions>>().Value.ProbeReadAge;
        await using (var db = _site.Catalog.Open())
            await db.Copies.ExecuteUpdateAsync(s => s.SetProperty(i => i.VerifiedTime, old), Stop);
        Assert.Equal(201, (await StageUploadAsync()).Status);
    }

    [Fact]
    public async Task Probe_ReadingThatNobodyWaitsFor_IsFoundInTheCatalogByTheNext()
    {
        await UploadAsync();
        await using (var db = _site.Catalog.Open())
            await db.Copies.ExecuteUpdateAsync(s => s.SetProperty(i => i.Fingerprint, (string?)null), Stop);
        var probe = _site.Services.GetRequiredService<CopyProbe>();
        FilePresence presence;
        do presence = (await probe.ProbeAsync([new DeclaredFile("obs/a", 11, HelloSum)], TimeSpan.FromTicks(1), Stop))["obs/a"].Presence;
        while (presence == FilePresence.Reading);
        Assert.Equal(FilePresence.Intact, presence);
        await using (var db = _site.Catalog.Open())
            Assert.NotNull((await db.Copies.SingleAsync(Stop)).Fingerprint);
    }

    [Fact]
    public async Task Probe_SameContentUnderAnotherAlgorithm_IsFoundBySizeAndReading()
    {
        await UploadAsync();
        var probe = _site.Services.GetRequiredService<CopyProbe>();
        async Task<FilePresence> AskAsync(string checksum) =>
            (await probe.ProbeAsync([new DeclaredFile("obs/a", 11, checksum)], TimeSpan.FromMinutes(1), Stop))["obs/a"].Presence;
        Assert.Equal(FilePresence.Intact, await AskAsync("5eb63bbbe01eeed093cb22bb8f5acdc3"));
        Assert.Equal(FilePresence.OtherContent, await AskAsync("md5:::00000000000000000000000000000000"));
    }

    [Fact]
    public async Task BatchStage_CopyIsIntact_IsNamedAsLookedAt()
    {
        await UploadAsync();
        Assert.Equal((409, "4=1", Reasons.FileExists), await BatchAsync());
        Assert.Null((await BatchAsync("xxh3:::00000000000000000000000000000000")).Verified);
    }

    [Theory, InlineData("gone"), InlineData("flipped"), InlineData("flipped, time put back")]
    public async Task BatchStage_CopyIsGoneOrBad_IsStoredAgain(string damage)
    {
        await UploadAsync();
        await DamageAsync(damage);
        Assert.Equal(201, (await BatchAsync()).Status);
        await using (var db = _site.Catalog.Open())
        {
            var transfer = await db.IncomingTransfers.OrderBy(t => t.Id).LastAsync(Stop);
            await File.WriteAllTextAsync(Path.Combine(_site.StagingPath, transfer.StagingPath!, "obs/a"), "hello world", Stop);
            transfer.Status = TransferStatus.Staged;
            await db.SaveChangesAsync(Stop);
            Assert.Equal(
                IngestOutcome.Ingested,
                (await _site.Services.GetRequiredService<StagedFileIngest>().RunAsync(transfer.Id, DeletionPolicy.Disallowed, Stop)).Outcome
            );
        }

        Assert.Equal("hello world", await File.ReadAllTextAsync(Stored, Stop));
        Assert.Equal("4=1", (await BatchAsync()).Verified);
    }

    [Fact]
    public async Task BatchStage_StoreIsAway_IsRefusedAsUnderWay()
    {
        await UploadAsync();
        await using (var db = _site.Catalog.Open())
        {
            // The only store being away, there would be no room at all.
            var elsewhere = new StoreRecord
            {
                Name = "elsewhere",
                Enabled = true,
                Ingestable = true,
            };
            db.Stores.Add(elsewhere);
            await db.SaveChangesAsync(Stop);
            await db.Copies.ExecuteUpdateAsync(s => s.SetProperty(i => i.StoreId, elsewhere.Id), Stop);
        }

        var (status, verified, reason) = await BatchAsync();
        Assert.Equal((425, null, Reasons.CopyUnknown), (status, verified, reason));
    }

    [Fact]
    public async Task Replacement_OfAMissingCopyCrashedAfterThePlacement_IsFinishedByTheNextRun()
    {
        await UploadAsync();
        File.Delete(Stored);
        var (id, location, _) = await _site.StageAsync("obs/a", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world", Stop);
        await using (var db = _site.Catalog.Open())
            await db
                .IncomingTransfers.Where(t => t.Id == id)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged).SetProperty(t => t.Committing, true), Stop);
        File.Move(location, Stored);
        var ingest = _site.Services.GetRequiredService<StagedFileIngest>();
        Assert.Equal(IngestOutcome.Ingested, (await ingest.RunAsync(id, DeletionPolicy.Disallowed, Stop)).Outcome);
        Assert.Equal("hello world", await File.ReadAllTextAsync(Stored, Stop));
        await AvailableAsync(true);
    }

    [Fact]
    public async Task Replacement_OfABadCopyWhoseStagedDataVanish_LeavesTheBadCopy()
    {
        await UploadAsync();
        await DamageAsync("flipped");
        var (id, _, _) = await _site.StageAsync("obs/a", HelloSum, 11);
        await using (var db = _site.Catalog.Open())
            await db
                .IncomingTransfers.Where(t => t.Id == id)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged).SetProperty(t => t.Committing, true), Stop);
        Assert.Equal(
            IngestOutcome.Missing,
            (await _site.Services.GetRequiredService<StagedFileIngest>().RunAsync(id, DeletionPolicy.Disallowed, Stop)).Outcome
        );
        Assert.Equal("hello_world", await File.ReadAllTextAsync(Stored, Stop));
        await AvailableAsync(false);
    }

    [Fact]
    public async Task Search_CopyIsKnownToBeCorrupt_IsNotAvailableAndNotOffered()
    {
        await UploadAsync();
        await AvailableAsync(true);
        await DamageAsync("flipped");
        await _site.PostAsync("validate/file", """{"file_name":"obs/a"}""");
        await AvailableAsync(false);
        Assert.Equal(HttpStatusCode.NotFound, (await _site.PostAsync("search/instance_local", """{"available":true}""")).Status);
        var (_, hits) = await _site.PostAsync("search/instance_local", """{"available":false}""");
        Assert.False(hits[0].GetProperty("available").GetBoolean());
        await using var db = _site.Catalog.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(Stop);
        var policy = _site.Services.GetRequiredService<IOptions<SiteOptions>>().Value.Peers[0];
        Assert.Null(await _site.Services.GetRequiredService<OutgoingTransfers>().CreateBatchAsync(db, policy, id => $"{id}", Stop));
    }

    [Fact]
    public async Task Validate_CopyIsGone_IsNoLongerAvailableAndRaisedOnce()
    {
        await UploadAsync();
        File.Delete(Stored);
        for (var i = 0; i < 2; i++)
            Assert.Equal(0, (await _site.PostAsync("validate/file", """{"file_name":"obs/a"}""")).Body.GetArrayLength());
        await AvailableAsync(false);
        var (_, errors) = await _site.PostAsync("search/error", """{"category":"data_availability"}""");
        Assert.Equal("critical", Assert.Single(errors.EnumerateArray()).GetProperty("severity").GetString());
    }

    [Fact]
    public async Task Upload_DirectoryWithTheSameContentsUnderOtherNames_IsOtherContent()
    {
        var (one, swapped, empty) = (
            Book(("x", "aaa"), ("y", "bbb")),
            Book(("x", "bbb"), ("y", "aaa")),
            Book(("x", "aaa"), ("y", "bbb"), ("hollow/", ""))
        );
        await StoreBookAsync(one);
        Assert.NotNull((await StageBookAsync(one)).Verified);
        Assert.Equal((409, null, Reasons.FileExists), await StageBookAsync(swapped));
        Assert.Equal((409, null, Reasons.FileExists), await StageBookAsync(empty));
        // A client that tells no names is judged by contents, as ever.
        Assert.NotNull((await StageBookAsync(swapped, named: false)).Verified);
    }

    /// <summary>Names got lost on the way, which the checksum does not see.</summary>
    [Fact]
    public async Task Upload_MembersArriveUnderOtherNamesThanDeclared_IsRefused()
    {
        var (one, swapped) = (Book(("x", "aaa"), ("y", "bbb")), Book(("x", "bbb"), ("y", "aaa")));
        Assert.Equal(201, (await StageBookAsync(one)).Status);
        var (status, body) = await CommitBookAsync(swapped);
        Assert.Equal(HttpStatusCode.NotAcceptable, status);
        Assert.Contains("not the declared names", body.GetRawText(), StringComparison.Ordinal);
        await using (var db = _site.Catalog.Open())
            Assert.Equal(0, await db.Files.CountAsync(Stop));
        Assert.False(Directory.Exists(Path.Combine(_site.StorePath, "obs/b")));
        await StoreBookAsync(one);
    }

    [Fact]
    public async Task Upload_DirectoryCataloguedBeforeNamesWere_HasThemReadFromItsCopy()
    {
        var (one, swapped) = (Book(("x", "aaa"), ("y", "bbb")), Book(("x", "bbb"), ("y", "aaa")));
        await StoreBookAsync(one);
        await using (var db = _site.Catalog.Open())
            await db.Files.ExecuteUpdateAsync(s => s.SetProperty(f => f.TreeDigest, (string?)null), Stop);
        Assert.Null((await StageBookAsync(swapped)).Verified);
        await using (var db = _site.Catalog.Open())
            Assert.StartsWith("tree1:::", (await db.Files.SingleAsync(Stop)).TreeDigest, StringComparison.Ordinal);
        Assert.NotNull((await StageBookAsync(one)).Verified);
    }

    [Fact]
    public async Task Upload_MembersOfTheCopyWereRenamed_IsStoredAgain()
    {
        var one = Book(("x", "aaa"), ("y", "bbb"));
        await StoreBookAsync(one);
        File.Move(Path.Combine(_site.StorePath, "obs/b/x"), Path.Combine(_site.StorePath, "obs/b/z"));
        await StoreBookAsync(one);
        Assert.Equal(["x", "y"], Directory.GetFiles(Path.Combine(_site.StorePath, "obs/b")).Select(Path.GetFileName).Order());
    }

    [Fact]
    public async Task Client_UploadsAgain_IsToldThereOnlyWhileItIs()
    {
        await using var site = await TestSite.CreateAsync(kind, server, listen: true);
        Assert.True(SiteConnection.TryCreate("http://127.0.0.1", site.Address.Port, "uploader", "uploaderpw", out var connection, out _));
        using var client = new LibrarianClient(connection);
        var upload = new Upload(client, TimeProvider.System);
        var (one, swapped) = (Book(("x", "aaa"), ("y", "bbb")), Book(("x", "bbb"), ("y", "aaa")));
        async Task<UploadOutcome> RunAsync(string directory) =>
            await upload.RunAsync(directory, "obs/b", new UploadOptions { Hostname = "here" }, cancellationToken: Stop);
        Assert.False((await RunAsync(one)).Receipt?.AlreadyPresent);
        Assert.True((await RunAsync(one)).Receipt?.AlreadyPresent);
        Assert.Equal(UploadErrors.NameTaken, (await RunAsync(swapped)).Error?.Code);
        Directory.Delete(Path.Combine(site.StorePath, "obs/b"), recursive: true);
        Assert.False((await RunAsync(one)).Receipt?.AlreadyPresent);
        Assert.Equal("aaa", await File.ReadAllTextAsync(Path.Combine(site.StorePath, "obs/b/x"), Stop));
        File.Move(Path.Combine(site.StorePath, SiteStore.MarkerFile), Path.Combine(site.StorePath, "away"));
        var away = await RunAsync(one);
        Assert.Equal(UploadErrors.Refused, away.Error?.Code);
        Assert.Contains("Keep your copy", away.Error!.Next, StringComparison.Ordinal);
    }

    private string Book(params (string Name, string Content)[] members)
    {
        var directory = Path.Combine(Path.GetDirectoryName(_site.StagingPath)!, "books", Guid.NewGuid().ToString());
        foreach (var (name, content) in members)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(directory, name))!);
            if (!name.EndsWith('/'))
                File.WriteAllText(Path.Combine(directory, name), content);
        }

        return directory;
    }

    private async Task StoreBookAsync(string directory)
    {
        var (status, _, _) = await StageBookAsync(directory);
        Assert.Equal(201, status);
        Assert.Equal(HttpStatusCode.OK, (await CommitBookAsync(directory)).Status);
    }

    /// <summary>Puts the members of a directory where the last upload is to go, and commits it.</summary>
    private async Task<(HttpStatusCode Status, JsonElement Body)> CommitBookAsync(string directory)
    {
        await using var db = _site.Catalog.Open();
        var transfer = await db.IncomingTransfers.AsNoTracking().OrderBy(t => t.Id).LastAsync(Stop);
        var place = Path.Combine(_site.StagingPath, transfer.StagingPath!, "b");
        foreach (var member in Directory.EnumerateFiles(directory))
        {
            Directory.CreateDirectory(place);
            File.Copy(member, Path.Combine(place, Path.GetFileName(member)));
        }

        return await _site.CommitAsync(transfer.Id, "obs/b");
    }

    private async Task<(int Status, string? Verified, string? Reason)> StageBookAsync(string directory, bool named = true)
    {
        var read = await ContentDigest.ComputeAsync(directory, [ChecksumAlgorithm.Xxh3], cancellationToken: Stop);
        var names = named ? $",\"tree_digest\":\"{read.TreeDigest}\"" : "";
        return await AskAsync(
            "upload/stage",
            $$"""
            {"upload_size":{{read.SizeBytes}},"upload_checksum":"{{read.Checksums[ChecksumAlgorithm.Xxh3]}}",
             "upload_name":"b","destination_location":"obs/b","uploader":"uploader"{{names}}}
            """,
            CopyEvidence.UploadHeader
        );
    }

    private async Task DamageAsync(string damage)
    {
        var modified = File.GetLastWriteTimeUtc(Stored);
        if (damage == "gone")
            File.Delete(Stored);
        else if (damage == "shorter")
            await File.WriteAllTextAsync(Stored, "hello", Stop);
        else if (damage == "a directory")
        {
            File.Delete(Stored);
            Directory.CreateDirectory(Stored);
        }
        else
            await File.WriteAllTextAsync(Stored, "hello_world", Stop);
        if (damage == "flipped, time put back")
            File.SetLastWriteTimeUtc(Stored, modified);
    }

    private async Task AvailableAsync(bool expected)
    {
        var (_, hits) = await _site.PostAsync("search/file", """{"name":"obs/a"}""");
        Assert.Equal(expected, hits[0].GetProperty("instances")[0].GetProperty("available").GetBoolean());
    }

    private async Task UploadAsync()
    {
        var (id, location, _) = await _site.StageAsync("obs/a", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world", Stop);
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, "obs/a")).Status);
    }

    private Task<(int Status, string? Verified, string? Reason)> StageUploadAsync(string checksum = HelloSum) =>
        AskAsync(
            "upload/stage",
            $$"""
            {"upload_size":11,"upload_checksum":"{{checksum}}","upload_name":"a","destination_location":"obs/a","uploader":"uploader"}
            """,
            CopyEvidence.UploadHeader
        );

    private Task<(int Status, string? Verified, string? Reason)> BatchAsync(string checksum = HelloSum) =>
        AskAsync(
            "clone/batch_stage",
            $$"""
            {"uploads":[{"upload_size":11,"upload_checksum":"{{checksum}}","upload_name":"obs/a",
               "destination_location":"obs/a","uploader":"x","source_transfer_id":4}],"source":"uploader","total_size":11}
            """,
            CopyEvidence.CloneHeader
        );

    private async Task<(int Status, string? Verified, string? Reason)> AskAsync(string path, string json, string header)
    {
        using var response = await _site.SendAsync(path, json, TestSite.Basic("uploader", "uploaderpw"));
        var body = JsonDocument.Parse(await response.Content.ReadAsStringAsync(Stop)).RootElement;
        return (
            (int)response.StatusCode,
            response.Headers.TryGetValues(header, out var values) ? values.Single() : null,
            body.TryGetProperty("reason", out var reason) ? reason.GetString() : null
        );
    }
}
