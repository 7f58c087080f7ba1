using System.Net;
using System.Text.Json;
using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Microsoft.AspNetCore.Http;

namespace Librarian.Tests.Client;

public sealed class UploadTests : IAsyncLifetime
{
    private readonly string _work = Directory.CreateTempSubdirectory("librarian-upload-").FullName;
    private FakeSite _site = null!;
    private LibrarianClient _client = null!;
    private Upload _upload = null!;

    private string Staged => Path.Join(_work, "staging", "uuid", "one.bin");

    public async ValueTask InitializeAsync()
    {
        _site = await FakeSite.StartAsync();
        _client = new LibrarianClient(_site.Connection);
        _upload = new Upload(_client, new PromptTime());
        Directory.CreateDirectory(Path.GetDirectoryName(Staged)!);
        Stage([Dns.GetHostName()]);
        _site.Answer(Routes.UploadCommit, 200, null);
        Found();
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _site.DisposeAsync();
        RawFiles.Remove(_work);
    }

    [Theory]
    [InlineData("", "99aa06d3014798d86001c324468d497f")]
    [InlineData("abc", "06b05ab6733a618578af5f94892f3950")]
    [InlineData("hello world", "df8d09e93f874900a99b8775cc15b6c7")]
    public async Task Digest_File_MatchesUpstream(string content, string hex) =>
        Assert.Equal(new ContentDigest(content.Length, "xxh3:::" + hex), await ContentDigest.OfAsync(Source(content)));

    [Fact]
    public async Task Digest_LongFile_MatchesUpstream()
    {
        var path = Path.Join(_work, "long");
        await File.WriteAllBytesAsync(path, [.. Enumerable.Range(0, 200_000).Select(static i => (byte)(i % 251))]);
        Assert.Equal("xxh3:::b0b4a8995101f27bf0543157a23a8634", (await ContentDigest.OfAsync(path)).Checksum);
    }

    [Fact]
    public async Task Digest_Directory_MatchesUpstreamWhateverTheNames()
    {
        Assert.Equal("xxh3:::99aa06d3014798d86001c324468d497f", (await ContentDigest.OfAsync(Book())).Checksum);
        Assert.Equal("xxh3:::1cf8edfa1119a1f0ac66c88ef6317369", (await ContentDigest.OfAsync(Book("aaa"))).Checksum);
        var four = Book("aaa", "bbb", "h", "e");
        Assert.Equal(new ContentDigest(8, "xxh3:::065bd73b19e83b64024f8a026b875b71"), await ContentDigest.OfAsync(four));
        File.CreateSymbolicLink(Path.Join(four, "link"), Source("hello world"));
        Assert.Equal(new ContentDigest(19, "xxh3:::ceba3b86eb1d140c2ccf0cb230f20577"), await ContentDigest.OfAsync(four));
        Assert.Equal(
            "xxh3:::7c650a00e0babe5793e5233bced805c0",
            (await ContentDigest.OfAsync(Book("aaa", "bbb", "h", "e", "bbb"))).Checksum
        );
    }

    [Fact]
    public async Task Run_File_StagesCopiesCommits()
    {
        List<UploadProgress> seen = [];
        var outcome = await _upload.RunAsync(Source("hello world"), "obs//one.bin", progress: new Collect(seen));

        Assert.Equal(new UploadReceipt("obs/one.bin", new ContentDigest(11, "xxh3:::df8d09e93f874900a99b8775cc15b6c7")), outcome.Receipt);
        Assert.Equal("hello world", await File.ReadAllTextAsync(Staged));
        Assert.Equal(
            """
            {"upload_size":11,"upload_checksum":"xxh3:::df8d09e93f874900a99b8775cc15b6c7",
            "upload_name":"one.bin","destination_location":"obs/one.bin","uploader":"ann"}
            """.ReplaceLineEndings(""),
            _site.Calls.First().Body
        );
        var commit = JsonSerializer.Deserialize(_site.Calls.Last().Body, WireJson.Wire.UploadCommitRequest)!;
        Assert.Equal(
            ("local", "infer", "DISALLOWED", 7, "obs/one.bin"),
            (commit.TransferProviderName, commit.MetaMode, commit.DeletionPolicy, commit.TransferId, commit.DestinationLocation)
        );
        Assert.Equal(Convert.ToInt32("664", 8), (int)File.GetUnixFileMode(Staged));
        Assert.Equal([UploadPhase.Hashing, UploadPhase.Copying, UploadPhase.Committing], seen.Select(static p => p.Phase).Distinct());
        Assert.All(seen.GroupBy(static p => p.Phase), static phase => Assert.Equal(11, phase.Last().Bytes));
    }

