using System.Net;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

[assembly: AssemblyFixture(typeof(PostgresServer))]

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteContractTests(PostgresServer server) : ContractTests(server, DatabaseKind.Sqlite);

public sealed class PostgresContractTests(PostgresServer server) : ContractTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// The HTTP contract of this site (docs/spec/wire.md#http, docs/spec/wire.md#accounts, docs/spec/wire.md#endpoints), on both databases.
/// </summary>
public abstract class ContractTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private TestSite _site = null!;

    public async ValueTask InitializeAsync() => _site = await TestSite.CreateAsync(kind, server);

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Ping_AnyCredentials_NamesTheSite()
    {
        var (status, body) = await _site.PostAsync("ping/", "{}", "nobody", "nothing");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal("""{"name":"Test Site","description":"A site under test"}""", body.GetRawText());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("Bearer abc")]
    [InlineData("Basic !!!")]
    [InlineData("Basic bm9jb2xvbg==")]
    public async Task Ping_NoUsableHeader_Is401NotAuthenticated(string? header)
    {
        using var response = await _site.SendAsync("ping/", "{}", header);
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        Assert.Equal("Basic", response.Headers.WwwAuthenticate.Single().Scheme);
        Assert.Equal("""{"detail":"Not authenticated"}""", await response.Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData("ping/logged", "reader", 200)]
    [InlineData("ping/logged", "uploader", 200)]
    [InlineData("ping/admin", "uploader", 401)]
    [InlineData("ping/admin", "admin", 200)]
    [InlineData("users/get", "uploader", 401)]
    [InlineData("admin/stores/list", "uploader", 401)]
    [InlineData("admin/librarians/list", "uploader", 401)]
    [InlineData("clone/batch_stage", "callback", 401)]
    [InlineData("clone/complete", "reader", 401)]
    [InlineData("checkin/update", "reader", 401)]
    [InlineData("checkin/status", "reader", 401)]
    [InlineData("upload/stage", "callback", 401)]
    [InlineData("upload/commit", "callback", 401)]
    public async Task Level_OfEachEndpoint_IsThatOfTheContract(string path, string user, int expected)
    {
        using var response = await _site.SendAsync(path, "{}", TestSite.Basic(user, TestSite.Password(user)));
        Assert.Equal(expected, (int)response.StatusCode);
        if (expected == 401)
            Assert.Equal("""{"detail":"Incorrect username or password"}""", await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Authentication_PasswordChanged_ForgetsTheOldOneAtOnce()
    {
        Assert.Equal(HttpStatusCode.OK, (await _site.PostAsync("ping/logged", "{}", "reader")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _site.PostAsync("users/update", """{"username":"reader","password":"fresh"}""")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _site.PostAsync("ping/logged", "{}", "reader")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _site.PostAsync("ping/logged", "{}", "reader", "fresh")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _site.PostAsync("users/update", """{"username":"reader","permission":0}""")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _site.PostAsync("ping/logged", "{}", "reader", "fresh")).Status);
    }

    [Theory]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("5")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"upload_size":"x","upload_checksum":"a","upload_name":"a","destination_location":"a","uploader":"a"}""")]
    [InlineData("""{"upload_size":1,"upload_checksum":5,"upload_name":"a","destination_location":"a","uploader":"a"}""")]
    public async Task Body_Invalid_Is422WithAReasonAndNoDetail(string json)
    {
        var (status, body) = await _site.PostAsync("upload/stage", json, "uploader");
        Assert.Equal(422, (int)status);
        Assert.False(body.TryGetProperty("detail", out _));
        Assert.NotEqual("", body.GetProperty("reason").GetString());
        Assert.NotEqual("", body.GetProperty("suggested_remedy").GetString());
        await using var db = _site.Catalog.Open();
        Assert.Equal(0, await db.IncomingTransfers.CountAsync());
    }

    [Fact]
    public async Task Route_Unknown_Is404AndWrongMethodIs405()
    {
        using var unknown = await _site.SendAsync("no/such", "{}", null);
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
        Assert.Equal("""{"detail":"Not Found"}""", await unknown.Content.ReadAsStringAsync());
        using var method = await _site.SendAsync("ping/", null, null, HttpMethod.Get);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, method.StatusCode);
        Assert.Equal("""{"detail":"Method Not Allowed"}""", await method.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Upload_GoodFile_IsStoredCataloguedAndLeavesNoStaging()
    {
        var (id, location, _) = await _site.StageAsync("obs/one.bin", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        using (var raw = await _site.SendAsync("upload/commit", CommitBody(id, "obs/one.bin"), TestSite.Basic("uploader", "uploaderpw")))
        {
            Assert.Equal(HttpStatusCode.OK, raw.StatusCode);
            Assert.Equal("", await raw.Content.ReadAsStringAsync());
            Assert.Null(raw.Content.Headers.ContentType);
        }

        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(_site.StorePath, "obs/one.bin")));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_site.StagingPath));
        var (status, hits) = await _site.PostAsync(
            "search/file",
            """{"name":"obs/one.bin","create_time_window":null,"uploader":null,"source":null,"max_results":64}""",
            "reader"
        );
        Assert.Equal(HttpStatusCode.OK, status);
        var hit = Assert.Single(hits.EnumerateArray());
        Assert.Equal(HelloSum, hit.GetProperty("checksum").GetString());
        Assert.Equal(11, hit.GetProperty("size").GetInt64());
        Assert.Equal("uploader", hit.GetProperty("source").GetString());
        var instance = Assert.Single(hit.GetProperty("instances").EnumerateArray());
        Assert.Equal(Path.Combine(_site.StorePath, "obs/one.bin"), instance.GetProperty("path").GetString());
        // "1" is what the Python client sends for ALLOWED, and upstream reads as DISALLOWED (docs/spec/wire.md#deletion-policy).
        Assert.Equal(0, instance.GetProperty("deletion_policy").GetInt32());
        Assert.Equal(1, instance.GetProperty("store_id").GetInt64());
        Assert.DoesNotContain("Z", hit.GetProperty("create_time").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Commit_Repeated_IsStillASuccess()
    {
        var (id, location, _) = await _site.StageAsync("obs/two.bin", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, "obs/two.bin")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, "obs/two.bin")).Status);
        await using var db = _site.Catalog.Open();
        Assert.Equal(TransferStatus.Completed, (await db.IncomingTransfers.SingleAsync()).Status);
    }

    [Theory]
    [InlineData("hello w0rld")]
    [InlineData("hello world and more")]
    [InlineData("")]
    public async Task Commit_WrongContent_Is406AndNothingIsStored(string content)
    {
        var (id, location, _) = await _site.StageAsync("obs/bad.bin", HelloSum, 11);
        await File.WriteAllTextAsync(location, content);
        var (status, body) = await _site.CommitAsync(id, "obs/bad.bin");
        Assert.Equal(406, (int)status);
        Assert.Equal("File does not have a valid checksum or size", body.GetProperty("reason").GetString());
        Assert.False(Path.Exists(Path.Combine(_site.StorePath, "obs/bad.bin")));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_site.StagingPath));
    }

    [Fact]
    public async Task Commit_NothingStaged_Is404()
    {
        var (id, _, _) = await _site.StageAsync("obs/none.bin", HelloSum, 11);
        var (status, body) = await _site.CommitAsync(id, "obs/none.bin");
        Assert.Equal(HttpStatusCode.NotFound, status);
        Assert.Equal("File not found in staging area.", body.GetProperty("reason").GetString());
    }

    [Fact]
    public async Task Commit_UnknownTransferStoreOrCaller_ChangesNothing()
    {
        var (id, location, _) = await _site.StageAsync("obs/mine.bin", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        Assert.Equal(HttpStatusCode.NotFound, (await _site.CommitAsync(id + 100, "obs/mine.bin")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _site.CommitAsync(id, "obs/mine.bin", user: "other")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _site.CommitAsync(id, "obs/mine.bin", user: "admin")).Status);
        var (status, body) = await _site.CommitAsync(id, "obs/mine.bin", store: "elsewhere");
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("Store elsewhere does not exist.", body.GetProperty("reason").GetString());
        await using (var db = _site.Catalog.Open())
            Assert.Equal(TransferStatus.Initiated, (await db.IncomingTransfers.SingleAsync()).Status);
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, "obs/mine.bin")).Status);
    }

    [Theory]
    [InlineData("/etc/passwd")]
    [InlineData("../outside")]
    [InlineData("a/../../b")]
    [InlineData(".")]
    [InlineData("")]
    [InlineData("a\\u0000b")]
    public async Task W40_PathsThatEscape_AreRefusedInEveryField(string path)
    {
        var (id, location, staging) = await _site.StageAsync("obs/safe.bin", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        foreach (var (upload, destination) in new[] { (path, "obs/x"), ("x", path) })
        {
            var (status, body) = await _site.PostAsync(
                "upload/stage",
                $$"""
                {"upload_size":11,"upload_checksum":"{{HelloSum}}","upload_name":"{{upload}}",
                 "destination_location":"{{destination}}","uploader":"u"}
                """,
                "uploader"
            );
            Assert.Equal(HttpStatusCode.BadRequest, status);
            Assert.NotEqual("", body.GetProperty("suggested_remedy").GetString());
            var (batch, _) = await _site.PostAsync(
                "clone/batch_stage",
                $$"""
                {"uploads":[{"upload_size":11,"upload_checksum":"c","upload_name":"{{upload}}",
                   "destination_location":"{{destination}}","uploader":"u","source_transfer_id":1}],"source":"other","total_size":11}
                """,
                "other"
            );
            Assert.Equal(HttpStatusCode.BadRequest, batch);
        }

        Assert.Equal(406, (int)(await _site.CommitAsync(id, path)).Status);
        Assert.Equal("hello world", await File.ReadAllTextAsync(location));
        Assert.Equal([staging], Directory.EnumerateFileSystemEntries(_site.StagingPath).Select(Path.GetFileName));
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, "obs/safe.bin")).Status);
    }

    [Theory]
    [InlineData(-1, 400, "Upload size must be positive.")]
    [InlineData(1_000_001, 413, "Upload size is too large.")]
    public async Task Stage_SizeOutOfRange_IsRefused(long size, int expected, string reason)
    {
        var (status, body) = await _site.PostAsync(
            "upload/stage",
            $$"""{"upload_size":{{size}},"upload_checksum":"c","upload_name":"x","destination_location":"x","uploader":"u"}""",
            "uploader"
        );
        Assert.Equal(expected, (int)status);
        Assert.Equal(reason, body.GetProperty("reason").GetString());
    }

    [Fact]
    public async Task Stage_NameTaken_Is409AndTheStoredFileStays()
    {
        var (id, location, _) = await _site.StageAsync("obs/one.bin", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, "obs/one.bin")).Status);
        var (status, body) = await _site.PostAsync(
            "upload/stage",
            """{"upload_size":1,"upload_checksum":"c","upload_name":"one.bin","destination_location":"obs//./one.bin","uploader":"u"}""",
            "other"
        );
        Assert.Equal(HttpStatusCode.Conflict, status);
        Assert.Equal("File already exists on librarian.", body.GetProperty("reason").GetString());
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(_site.StorePath, "obs/one.bin")));
    }

    [Fact]
    public async Task W02_TwoUploadsOfOneName_ExactlyOneWinsAndItsBytesStay()
    {
        // Upstream: the second content replaced the first.
        const string Other = "xxh3:::06b05ab6733a618578af5f94892f3950";
        var first = await _site.StageAsync("race", HelloSum, 11);
        var second = await _site.StageAsync("race", Other, 3, "other");
        await File.WriteAllTextAsync(first.Location, "hello world");
        await File.WriteAllTextAsync(second.Location, "abc");
        var results = await Task.WhenAll(_site.CommitAsync(first.Id, "race"), _site.CommitAsync(second.Id, "race", "other"));
        var won = Array.FindIndex(results, r => r.Status == HttpStatusCode.OK);
        Assert.Single(results, r => r.Status == HttpStatusCode.OK);
        Assert.Single(results, r => r.Status == HttpStatusCode.Conflict);
        Assert.Equal(won == 0 ? "hello world" : "abc", await File.ReadAllTextAsync(Path.Combine(_site.StorePath, "race")));
        await using var db = _site.Catalog.Open();
        Assert.Equal(won == 0 ? HelloSum : Other, (await db.Files.SingleAsync()).Checksum);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_site.StagingPath));
    }

    [Fact]
    public async Task Commit_InsideACommittedDirectory_Is409AndTheDirectoryStaysAsVerified()
    {
        var directory = await _site.StageAsync("book", "xxh3:::1cf8edfa1119a1f0ac66c88ef6317369", 3);
        Directory.CreateDirectory(directory.Location);
        await File.WriteAllTextAsync(Path.Combine(directory.Location, "page"), "aaa");
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(directory.Id, "book")).Status);
        var intruder = await _site.StageAsync("book/other", HelloSum, 11);
        await File.WriteAllTextAsync(intruder.Location, "hello world");
        Assert.Equal(HttpStatusCode.Conflict, (await _site.CommitAsync(intruder.Id, "book/other")).Status);
        Assert.Equal(["page"], Directory.EnumerateFileSystemEntries(Path.Combine(_site.StorePath, "book")).Select(Path.GetFileName));
    }

    [Fact]
    public async Task W04_SameContentByTwoUsersAndAClone_AllSucceed()
    {
        // Upstream: each further stage failed the earlier transfers because the checksums agree.
        var (_, body) = await _site.PostAsync("clone/batch_stage", Batch(("c", HelloSum, 4)), "other");
        var first = await _site.StageAsync("a", HelloSum, 11);
        var second = await _site.StageAsync("b", HelloSum, 11, "other");
        await File.WriteAllTextAsync(first.Location, "hello world");
        await File.WriteAllTextAsync(second.Location, "hello world");
        await File.WriteAllTextAsync(body.GetProperty("uploads")[0].GetProperty("staging_location").GetString()!, "hello world");
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(first.Id, "a")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(second.Id, "b", "other")).Status);
        var clone = body.GetProperty("uploads")[0].GetProperty("destination_transfer_id").GetInt64();
        var staged = await _site.PostAsync(
            "checkin/update",
            $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{clone}}],"new_status":2}""",
            "other"
        );
        Assert.Equal($"[{clone}]", staged.Body.GetProperty("modified_destination_transfer_ids").GetRawText());
        await WaitForFileAsync("c");
    }

    [Fact]
    public async Task Search_NothingFound_IsExactlyTheProtocols404()
    {
        var (status, body) = await _site.PostAsync("search/file", """{"name":"missing"}""", "reader");
        Assert.Equal(HttpStatusCode.NotFound, status);
        Assert.Equal("No files found.", body.GetProperty("reason").GetString());
    }

    [Fact]
    public async Task Search_64Hits_TakesThreeStatements()
    {
        await using (var db = _site.Catalog.Open())
        {
            var now = DateTime.UtcNow;
            db.Peers.Add(
                new Peer
                {
                    Name = "far",
                    Url = "http://x",
                    Port = 1,
                    Authenticator = "x",
                    TransfersEnabled = true,
                    LastSeen = now,
                    LastHeard = now,
                }
            );
            await db.SaveChangesAsync();
            for (var i = 0; i < 70; i++)
            {
                db.Files.Add(
                    new FileRecord
                    {
                        Name = $"many/{i}",
                        CreateTime = now,
                        Size = 1,
                        Checksum = "c",
                        Uploader = "u",
                        Source = "s",
                    }
                );
                db.Copies.Add(
                    new FileCopy
                    {
                        Path = $"/s/{i}",
                        FileName = $"many/{i}",
                        StoreId = 1,
                        DeletionPolicy = DeletionPolicy.Disallowed,
                        CreatedTime = now,
                        Available = true,
                    }
                );
                db.RemoteCopies.Add(
                    new RemoteCopy
                    {
                        FileName = $"many/{i}",
                        StoreId = 2,
                        PeerId = 1,
                        CopyTime = now,
                        Sender = "testsite",
                    }
                );
            }

            await db.SaveChangesAsync();
        }

        // The first request of an account looks it up.
        await _site.PostAsync("search/file", """{"source":"s","max_results":1}""", "reader");
        _site.Statements.Reset();
        var (_, hits) = await _site.PostAsync("search/file", """{"source":"s","max_results":1000}""", "reader");
        Assert.Equal(64, hits.GetArrayLength());
        Assert.All(hits.EnumerateArray(), h => Assert.Equal(1, h.GetProperty("remote_instances").GetArrayLength()));
        Assert.Equal(3, _site.Statements.Count);
    }

    [Fact]
    public async Task W29_StageBeyondTheSpacePromisedToOthers_Is413()
    {
        // Upstream: two uploads of 90 % of the free space were both accepted.
        await using (var db = _site.Catalog.Open())
        {
            db.IncomingTransfers.Add(
                new IncomingTransfer
                {
                    Status = TransferStatus.Initiated,
                    Uploader = "u",
                    UploadName = "x",
                    Source = "uploader",
                    TransferSize = 1L << 60,
                    TransferChecksum = "c",
                    StoreId = 1,
                    StartTime = DateTime.UtcNow,
                    FileName = "huge",
                }
            );
            await db.SaveChangesAsync();
        }

        var (status, body) = await _site.PostAsync(
            "upload/stage",
            """{"upload_size":1,"upload_checksum":"c","upload_name":"y","destination_location":"y","uploader":"u"}""",
            "uploader"
        );
        Assert.Equal(413, (int)status);
        Assert.Equal("No stores available for upload. Your upload is too large.", body.GetProperty("reason").GetString());
    }

    [Theory]
    [InlineData("line\nbreak\r\t")]
    [InlineData("\u001b]0;title\u0007\u001b[2J\u007f\u0085")]
    [InlineData("\u202egpj.exe\u2028\u2066")]
    [InlineData("\uFFFD back\\slash 🔭 'quote\"")]
    public async Task Names_OfAnyCharacters_AreStoredFoundAndSent(string odd)
    {
        var (upload, clone) = ("up/" + odd, "clone/" + odd);
        var (_, body) = await _site.PostAsync(
            "upload/stage",
            JsonSerializer.Serialize(
                new
                {
                    upload_size = 11,
                    upload_checksum = HelloSum,
                    upload_name = odd,
                    destination_location = upload,
                    uploader = "u",
                }
            ),
            "uploader"
        );
        var location = body.GetProperty("staging_location").GetString()!;
        Assert.EndsWith("/" + odd, location, StringComparison.Ordinal);
        await File.WriteAllTextAsync(location, "hello world");
        Assert.Equal(
            HttpStatusCode.OK,
            (await _site.CommitAsync(body.GetProperty("transfer_id").GetInt64(), JsonSerializer.Serialize(upload)[1..^1])).Status
        );
        var (_, found) = await _site.PostAsync("search/file", JsonSerializer.Serialize(new { name = upload }), "uploader");
        Assert.Equal(upload, found[0].GetProperty("name").GetString());
        Assert.Equal("hello world", await File.ReadAllTextAsync(found[0].GetProperty("instances")[0].GetProperty("path").GetString()!));

        var item = new
        {
            upload_size = 11,
            upload_checksum = HelloSum,
            upload_name = clone,
            destination_location = clone,
            uploader = "u",
            source_transfer_id = 7,
        };
        var (status, answer) = await _site.PostAsync(
            "clone/batch_stage",
            JsonSerializer.Serialize(
                new
                {
                    uploads = new[] { item },
                    source = "other",
                    total_size = 11,
                }
            ),
            "other"
        );
        Assert.Equal(HttpStatusCode.Created, status);
        Assert.Equal(clone, answer.GetProperty("uploads")[0].GetProperty("destination_location").GetString());
        Assert.False(answer.TryGetProperty("refused", out _));
    }

    [Fact]
    public async Task BatchStage_OneNameThatCanNeverBeStored_HoldsUpNobody()
    {
        var (status, body) = await _site.PostAsync(
            "clone/batch_stage",
            Batch(("a/1", HelloSum, 1), ("../../climbs", HelloSum, 2), ("a/3", HelloSum, 3), (new string('n', 300), HelloSum, 4)),
            "other"
        );

        // The Python source fails the files that an answer leaves out and goes on with the rest (docs/spec/wire.md#push).
        Assert.Equal(HttpStatusCode.Created, status);
        Assert.Equal([1, 3], body.GetProperty("uploads").EnumerateArray().Select(u => u.GetProperty("source_transfer_id").GetInt64()));
        Assert.Equal([2, 4], body.GetProperty("refused").EnumerateArray().Select(u => u.GetProperty("source_transfer_id").GetInt64()));
        Assert.Contains("'..'", body.GetProperty("refused")[0].GetProperty("reason").GetString(), StringComparison.Ordinal);
        await using (var db = _site.Catalog.Open())
            Assert.Equal(["a/1", "a/3"], await db.IncomingTransfers.Select(t => t.FileName).OrderBy(n => n).ToListAsync());

        var (only, refusal) = await _site.PostAsync("clone/batch_stage", Batch(("/absolute", HelloSum, 9)), "other");
        Assert.Equal(HttpStatusCode.BadRequest, only);
        Assert.Equal("[9]", refusal.GetProperty("source_transfer_ids").GetRawText());
    }

    [Fact]
    public async Task BatchStage_EmptyAndGoodAndConflicting_AnswersAsTheContractSays()
    {
        Assert.Equal(
            HttpStatusCode.Created,
            (await _site.PostAsync("clone/batch_stage", """{"uploads":[],"source":"other","total_size":0}""", "other")).Status
        );
        var (status, body) = await _site.PostAsync("clone/batch_stage", Batch(("deep/er/file", HelloSum, 7)), "other");
        Assert.Equal(HttpStatusCode.Created, status);
        var place = body.GetProperty("uploads")[0];
        Assert.Equal(7, place.GetProperty("source_transfer_id").GetInt64());
        // The sender's own mover creates at most one level (docs/spec/wire.md#first-provider): all parents must be there.
        Assert.True(Directory.Exists(Path.GetDirectoryName(place.GetProperty("staging_location").GetString())));
        Assert.Equal("local", body.GetProperty("async_transfer_providers").EnumerateObject().First().Name);
        var id = place.GetProperty("destination_transfer_id").GetInt64();

        // INITIATED before: the earlier attempt is given up, 406 names it, and the next ask succeeds.
        var again = await _site.PostAsync("clone/batch_stage", Batch(("deep/er/file", HelloSum, 8), ("fresh", HelloSum, 9)), "other");
        Assert.Equal(406, (int)again.Status);
        Assert.Equal("[8]", again.Body.GetProperty("source_transfer_ids").GetRawText());
        Assert.Equal("[-1]", again.Body.GetProperty("destination_transfer_ids").GetRawText());
        await using (var db = _site.Catalog.Open())
            Assert.Equal(TransferStatus.Failed, (await db.IncomingTransfers.SingleAsync(t => t.Id == id)).Status);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_site.StagingPath));

        var third = await _site.PostAsync("clone/batch_stage", Batch(("deep/er/file", HelloSum, 8)), "other");
        var third_id = third.Body.GetProperty("uploads")[0].GetProperty("destination_transfer_id").GetInt64();
        Assert.Equal(
            HttpStatusCode.OK,
            (
                await _site.PostAsync(
                    "checkin/update",
                    $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{third_id}}],"new_status":1}""",
                    "other"
                )
            ).Status
        );
        var ongoing = await _site.PostAsync("clone/batch_stage", Batch(("deep/er/file", HelloSum, 9)), "other");
        Assert.Equal(425, (int)ongoing.Status);
        Assert.Equal("Transfer is ongoing.", ongoing.Body.GetProperty("reason").GetString());
        var twice = await _site.PostAsync("clone/batch_stage", Batch(("x", HelloSum, 1), ("x", HelloSum, 2)), "other");
        Assert.Equal(HttpStatusCode.BadRequest, twice.Status);
        var negative = await _site.PostAsync("clone/batch_stage", """{"uploads":[],"source":"other","total_size":-1}""", "other");
        Assert.Equal(HttpStatusCode.BadRequest, negative.Status);
        Assert.Equal(JsonValueKind.String, negative.Body.GetProperty("detail").ValueKind);
        Assert.Equal(
            "Upload size must be positive.",
            JsonDocument.Parse(negative.Body.GetProperty("detail").GetString()!).RootElement.GetProperty("reason").GetString()
        );
    }

    [Fact]
    public async Task Checkin_UpdateAndStatus_KeepTheListsHonest()
    {
        var (_, body) = await _site.PostAsync("clone/batch_stage", Batch(("f", HelloSum, 1)), "other");
        var id = body.GetProperty("uploads")[0].GetProperty("destination_transfer_id").GetInt64();
        var stranger = await _site.PostAsync(
            "checkin/update",
            $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{id}},999],"new_status":1}""",
            "uploader"
        );
        Assert.Equal(HttpStatusCode.OK, stranger.Status);
        Assert.Equal($"[{id},999]", stranger.Body.GetProperty("unmodified_destination_transfer_ids").GetRawText());
        Assert.Equal(2, stranger.Body.GetProperty("reasons").GetArrayLength());
        var owner = await _site.PostAsync(
            "checkin/update",
            $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{id}}],"new_status":1}""",
            "other"
        );
        Assert.Equal($"[{id}]", owner.Body.GetProperty("modified_destination_transfer_ids").GetRawText());
        var same = await _site.PostAsync(
            "checkin/update",
            $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{id}}],"new_status":1}""",
            "other"
        );
        Assert.Equal(
            "Transition from TransferStatus.ONGOING to TransferStatus.ONGOING is not permitted.",
            same.Body.GetProperty("reasons")[0].GetString()
        );
        var status = await _site.PostAsync(
            "checkin/status",
            $$"""{"source_transfer_ids":[5],"destination_transfer_ids":[{{id}},999,-1]}""",
            "other"
        );
        Assert.Equal(
            $$$"""{"source_transfer_status":{"5":null},"destination_transfer_status":{"{{{id}}}":1,"999":null,"-1":null}}""",
            status.Body.GetRawText()
        );
        var cancelled = await _site.PostAsync(
            "checkin/update",
            $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{id}}],"new_status":5}""",
            "other"
        );
        Assert.Equal($"[{id}]", cancelled.Body.GetProperty("modified_destination_transfer_ids").GetRawText());
        Assert.Empty(Directory.EnumerateFileSystemEntries(_site.StagingPath));
    }

    [Fact]
    public async Task CloneOngoingAndStaged_OnlyTheOwnerAndOnlyInOrder()
    {
        var (_, body) = await _site.PostAsync("clone/batch_stage", Batch(("f", HelloSum, 4)), "other");
        var place = body.GetProperty("uploads")[0];
        var number = place.GetProperty("destination_transfer_id").GetInt64();
        var pair = $$"""{"source_transfer_id":4,"destination_transfer_id":{{number}}}""";
        Assert.Equal(HttpStatusCode.NotFound, (await _site.PostAsync("clone/ongoing", pair, "uploader")).Status);
        var early = await _site.PostAsync("clone/staged", pair, "other");
        Assert.Equal(406, (int)early.Status);
        Assert.Equal("Transfer is not in ONGOING status.", early.Body.GetProperty("reason").GetString());
        Assert.Equal(HttpStatusCode.OK, (await _site.PostAsync("clone/ongoing", pair, "other")).Status);
        await File.WriteAllTextAsync(place.GetProperty("staging_location").GetString()!, "hello world");
        var staged = await _site.PostAsync("clone/staged", pair, "other");
        Assert.Equal(HttpStatusCode.OK, staged.Status);
        Assert.True(staged.Body.GetProperty("success").GetBoolean());
        await WaitForFileAsync("f");
        var late = await _site.PostAsync(
            "clone/fail",
            $$"""{"source_transfer_id":4,"destination_transfer_id":{{number}},"reason":"too late"}""",
            "other"
        );
        Assert.Equal(HttpStatusCode.OK, late.Status);
        await using var db = _site.Catalog.Open();
        Assert.Equal(TransferStatus.Completed, (await db.IncomingTransfers.SingleAsync(t => t.Id == 1)).Status);
    }

    [Fact]
    public async Task CloneComplete_Callback_RecordsTheCopyOnceAndOnlyForTheDestination()
    {
        await using (var db = _site.Catalog.Open())
        {
            var now = DateTime.UtcNow;
            db.Files.Add(
                new FileRecord
                {
                    Name = "f",
                    CreateTime = now,
                    Size = 11,
                    Checksum = HelloSum,
                    Uploader = "u",
                    Source = "u",
                }
            );
            db.OutgoingTransfers.Add(
                new OutgoingTransfer
                {
                    Status = TransferStatus.Ongoing,
                    Destination = "callback",
                    TransferSize = 11,
                    TransferChecksum = HelloSum,
                    StartTime = now,
                    FileName = "f",
                }
            );
            await db.SaveChangesAsync();
        }

        const string Complete = """{"source_transfer_id":1,"destination_transfer_id":3,"store_id":9}""";
        var unregistered = await _site.PostAsync("clone/complete", Complete, "callback");
        Assert.Equal(HttpStatusCode.BadRequest, unregistered.Status);
        Assert.Equal("Could not find librarian callback.", unregistered.Body.GetProperty("reason").GetString());
        var added = await _site.PostAsync(
            "admin/librarians/add",
            """{"librarian_name":"callback","url":"http://127.0.0.1","port":9,"authenticator":"a:b:c","check_connection":false}"""
        );
        Assert.Equal("""{"success":true,"already_exists":false,"ping_success":null}""", added.Body.GetRawText());
        Assert.Equal(HttpStatusCode.BadRequest, (await _site.PostAsync("clone/complete", Complete, "other")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _site.PostAsync("clone/complete", Complete, "callback")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _site.PostAsync("clone/complete", Complete, "callback")).Status);
        var (_, hits) = await _site.PostAsync("search/file", """{"name":"f"}""", "reader");
        Assert.Equal(
            "callback",
            Assert.Single(hits[0].GetProperty("remote_instances").EnumerateArray()).GetProperty("librarian_name").GetString()
        );
        await using var read = _site.Catalog.Open();
        Assert.DoesNotContain("a:b:c", (await read.Peers.SingleAsync()).Authenticator, StringComparison.Ordinal);
    }

    [Fact]
    public async Task W32_UnreachableLibrarian_IsReportedNotAnError()
    {
        // Upstream: both calls answered 500.
        var port = PostgresServer.FreePort();
        var refused = await _site.PostAsync(
            "admin/librarians/add",
            $$"""{"librarian_name":"down","url":"http://127.0.0.1","port":{{port}},"authenticator":"a:b"}"""
        );
        Assert.Equal("""{"success":false,"already_exists":false,"ping_success":false}""", refused.Body.GetRawText());
        await _site.PostAsync(
            "admin/librarians/add",
            $$"""{"librarian_name":"down","url":"http://127.0.0.1","port":{{port}},"authenticator":"a:b","check_connection":false}"""
        );
        var again = await _site.PostAsync(
            "admin/librarians/add",
            $$"""{"librarian_name":"down","url":"http://127.0.0.1","port":{{port}},"authenticator":"a:b","check_connection":false}"""
        );
        Assert.True(again.Body.GetProperty("already_exists").GetBoolean());
        var list = await _site.PostAsync("admin/librarians/list", """{"ping":true}""");
        Assert.False(list.Body.GetProperty("librarians")[0].GetProperty("available").GetBoolean());
    }

    [Fact]
    public async Task Stores_ListedWithoutBodyOrWithAnyBody()
    {
        foreach (var text in new[] { null, "{broken" })
        {
            var (status, body) = await _site.PostAsync("admin/stores/list", text);
            Assert.Equal(HttpStatusCode.OK, status);
            Assert.Equal("main", body[0].GetProperty("name").GetString());
            Assert.Equal("local", body[0].GetProperty("store_type").GetString());
            Assert.True(body[0].GetProperty("free_space").GetInt64() > 0);
        }
    }

    [Fact]
    public async Task Users_LifeOfAnAccount_FollowsTheContract()
    {
        Assert.Equal(
            HttpStatusCode.BadRequest,
            (await _site.PostAsync("users/create", """{"username":"reader","password":"x","permission":1}""")).Status
        );
        Assert.Equal(422, (int)(await _site.PostAsync("users/create", """{"username":"x","password":"x","permission":7}""")).Status);
        Assert.Equal(
            """{"username":"reader","permission":1}""",
            (await _site.PostAsync("users/get", """{"username":"reader"}""")).Body.GetRawText()
        );
        Assert.Equal(
            """{"success":false,"username":"ghost"}""",
            (await _site.PostAsync("users/update", """{"username":"ghost"}""")).Body.GetRawText()
        );
        Assert.Equal(
            HttpStatusCode.OK,
            (await _site.PostAsync("users/password_update", """{"password":"readerpw","new_password":"new"}""", "reader")).Status
        );
        Assert.Equal(
            HttpStatusCode.BadRequest,
            (await _site.PostAsync("users/password_update", """{"password":"wrong","new_password":"evil"}""", "reader", "new")).Status
        );
        Assert.Equal(HttpStatusCode.OK, (await _site.PostAsync("users/delete", """{"username":"reader"}""")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await _site.PostAsync("users/get", """{"username":"reader"}""")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await _site.PostAsync("users/delete", """{"username":"admin"}""")).Status);
    }

    private static string Batch(params (string Name, string Checksum, long Id)[] files)
    {
        var uploads = files.Select(f =>
            $$"""
                {"upload_size":11,"upload_checksum":"{{f.Checksum}}","upload_name":"{{f.Name}}",
                 "destination_location":"{{f.Name}}","uploader":"u","source_transfer_id":{{f.Id}}}
                """
        );
        return $$"""{"uploads":[{{string.Join(',', uploads)}}],"source":"other","total_size":{{11 * files.Length}}}""";
    }

    private static string CommitBody(long id, string name) =>
        $$"""
            {"store_name":"main","staging_name":"x","staging_location":"/x","upload_name":"x",
             "destination_location":"{{name}}","transfer_provider_name":"local","transfer_provider":{"hostnames":["here"]},
             "meta_mode":"infer","deletion_policy":"1","uploader":"u","null_obsid":true,"transfer_id":{{id}}}
            """;

    private Task WaitForFileAsync(string name) =>
        Wait.UntilAsync(
            async () => (await _site.PostAsync("search/file", $$"""{"name":"{{name}}"}""", "reader")).Status == HttpStatusCode.OK,
            name
        );
}
