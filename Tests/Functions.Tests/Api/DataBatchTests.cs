using System.Globalization;
using System.IO.Compression;
using System.IO.Hashing;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Librarian.Client;
using Librarian.Client.DataBatches;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.DataBatches;
using Librarian.Domain.Stores;
using Librarian.Orchestrations.Incoming;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteDataBatchTests(PostgresServer server) : DataBatchTests(server, DatabaseKind.Sqlite);

public sealed class PostgresDataBatchTests(PostgresServer server) : DataBatchTests(server, DatabaseKind.PostgreSql);

/// <summary>Tests docs/spec/data-batches.md over real sockets: each rule of the draft, bad input, and the client that uploads.</summary>
public abstract class DataBatchTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string Batches = "data/v1/batches";
    private readonly DirectoryInfo _here = Directory.CreateTempSubdirectory("librarian-batch-");
    private TestSite _site = null!;
    private HttpClient _http = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _site = await TestSite.CreateAsync(
            kind,
            server,
            settings: new Dictionary<string, string> { ["Site:MaximalUploadSizeBytes"] = "100000000" },
            listen: true
        );
        _http = Http("uploader");
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _site.DisposeAsync();
        _here.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData(null, false)]
    [InlineData("https;v=2", false)]
    [InlineData("rsync;v=1, https;v=1", true)]
    public async Task Stage_OffersDataBatchesOnlyToSendersThatCanUseThem(string? movers, bool isOffered)
    {
        using var request = TestSite.Request(
            "upload/stage",
            """
            {"upload_size":1,"upload_checksum":"xxh3:::1","upload_name":"a","destination_location":"a","uploader":"u"}
            """,
            TestSite.Basic("uploader", TestSite.Password("uploader"))
        );
        if (movers is not null)
            request.Headers.TryAddWithoutValidation(DataBatchRoutes.MoversHeader, movers);
        using var answer = await _site.Http.SendAsync(request, Stop);
        var providers = (
            await JsonDocument.ParseAsync(await answer.Content.ReadAsStreamAsync(Stop), default, Stop)
        ).RootElement.GetProperty("transfer_providers");
        Assert.Equal("local", providers.EnumerateObject().First().Name);
        Assert.Equal(isOffered, providers.TryGetProperty("https", out var offer));
        if (isOffered)
            Assert.Equal("""{"hostnames":[],"data_version":1}""", offer.GetRawText());
    }

    [Fact]
    public async Task Upload_FromAHostWithoutTheFileSystem_IsStoredAndLeavesNothing()
    {
        var file = await WriteAsync("file", 40_000_000);
        var book = Path.Combine(_here.FullName, "book");
        await WriteAsync("book/b", 1);
        await WriteAsync("book/b.c/x", 100);
        await WriteAsync("book/empty", 0);
        await WriteAsync("book/deep/er/ä b\nc", 70_000);
        Directory.CreateDirectory(Path.Combine(book, "void"));
        foreach (var (source, name) in new[] { (file, "obs/file"), (book, "obs/book") })
        {
            var outcome = await UploadAsync(source, name);
            Assert.Null(outcome.Error);
            Assert.Equal(await ContentDigest.OfAsync(source, Stop), await ContentDigest.OfAsync(Path.Combine(_site.StorePath, name), Stop));
        }

        Assert.True(Directory.Exists(Path.Combine(_site.StorePath, "obs/book/void")));
        Assert.Equal(2, await _site.Services.GetRequiredService<IncomingBatches>().SweepAsync(Stop));
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_site.StagingPath, ".batches")));
        Assert.Equal(".batches", Path.GetFileName(Assert.Single(Directory.EnumerateFileSystemEntries(_site.StagingPath))));
    }

    [Fact]
    public async Task Upload_StartedAgain_SendsOnlyWhatIsMissing()
    {
        var source = await WriteAsync("file", 50_000_000);
        using (var interrupted = new CancellationTokenSource())
        {
            var first = new Counter(sent =>
            {
                if (sent > 34_000_000)
                    interrupted.Cancel();
            });
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => UploadAsync(source, "obs/a", first, interrupted.Token));
        }

        var batch = Assert.Single(Directory.EnumerateDirectories(Path.Combine(_site.StagingPath, ".batches")));
        Assert.NotEqual(0, new FileInfo(Path.Combine(batch, "journal")).Length);
        await using (var db = _site.Catalog.Open())
            Assert.Equal(TransferStatus.Initiated, (await db.IncomingTransfers.SingleAsync(Stop)).Status);
        var outcome = await UploadAsync(source, "obs/a");
        Assert.Null(outcome.Error);
        await using var after = _site.Catalog.Open();
        Assert.Equal(TransferStatus.Completed, (await after.IncomingTransfers.SingleAsync(Stop)).Status);
        Assert.Equal(await ContentDigest.OfAsync(source, Stop), await ContentDigest.OfAsync(Path.Combine(_site.StorePath, "obs/a"), Stop));
    }

    [Fact]
    public async Task Segment_AfterTheDraft_TakesBytesAndNamesOffsets()
    {
        var bytes = RandomNumberGenerator.GetBytes(1000);
        var (id, location, _) = await _site.StageAsync("obs/a", Checksum(bytes), bytes.Length);
        var state = await MakeAsync($$"""{"transfer":{{id}},"type":"file","size":1000}""");
        Assert.Equal((1000, 1, 16 << 20), (state.TotalBytes, state.Segments, state.SegmentBytes));

        using (var head = await SendAsync(HttpMethod.Head, $"{Batches}/{state.Id}/segments/0"))
        {
            Assert.Equal(HttpStatusCode.NoContent, head.StatusCode);
            AssertProgress(head, 0, "?0");
            Assert.Equal("1000", Assert.Single(head.Headers.GetValues("Upload-Length")));
            Assert.True(head.Headers.CacheControl?.NoStore);
        }

        using (var first = await PatchAsync(state.Id, "0", 0, "?0", bytes[..300]))
        {
            Assert.Equal(HttpStatusCode.NoContent, first.StatusCode);
            AssertProgress(first, 300, "?0");
        }

        using (var wrong = await PatchAsync(state.Id, "0", 0, "?1", bytes))
        {
            Assert.Equal(HttpStatusCode.Conflict, wrong.StatusCode);
            Assert.Equal("application/problem+json", wrong.Content.Headers.ContentType?.MediaType);
            AssertProgress(wrong, 300, "?0");
            var problem = JsonDocument.Parse(await wrong.Content.ReadAsStringAsync(Stop)).RootElement;
            Assert.Equal(
                "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
                problem.GetProperty("type").GetString()
            );
            Assert.Equal(300, problem.GetProperty("expected-offset").GetInt64());
            Assert.Equal(0, problem.GetProperty("provided-offset").GetInt64());
        }

        using (
            var rest = await PatchAsync(
                state.Id,
                "0",
                300,
                "?1",
                bytes[300..],
                "sha-256=:" + Convert.ToBase64String(SHA256.HashData(bytes)) + ":"
            )
        )
            AssertProgress(rest, 1000, "?1");
        using (var head = await SendAsync(HttpMethod.Head, $"{Batches}/{state.Id}/segments/0"))
            AssertProgress(head, 1000, "?1");
        Assert.Equal(bytes, await File.ReadAllBytesAsync(location, Stop));
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, "obs/a")).Status);
    }

    [Theory]
    [InlineData("1.0", "?1")]
    [InlineData("-1", "?1")]
    [InlineData("\"5\"", "?1")]
    [InlineData("9223372036854775808", "?1")]
    [InlineData("0;a=1", "?1")]
    [InlineData(null, "?1")]
    [InlineData("0, 0", "?1")]
    [InlineData("0", "true")]
    [InlineData("0", "1")]
    [InlineData("0", null)]
    public async Task Append_WithMalformedFields_IsRefusedAndChangesNothing(string? offset, string? complete)
    {
        var (state, location) = await MakeOneAsync(10);
        using var request = new HttpRequestMessage(HttpMethod.Patch, $"{Batches}/{state.Id}/segments/0")
        {
            Content = Partial(new byte[10]),
        };
        if (offset is not null)
            request.Headers.TryAddWithoutValidation("Upload-Offset", offset);
        if (complete is not null)
            request.Headers.TryAddWithoutValidation("Upload-Complete", complete);
        using var answer = await _http.SendAsync(request, Stop);
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.False(File.Exists(location));
    }

    [Theory]
    [InlineData("1")]
    [InlineData("-1")]
    [InlineData("007")]
    [InlineData("0.0x")]
    [InlineData("+0")]
    [InlineData("99999999999")]
    public async Task Append_ToASegmentThatDoesNotExist_IsNotFound(string segment)
    {
        var (state, _) = await MakeOneAsync(10);
        using var answer = await PatchAsync(state.Id, segment, 0, "?1", new byte[10]);
        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
    }

    [Fact]
    public async Task Append_OfAnotherContentTypeOrLength_IsRefused()
    {
        var (state, _) = await MakeOneAsync(10);
        using (var json = await PatchAsync(state.Id, "0", 0, "?1", new byte[10], type: "application/json"))
            Assert.Equal(HttpStatusCode.UnsupportedMediaType, json.StatusCode);
        foreach (var length in new[] { 9, 11 })
        {
            using var answer = await PatchAsync(state.Id, "0", 0, "?1", new byte[length]);
            Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
            Assert.Contains("inconsistent-upload-length", await answer.Content.ReadAsStringAsync(Stop), StringComparison.Ordinal);
        }

        using (var chunked = await PatchAsync(state.Id, "0", 0, "?1", new byte[10], isChunked: true))
            AssertProgress(chunked, 10, "?1");
    }

    [Fact]
    public async Task Append_WithAnotherDigest_StartsTheSegmentAnew()
    {
        var (state, _) = await MakeOneAsync(10);
        var digest = "xxh3-128=:" + Convert.ToBase64String(XxHash128.Hash(new byte[11])) + ":";
        using (var wrong = await PatchAsync(state.Id, "0", 0, "?1", new byte[10], digest))
        {
            Assert.Equal(HttpStatusCode.UnprocessableEntity, wrong.StatusCode);
            AssertProgress(wrong, 0, "?1");
        }

        using (var gone = await PatchAsync(state.Id, "0", 0, "?1", new byte[10]))
            Assert.Equal(HttpStatusCode.Gone, gone.StatusCode);
        using (var state2 = await _http.GetAsync($"{Batches}/{state.Id}", Stop))
            Assert.Contains("""generations":{"0":1}""", await state2.Content.ReadAsStringAsync(Stop), StringComparison.Ordinal);
        using var again = await PatchAsync(state.Id, "0.1", 0, "?1", new byte[10]);
        AssertProgress(again, 10, "?1");
    }

    [Fact]
    public async Task Calls_OfAnotherAccount_FindNoBatch()
    {
        var (id, _, _) = await _site.StageAsync("obs/a", "xxh3:::1", 10);
        var layout = $$"""{"transfer":{{id}},"type":"file","size":10}""";
        var state = await MakeAsync(layout);
        using var other = Http("other");
        foreach (
            var (method, path) in new[]
            {
                (HttpMethod.Get, state.Id),
                (HttpMethod.Delete, state.Id),
                (HttpMethod.Head, state.Id + "/segments/0"),
                (HttpMethod.Get, "1-0123456789abcdef0123456789abcdef"),
                (HttpMethod.Get, "..%2f.."),
                (HttpMethod.Get, "x"),
                (HttpMethod.Get, "0" + state.Id),
            }
        )
        {
            using var request = new HttpRequestMessage(method, $"{Batches}/{path}");
            using var answer = await other.SendAsync(request, Stop);
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }

        using (var foreign = await PostLayoutAsync(layout, other))
            Assert.Equal(HttpStatusCode.Conflict, foreign.StatusCode);
        using (var reader = Http("reader"))
        using (var refused = await PostLayoutAsync(layout, reader))
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        Assert.Equal(
            state,
            (await MakeAsync(layout)) with
            {
                Complete = state.Complete,
                Generations = state.Generations,
                Abandoned = state.Abandoned,
            }
        );
    }

    [Theory]
    [InlineData("""{"transfer":ID,"type":"file","size":11}""", HttpStatusCode.Conflict)]
    [InlineData("""{"transfer":999999,"type":"file","size":10}""", HttpStatusCode.Conflict)]
    [InlineData("""{"transfer":ID,"type":"file","size":10}LF{"transfer":999999,"type":"file","size":1}""", HttpStatusCode.Conflict)]
    [InlineData("""{"type":"file","path":"a","size":10}""", HttpStatusCode.BadRequest)]
    [InlineData(
        """{"transfer":ID,"type":"directory","size":10}LF{"type":"file","path":"../x","size":10}LF{"members":1}""",
        HttpStatusCode.BadRequest
    )]
    [InlineData("nonsense", HttpStatusCode.BadRequest)]
    [InlineData("", HttpStatusCode.BadRequest)]
    public async Task Make_FromABadLayout_IsRefusedAndLeavesNothing(string layout, HttpStatusCode expected)
    {
        var (id, _, _) = await _site.StageAsync("obs/a", "xxh3:::1", 10);
        layout = layout
            .Replace("ID", id.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
            .Replace("LF", "\n", StringComparison.Ordinal);
        using var answer = await PostLayoutAsync(layout, _http);
        Assert.Equal(expected, answer.StatusCode);
        var folder = Path.Combine(_site.StagingPath, ".batches");
        Assert.False(Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any());
    }

    [Fact]
    public async Task Make_FromAGzipBombOrBrokenGzip_IsRefused()
    {
        var (id, _, _) = await _site.StageAsync("obs/a", "xxh3:::1", 10);
        var line = Encoding.UTF8.GetBytes($$"""{"transfer":{{id}},"type":"file","size":10}""" + "\n");
        using var bomb = new MemoryStream();
        await using (var zipped = new GZipStream(bomb, CompressionLevel.Fastest, leaveOpen: true))
        {
            await zipped.WriteAsync(line, Stop);
            var zeros = new byte[1 << 20];
            for (var i = 0; i <= 256; i++)
                await zipped.WriteAsync(zeros, Stop);
        }

        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, await PostZippedAsync(bomb.ToArray()));
        Assert.Equal(HttpStatusCode.BadRequest, await PostZippedAsync(line));
        Assert.Equal(HttpStatusCode.BadRequest, await PostZippedAsync(bomb.ToArray()[..20]));
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_site.StagingPath, ".batches")));
    }

    [Fact]
    public async Task Review_UploadWhoseBytesComeAsABatch_IsKeptWhileTheBatchIsOrTheStoreIsAway()
    {
        var (kept, _) = await MakeOneAsync(10);
        await _site.StageAsync("obs/silent", "xxh3:::1", 11);
        await using (var db = _site.Catalog.Open())
            await db.IncomingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.StartTime, t => t.StartTime.AddDays(-3)), Stop);
        var review = _site.Services.GetRequiredService<IncomingReview>();
        await review.ReviewStaleAsync(Stop);
        Assert.Equal([(10, TransferStatus.Initiated), (11, TransferStatus.Failed)], await StatesAsync());

        var marker = Path.Combine(_site.StorePath, SiteStore.MarkerFile);
        File.Move(marker, marker + ".hidden");
        await review.ReviewStaleAsync(Stop);
        Assert.Equal(TransferStatus.Initiated, (await StatesAsync())[0].Status);
        File.Move(marker + ".hidden", marker);

        using (var removed = await SendAsync(HttpMethod.Delete, $"{Batches}/{kept.Id}"))
            Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
        await review.ReviewStaleAsync(Stop);
        Assert.Equal(TransferStatus.Failed, (await StatesAsync())[0].Status);
    }

    [Fact]
    public async Task Sweep_RemovesBatchesWhoseTransfersHaveEndedAndIdleOnes()
    {
        var (ended, _) = await MakeOneAsync(10);
        var (open, _) = await MakeOneAsync(11);
        await using (var db = _site.Catalog.Open())
            await db
                .IncomingTransfers.Where(t => t.TransferSize == 10)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Failed), Stop);
        var batches = _site.Services.GetRequiredService<IncomingBatches>();
        Assert.Equal(1, await batches.SweepAsync(Stop));
        using (var gone = await SendAsync(HttpMethod.Get, $"{Batches}/{ended.Id}"))
            Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);
        using (var there = await SendAsync(HttpMethod.Get, $"{Batches}/{open.Id}"))
            Assert.Equal(HttpStatusCode.OK, there.StatusCode);
        var folder = Path.Combine(_site.StagingPath, ".batches", open.Id.Split('-')[1]);
        File.SetLastWriteTimeUtc(Path.Combine(folder, "journal"), DateTime.UtcNow.AddDays(-22));
        Assert.Equal(1, await batches.SweepAsync(Stop));
        Assert.False(Directory.Exists(folder));
    }

    private static void AssertProgress(HttpResponseMessage answer, long offset, string complete)
    {
        Assert.Equal(offset.ToString(CultureInfo.InvariantCulture), Assert.Single(answer.Headers.GetValues("Upload-Offset")));
        Assert.Equal(complete, Assert.Single(answer.Headers.GetValues("Upload-Complete")));
    }

    private async Task<List<(long Size, TransferStatus Status)>> StatesAsync()
    {
        await using var db = _site.Catalog.Open();
        var rows = await db.IncomingTransfers.OrderBy(t => t.TransferSize).Select(t => new { t.TransferSize, t.Status }).ToListAsync(Stop);
        return rows.ConvertAll(r => (r.TransferSize, r.Status));
    }

    private static string Checksum(byte[] bytes) => "xxh3:::" + Convert.ToHexStringLower(XxHash128.Hash(bytes));

    private static ByteArrayContent Partial(byte[] bytes, string type = DataBatchRoutes.PartialUpload) =>
        new(bytes) { Headers = { ContentType = new MediaTypeHeaderValue(type) } };

    private HttpClient Http(string user)
    {
        var http = new HttpClient { BaseAddress = _site.Address };
        http.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", TestSite.Basic(user, TestSite.Password(user)));
        return http;
    }

    private async Task<string> WriteAsync(string relative, int size)
    {
        var path = Path.Combine(_here.FullName, relative);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        await File.WriteAllBytesAsync(path, RandomNumberGenerator.GetBytes(size), Stop);
        return path;
    }

    private async Task<UploadOutcome> UploadAsync(
        string source,
        string name,
        IProgress<UploadProgress>? progress = null,
        CancellationToken? cancel = null
    )
    {
        using var client = new LibrarianClient(new SiteConnection(_site.Address, "uploader", TestSite.Password("uploader")));
        return await new Upload(client, TimeProvider.System).RunAsync(
            source,
            name,
            new UploadOptions
            {
                Hostname = "laptop",
                Batch = new BatchOptions { Lanes = 2 },
            },
            progress,
            cancel ?? Stop
        );
    }

    private async Task<(DataBatchState State, string Location)> MakeOneAsync(int size)
    {
        var (id, location, _) = await _site.StageAsync("obs/" + Guid.NewGuid().ToString("N"), "xxh3:::1", size);
        return (await MakeAsync($$"""{"transfer":{{id}},"type":"file","size":{{size}}}"""), location);
    }

    private async Task<DataBatchState> MakeAsync(string layout)
    {
        using var answer = await PostLayoutAsync(layout, _http);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return JsonSerializer.Deserialize(await answer.Content.ReadAsStringAsync(Stop), WireJson.Wire.DataBatchState)!;
    }

    private static Task<HttpResponseMessage> PostLayoutAsync(string layout, HttpClient http) =>
        http.PostAsync(Batches, new StringContent(layout + "\n", Encoding.UTF8, "application/jsonl"), Stop);

    private async Task<HttpStatusCode> PostZippedAsync(byte[] bytes)
    {
        using var content = new ByteArrayContent(bytes);
        content.Headers.ContentEncoding.Add("gzip");
        using var answer = await _http.PostAsync(Batches, content, Stop);
        return answer.StatusCode;
    }

    private Task<HttpResponseMessage> SendAsync(HttpMethod method, string path) =>
        _http.SendAsync(new HttpRequestMessage(method, path), Stop);

    private async Task<HttpResponseMessage> PatchAsync(
        string batch,
        string segment,
        long offset,
        string complete,
        byte[] bytes,
        string? digest = null,
        string type = DataBatchRoutes.PartialUpload,
        bool isChunked = false
    )
    {
        using var request = new HttpRequestMessage(HttpMethod.Patch, $"{Batches}/{batch}/segments/{segment}")
        {
            Content = Partial(bytes, type),
        };
        request.Headers.TransferEncodingChunked = isChunked;
        request.Headers.Add("Upload-Offset", offset.ToString(CultureInfo.InvariantCulture));
        request.Headers.Add("Upload-Complete", complete);
        if (digest is not null)
            request.Headers.TryAddWithoutValidation("Repr-Digest", digest);
        return await _http.SendAsync(request, Stop);
    }

    private sealed class Counter(Action<long> onSent) : IProgress<UploadProgress>
    {
        public void Report(UploadProgress value)
        {
            if (value.Phase == UploadPhase.Copying)
                onSent(value.Bytes);
        }
    }
}