    [Fact]
    public async Task Run_Directory_CopiesTheWholeTree()
    {
        var directory = Book("aaa", "bbb");
        Directory.CreateDirectory(Path.Join(directory, "empty", "nested"));
        File.CreateSymbolicLink(Path.Join(directory, "nested", "link"), Source("hello world"));

        var outcome = await _upload.RunAsync(directory, "one.bin", new UploadOptions { DeletionPolicy = DeletionPolicy.Allowed });

        Assert.Null(outcome.Error);
        Assert.True(Directory.Exists(Path.Join(Staged, "empty", "nested")));
        Assert.Null(new FileInfo(Path.Join(Staged, "nested", "link")).LinkTarget);
        Assert.Equal(outcome.Receipt!.Digest, await ContentDigest.OfAsync(Staged));
        Assert.Equal(Convert.ToInt32("775", 8), (int)File.GetUnixFileMode(Path.Join(Staged, "nested")));
        Assert.Contains("\"deletion_policy\":\"ALLOWED\"", _site.Calls.Last().Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Digest_Directory_SaysNamesBesideContents()
    {
        var (one, other) = (Book("aaa", "bbb"), Book("bbb", "aaa"));
        var (first, second) = (await ContentDigest.OfAsync(one), await ContentDigest.OfAsync(other));
        Assert.Equal(first, second);
        Assert.NotEqual(first.TreeDigest, second.TreeDigest);
        Directory.CreateDirectory(Path.Join(one, "hollow"));
        Assert.NotEqual(first.TreeDigest, (await ContentDigest.OfAsync(one)).TreeDigest);
        Assert.Null((await ContentDigest.OfAsync(Source("x"))).TreeDigest);
        var empty = Directory.CreateDirectory(Path.Join(_work, "empty")).FullName;
        Assert.Equal("tree1:::99aa06d3014798d86001c324468d497f", (await ContentDigest.OfAsync(empty)).TreeDigest);
    }

    [Fact]
    public async Task Run_DirectoryExistsUnderTheSameNameWithOtherMemberNames_IsNoSuccess()
    {
        var directory = Book("aaa", "bbb");
        var digest = await ContentDigest.OfAsync(directory);
        _site.Answer(Routes.UploadStage, 409, """{"reason":"File already exists on librarian.","suggested_remedy":"r"}""");
        _site.Answer(
            Routes.SearchFile,
            200,
            Hit(digest.Checksum, digest.Size)
                .Replace("\"remote_instances\"", "\"tree_digest\":\"tree1:::0\",\"remote_instances\"", StringComparison.Ordinal)
        );
        _site.Answer(Routes.ValidateFile, 200, Validation(digest.Size, good: true));

        Assert.Equal(UploadErrors.NameTaken, (await _upload.RunAsync(directory, "one.bin")).Error?.Code);
        Assert.Contains($"\"tree_digest\":\"{digest.TreeDigest}\"", _site.Calls.First().Body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/abs")]
    [InlineData("a/../../b")]
    [InlineData("")]
    [InlineData("./")]
    public async Task Run_BadDestination_AsksNothing(string destination)
    {
        Assert.Equal(UploadErrors.Destination, (await _upload.RunAsync(Source("x"), destination)).Error?.Code);
        Assert.Empty(_site.Calls);
    }

    [Fact]
    public async Task Run_SourceThatCannotBeKept_IsRefusedBeforeAnyCall()
    {
        var linked = Book("a");
        Directory.CreateSymbolicLink(Path.Join(linked, "dir"), Book("b"));
        var broken = Book("a");
        File.CreateSymbolicLink(Path.Join(broken, "gone"), "/nowhere");

        Assert.Equal(UploadErrors.SourceUnsupported, (await _upload.RunAsync(linked, "d")).Error?.Code);
        Assert.Equal(UploadErrors.SourceUnsupported, (await _upload.RunAsync(broken, "d")).Error?.Code);
        Assert.Equal(UploadErrors.SourceUnsupported, (await _upload.RunAsync("/dev/null", "d")).Error?.Code);
        Assert.Equal(UploadErrors.SourceMissing, (await _upload.RunAsync(Path.Join(_work, "absent"), "d")).Error?.Code);
        Assert.Empty(_site.Calls);
    }

    [Fact]
    public async Task Run_SourceChangesAfterHashing_IsNoticedAndNotCommitted()
    {
        var source = Source("hello world");
        StageThen([Dns.GetHostName()], () => File.WriteAllText(source, "hello w0rld"));

        var outcome = await _upload.RunAsync(source, "one.bin");

        Assert.Equal(UploadErrors.SourceChanged, outcome.Error?.Code);
        Assert.False(File.Exists(Staged));
        Assert.DoesNotContain(_site.Calls, static call => call.Path.EndsWith(Routes.UploadCommit, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Run_DirectoryGrowsAfterHashing_IsNoticedAndNotCommitted()
    {
        var source = Book("aaa");
        StageThen([Dns.GetHostName()], () => File.WriteAllText(Path.Join(source, "late"), ""));

        Assert.Equal(UploadErrors.SourceChanged, (await _upload.RunAsync(source, "one.bin")).Error?.Code);
        Assert.False(Directory.Exists(Staged));
    }

    [Fact]
    public async Task Run_MembersWhoseNamesAreNotUtf8_ArriveByteForByteWithTheirSubtree()
    {
        var source = Book();
        var names = new[] { "sub\uDCFF", "sub\uDCFE", "x\ny\u001b[2J" };
        foreach (var name in names)
        {
            RawFiles.MakeDirectory(Path.Join(source, name));
            RawFiles.Write(Path.Join(source, name, "deep\uDC80"), "content of " + name.Shown());
        }

        var outcome = await _upload.RunAsync(source, "one.bin");

        Assert.Null(outcome.Error);
        Assert.Equal(SourceFolder.Names(source), SourceFolder.Names(Staged));
        foreach (var name in names)
            Assert.Equal("content of " + name.Shown(), RawFiles.Read(Path.Join(Staged, name, "deep\uDC80")));
        // The rule of docs/spec/wire.md#directory-checksum ignores names: the same contents under ordinary names have the same checksum.
        var plain = Book();
        for (var i = 0; i < names.Length; i++)
            RawFiles.Write(Path.Join(plain, "f" + i), "content of " + names[i].Shown());
        Assert.Equal((await ContentDigest.OfAsync(plain)).Checksum, outcome.Receipt!.Digest.Checksum);
    }

    [Fact]
    public async Task Run_SourceWhoseNameIsNotUtf8_IsFoundAndItsNameIsNoDestination()
    {
        var source = Path.Join(_work, "run\uDCFF.dat");
        RawFiles.Write(source, "hello world");

        Assert.Null((await _upload.RunAsync(source, "one.bin")).Error);
        var calls = _site.Calls.Count;
        var error = (await _upload.RunAsync(source, "obs/run\uDCFF.dat")).Error;

        Assert.Equal(UploadErrors.Destination, error?.Code);
        Assert.Contains(@"obs/run\xff.dat", error!.What, StringComparison.Ordinal);
        Assert.Equal(calls, _site.Calls.Count);
    }

    [Fact]
    public async Task Run_MemberVanishesAfterItWasListed_FailsWithItsName()
    {
        var source = Book("aaa", "bbb");
        IProgress<UploadProgress> remove = new Act(() => File.Delete(Path.Join(source, "nested", ".f0")));

        var error = (await _upload.RunAsync(source, "one.bin", progress: remove)).Error;

        Assert.Equal(UploadErrors.SourceChanged, error?.Code);
        Assert.Contains("nested/.f0", error!.What, StringComparison.Ordinal);
        Assert.Empty(_site.Calls);
    }

    [Fact]
    public async Task Run_FailedCopyOfNamesThatAreNotUtf8_LeavesNothingInStaging()
    {
        var source = Book();
        RawFiles.MakeDirectory(Path.Join(source, "d\uDCFF"));
        RawFiles.Write(Path.Join(source, "d\uDCFF", "a\uDCFE"), "hello world");
        StageThen([Dns.GetHostName()], () => RawFiles.Write(Path.Join(source, "d\uDCFF", "b"), "late"));

        Assert.Equal(UploadErrors.SourceChanged, (await _upload.RunAsync(source, "one.bin")).Error?.Code);
        Assert.False(Directory.Exists(Staged));
    }

    [Fact]
    public async Task Run_OtherHostsOnly_NamesThemAndCopiesNothing()
    {
        Stage(["elsewhere.example"]);

        var outcome = await _upload.RunAsync(Source("x"), "one.bin");

        Assert.Equal(UploadErrors.NoProvider, outcome.Error?.Code);
        Assert.Contains("elsewhere.example", outcome.Error!.What, StringComparison.Ordinal);
        Assert.Single(_site.Calls);
        Assert.False(File.Exists(Staged));
    }

    [Fact]
    public async Task Run_StagingLocationHoldsSomething_LeavesItAlone()
    {
        await File.WriteAllTextAsync(Staged, "precious");

        Assert.Equal(UploadErrors.CopyFailed, (await _upload.RunAsync(Source("x"), "one.bin")).Error?.Code);
        Assert.Equal("precious", await File.ReadAllTextAsync(Staged));
    }

    [Fact]
    public async Task Run_StagingAreaNotMounted_SaysSo()
    {
        Directory.Delete(Path.Join(_work, "staging"), recursive: true);

        foreach (var source in new[] { Source("x"), Book("x") })
            Assert.Equal(UploadErrors.CopyFailed, (await _upload.RunAsync(source, "one.bin")).Error?.Code);
        Assert.False(Directory.Exists(Path.Join(_work, "staging")));
    }

    [Fact]
    public async Task Run_CommitAnswerLostButIngested_Succeeds()
    {
        var asked = 0;
        _site.Answer(Routes.UploadCommit, Abort);
        _site.Answer(Routes.SearchFile, (context, _) =>
            ++asked < 3 ? NotFound(context) : context.Response.WriteAsync(Hit("xxh3:::df8d09e93f874900a99b8775cc15b6c7", 11))
        );

        var outcome = await _upload.RunAsync(Source("hello world"), "one.bin");

        Assert.False(outcome.Receipt?.AlreadyPresent);
        Assert.Equal(3, asked);
        Assert.Single(_site.Calls, static call => call.Path.EndsWith(Routes.UploadCommit, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Run_CommitAnswerLostAndNotIngested_SaysWhatToDo()
    {
        _site.Answer(Routes.UploadCommit, Abort);

        var outcome = await _upload.RunAsync(Source("hello world"), "one.bin");

        Assert.Equal(UploadErrors.AnswerLost, outcome.Error?.Code);
        Assert.Contains("one.bin", outcome.Error!.Next, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("xxh3:::df8d09e93f874900a99b8775cc15b6c7", 11, null)]
    [InlineData("xxh3:::00000000000000000000000000000000", 11, UploadErrors.NameTaken)]
    [InlineData("md5:::5eb63bbbe01eeed093cb22bb8f5acdc3", 11, null)]
    [InlineData("5eb63bbbe01eeed093cb22bb8f5acdc3", 11, null)]
    [InlineData("sha1:::2aae6c35c94fcfb415dbe95f408b9ce91ee846ed", 11, null)]
    [InlineData("sha256:::b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9", 11, null)]
    [InlineData("md5:::00000000000000000000000000000000", 11, UploadErrors.NameTaken)]
    [InlineData("md5:::5eb63bbbe01eeed093cb22bb8f5acdc3", 12, UploadErrors.NameTaken)]
    public async Task Run_NameExists_SucceedsOnlyForTheSameContent(string checksum, long size, string? code)
    {
        _site.Answer(Routes.UploadStage, 409, """{"reason":"File already exists on librarian.","suggested_remedy":"r"}""");
        _site.Answer(Routes.SearchFile, 200, Hit(checksum, size));
        _site.Answer(Routes.ValidateFile, 200, Validation(size, good: true));

        var outcome = await _upload.RunAsync(Source("hello world"), "one.bin");

        Assert.Equal(code, outcome.Error?.Code);
        Assert.Equal(code is null, outcome.Receipt is { AlreadyPresent: true });
    }

    [Fact]
    public async Task Run_NameExistsWithSameContentButNoCopyIsAvailable_IsNoSuccess()
    {
        _site.Answer(Routes.UploadStage, 409, """{"reason":"File already exists on librarian.","suggested_remedy":"r"}""");
        _site.Answer(Routes.SearchFile, 200, Hit("xxh3:::df8d09e93f874900a99b8775cc15b6c7", 11, available: false));

        var outcome = await _upload.RunAsync(Source("hello world"), "one.bin");

        Assert.Equal(UploadErrors.Refused, outcome.Error?.Code);
        Assert.Contains("no copy", outcome.Error!.What, StringComparison.Ordinal);
    }

    /// <summary>The error must not guess that another upload is running and tell the user forever to try "again in a minute".</summary>
    [Theory, InlineData(Routes.UploadStage), InlineData(Routes.UploadCommit)]
    public async Task Run_NameTakenByWhatTheCatalogDoesNotKnow_PassesTheSitesWordsOn(string route)
    {
        _site.Answer(
            route,
            409,
            """
            {"reason":"File already exists on store.","suggested_remedy":"At 'one.bin' lie data that the catalog does not know: 5 bytes."}
            """
        );
        _site.Answer(Routes.SearchFile, 200, "[]");

        var error = (await _upload.RunAsync(Source("hello world"), "one.bin")).Error!;

        Assert.Equal(UploadErrors.Refused, error.Code);
        Assert.DoesNotContain("another upload", error.What, StringComparison.Ordinal);
        Assert.Equal("At 'one.bin' lie data that the catalog does not know: 5 bytes.", error.Next);
    }

    [Fact]
    public async Task Run_NameExistsAndTheSiteHasLookedAtItsCopy_IsThereWithoutFurtherQuestions()
    {
        _site.Answer(Routes.UploadStage, async (context, _) =>
        {
            context.Response.StatusCode = 409;
            context.Response.Headers[CopyEvidence.UploadHeader] = "2026-11-29T12:00:00Z";
            await context.Response.WriteAsync("""{"reason":"File already exists on librarian.","suggested_remedy":"r"}""");
        });

        var outcome = await _upload.RunAsync(Source("hello world"), "one.bin");

        Assert.True(outcome.Receipt?.AlreadyPresent);
        Assert.Single(_site.Calls);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("bad")]
    [InlineData("elsewhere")]
    public async Task Run_NameExistsInACatalogThatHasNoGoodCopy_IsNoSuccess(string validation)
    {
        _site.Answer(Routes.UploadStage, 409, """{"reason":"File already exists on librarian.","suggested_remedy":"r"}""");
        _site.Answer(
            Routes.SearchFile,
            200,
            Hit(
                "xxh3:::df8d09e93f874900a99b8775cc15b6c7",
                11,
                remote: """{"librarian_name":"elsewhere","copy_time":"2026-01-01T00:00:00"}"""
            )
        );
        _site.Answer(
            Routes.ValidateFile,
            200,
            validation switch
            {
                "bad" => Validation(11, good: false),
                "elsewhere" => Validation(11, good: true, "elsewhere"),
                _ => validation,
            }
        );

        var outcome = await _upload.RunAsync(Source("hello world"), "one.bin");

        Assert.Equal(UploadErrors.NotVerified, outcome.Error?.Code);
        Assert.Contains("Keep your copy", outcome.Error!.Next, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_SiteReadsItsCopy_IsAskedAgainUntilItKnows()
    {
        var asked = 0;
        _site.Answer(Routes.UploadStage, async (context, _) =>
        {
            context.Response.StatusCode = ++asked < 3 ? 503 : 409;
            if (asked < 3)
                context.Response.Headers.RetryAfter = "30";
            else
                context.Response.Headers[CopyEvidence.UploadHeader] = "2026-11-29T12:00:00Z";
            await context.Response.WriteAsync(
                $$"""{"reason":"{{(asked < 3 ? Reasons.CopyBeingRead : Reasons.FileExists)}}","suggested_remedy":"r"}"""
            );
        });

        var outcome = await _upload.RunAsync(Source("hello world"), "one.bin");

        Assert.True(outcome.Receipt?.AlreadyPresent);
        Assert.Equal(3, asked);
    }

    [Fact]
    public async Task Run_SitesStoreIsAway_SaysToKeepTheCopy()
    {
        _site.Answer(
            Routes.UploadStage,
            503,
            $$"""
            {"reason":"{{Reasons.CopyUnknown}}","suggested_remedy":"store 'main' is not mounted. Keep your copy and upload again later."}
            """
        );

        var outcome = await _upload.RunAsync(Source("hello world"), "one.bin");

        Assert.Equal(UploadErrors.Refused, outcome.Error?.Code);
        Assert.Contains("Keep your copy", outcome.Error!.Next, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Routes.UploadStage, 413)]
    [InlineData(Routes.UploadCommit, 406)]
    public async Task Run_Refused_PassesReasonAndRemedyOn(string route, int status)
    {
        _site.Answer(route, status, """{"reason":"Because.","suggested_remedy":"Do this."}""");

        var error = (await _upload.RunAsync(Source("x"), "one.bin")).Error!;

        Assert.Equal(UploadErrors.Refused, error.Code);
        Assert.Contains("Because.", error.What, StringComparison.Ordinal);
        Assert.Contains("Do this.", error.Next, StringComparison.Ordinal);
    }

    private static Task Abort(HttpContext context, string body)
    {
        context.Abort();
        return Task.CompletedTask;
    }

    private static async Task NotFound(HttpContext context)
    {
        context.Response.StatusCode = 404;
        await context.Response.WriteAsync("""{"reason":"No files found.","suggested_remedy":"r"}""");
    }

    private static string Validation(long size, bool good, string librarian = "site") =>
        $$"""
            [{"librarian":"{{librarian}}","store":1,"instance_id":1,"original_checksum":"x","original_size":{{size}},
              "current_checksum":"x","current_size":{{size}},"computed_same_checksum":{{(good ? "true" : "false")}}}]
            """;

    private static string Hit(string checksum, long size, bool available = true, string remote = "") =>
        $$"""
            [{"name":"one.bin","create_time":"2026-01-01T00:00:00","size":{{size}},"checksum":"{{checksum}}",
              "uploader":"ann","source":"ann",
              "instances":[{"path":"/s/one.bin","deletion_policy":0,"created_time":"2026-01-01T00:00:00",
                "available":{{(available ? "true" : "false")}},"store_id":1}],
              "remote_instances":[{{remote}}]}]
            """;

    private void Found() => _site.Answer(Routes.SearchFile, static (context, _) => NotFound(context));

    private void Stage(string[] hostnames) => StageThen(hostnames, static () => { });

    private void StageThen(string[] hostnames, Action then) => _site.Answer(Routes.UploadStage, async (context, body) =>
        {
            var request = JsonSerializer.Deserialize(body, WireJson.Wire.UploadStageRequest)!;
            then();
            context.Response.StatusCode = 201;
            await context.Response.WriteAsync(
                JsonSerializer.Serialize(
                    new UploadStageResponse(
                        1 << 30,
                        "store",
                        "uuid",
                        Staged,
                        request.UploadName,
                        request.DestinationLocation,
                        new() { ["vip"] = new([]), ["local"] = new(hostnames) },
                        7
                    ),
                    WireJson.Wire.UploadStageResponse
                )
            );
        });

    private string Source(string content)
    {
        var path = Path.Join(_work, Guid.NewGuid().ToString());
        File.WriteAllText(path, content);
        return path;
    }

    private string Book(params string[] contents)
    {
        var path = Path.Join(_work, Guid.NewGuid().ToString());
        Directory.CreateDirectory(Path.Join(path, "nested"));
        for (var i = 0; i < contents.Length; i++)
            File.WriteAllText(Path.Join(path, i % 2 == 0 ? "nested" : "", ".f" + i), contents[i]);
        return path;
    }

    /// <summary>A clock whose waits end at once.</summary>
    private sealed class PromptTime : TimeProvider
    {
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            System.CreateTimer(callback, state, dueTime == Timeout.InfiniteTimeSpan ? dueTime : TimeSpan.Zero, period);
    }

    private sealed class Act(Action action) : IProgress<UploadProgress>
    {
        public void Report(UploadProgress value) => action();
    }

    private sealed class Collect(List<UploadProgress> seen) : IProgress<UploadProgress>
    {
        public void Report(UploadProgress value) => seen.Add(value);
    }
}
