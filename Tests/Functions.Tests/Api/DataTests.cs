using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Librarian.Client;
using Librarian.Client.Downloads;
using Librarian.Client.Uploads;
using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteDataTests(PostgresServer server) : DataTests(server, DatabaseKind.Sqlite);

public sealed class PostgresDataTests(PostgresServer server) : DataTests(server, DatabaseKind.PostgreSql);

/// <summary>Tests docs/spec/data.md over real sockets, and the client that downloads.</summary>
public abstract class DataTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private readonly DirectoryInfo _here = Directory.CreateTempSubdirectory("librarian-data-");
    private TestSite _site = null!;
    private HttpClient _http = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _site = await TestSite.CreateAsync(kind, server, listen: true);
        _http = new HttpClient { BaseAddress = _site.Address };
        _http.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", TestSite.Basic("reader", TestSite.Password("reader")));
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _site.DisposeAsync();
        _here.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData("obs/a")]
    [InlineData("obs/50% of #1? + é&.fits")]
    public async Task File_WholeAndRanges_AreItsBytes(string name)
    {
        await AddAsync(name, ("", "hello world"));
        using var whole = await GetAsync(name);
        Assert.Equal(HttpStatusCode.OK, whole.StatusCode);
        Assert.Equal("hello world", await whole.Content.ReadAsStringAsync(Stop));
        Assert.Equal(11, whole.Content.Headers.ContentLength);
        Assert.Equal("application/octet-stream", whole.Content.Headers.ContentType?.MediaType);
        Assert.Equal("bytes", Assert.Single(whole.Headers.AcceptRanges));
        Assert.Equal("nosniff", Assert.Single(whole.Headers.GetValues("X-Content-Type-Options")));
        var tag = whole.Headers.ETag;
        Assert.Equal("\"xxh3:::df8d09e93f874900a99b8775cc15b6c7\"", tag?.Tag);

        using var part = await GetAsync(name, r => r.Headers.Range = new RangeHeaderValue(6, null));
        Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
        Assert.Equal("world", await part.Content.ReadAsStringAsync(Stop));
        using var other = await GetAsync(name, r =>
        {
            r.Headers.Range = new RangeHeaderValue(6, null);
            r.Headers.IfRange = new RangeConditionHeaderValue(new EntityTagHeaderValue("\"another\""));
        });
        Assert.Equal("hello world", await other.Content.ReadAsStringAsync(Stop));
        using var behind = await GetAsync(name, r => r.Headers.Range = new RangeHeaderValue(11, null));
        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, behind.StatusCode);
        using var head = await GetAsync(name, r => r.Method = HttpMethod.Head);
        Assert.Equal(11, head.Content.Headers.ContentLength);
        Assert.Equal(tag, head.Headers.ETag);
        Assert.Empty(await head.Content.ReadAsByteArrayAsync(Stop));
    }

    [Fact]
    public async Task File_UnknownNotHereOrAway_SaysWhatToDo()
    {
        await AddAsync("obs/a", ("", "hello world"));
        await AssertRefusedAsync("obs/b", HttpStatusCode.NotFound, "No files found.");
        using (var raw = await _http.GetAsync(new Uri(_site.Address, "data/v1/files/..%2f..%2fetc%2fpasswd"), Stop))
            Assert.Equal(HttpStatusCode.NotFound, raw.StatusCode);
        using (var nobody = new HttpClient { BaseAddress = _site.Address })
        using (var answer = await nobody.GetAsync("data/v1/files/obs/a", Stop))
            Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);

        File.Move(Path.Combine(_site.StorePath, SiteStoreMarker), Path.Combine(_site.StorePath, "hidden"));
        using (var away = await AssertRefusedAsync("obs/a", HttpStatusCode.ServiceUnavailable, "No copy of the file can be read now."))
            Assert.Equal(TimeSpan.FromMinutes(1), away.Headers.RetryAfter?.Delta);
        await using var db = _site.Catalog.Open();
        await db.Copies.ExecuteUpdateAsync(s => s.SetProperty(c => c.Available, false), Stop);
        await AssertRefusedAsync("obs/a", HttpStatusCode.NotFound, "No copy of the file is here.");
    }

    [Fact]
    public async Task Directory_ListingAndStream_FollowEachOther()
    {
        await AddAsync("obs/d", ("sub/b", "world"), ("a", "hello "), ("empty", ""));
        using var listing = await _http.GetAsync("data/v1/trees/obs/d", Stop);
        Assert.Equal(
            """
            {"directory":true,"size":11,"checksum":"CHECKSUM","tree_digest":"DIGEST"}
            {"type":"file","path":"a","size":6}
            {"type":"file","path":"empty","size":0}
            {"type":"directory","path":"sub"}
            {"type":"file","path":"sub/b","size":5}
            {"members":4}

            """.Replace("CHECKSUM", await ColumnAsync(f => f.Checksum), StringComparison.Ordinal).Replace(
                "DIGEST",
                await ColumnAsync(f => f.TreeDigest!),
                StringComparison.Ordinal
            ),
            await listing.Content.ReadAsStringAsync(Stop)
        );
        using var range = await GetAsync("obs/d", r => r.Headers.Range = new RangeHeaderValue(4, 7));
        Assert.Equal("o wo", await range.Content.ReadAsStringAsync(Stop));
    }

    [Fact]
    public async Task Download_ConnectionIsCutAgainAndAgain_GoesOnAtTheByte()
    {
        var random = new Random(1);
        var members = Enumerable
            .Range(0, 30)
            .Select(i => ($"d{i % 4}/f{i:d2}", Text(random, i * 977)))
            .Append(("empty/.keep", ""))
            .ToArray();
        await AddAsync("obs/d", members);
        var cuts = new CuttingHandler(40_000);
        var outcome = await DownloadAsync("obs/d", "d", cuts);
        Assert.Null(outcome.Error);
        var total = members.Sum(m => m.Item2.Length);
        Assert.Equal(total, outcome.Size);
        // The listings come again with each attempt; the bytes do not.
        Assert.Equal(total, cuts.Served);
        Assert.True(cuts.Cuts >= 5, $"{cuts.Cuts} cuts");
        Assert.Equal(
            await ContentDigest.OfAsync(Path.Combine(_site.StorePath, "obs/d"), Stop),
            await ContentDigest.OfAsync(PathOf("d"), Stop)
        );
        Assert.Equal(["d"], Directory.EnumerateFileSystemEntries(_here.FullName).Select(Path.GetFileName));
        Assert.True((await DownloadAsync("obs/d", "d")).AlreadyPresent);
    }

    [Fact]
    public async Task Download_ProcessWasKilled_TheNextOneGoesOn()
    {
        await AddAsync("obs/a", ("", Text(new Random(2), 300_000)));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var killed = new CuttingHandler(100_000, stop.Cancel);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => DownloadAsync("obs/a", "a", killed, stop.Token));
        Assert.False(File.Exists(PathOf("a")));
        var second = new CuttingHandler(long.MaxValue);
        Assert.Null((await DownloadAsync("obs/a", "a", second)).Error);
        Assert.Equal(200_000, second.Served);
    }

    [Fact]
    public async Task Download_OtherDataAreThere_TouchesNothing()
    {
        await AddAsync("obs/a", ("", "hello world"));
        await File.WriteAllTextAsync(PathOf("a"), "mine", Stop);
        Assert.Equal(DownloadErrors.Exists, (await DownloadAsync("obs/a", "a")).Error?.Code);
        Assert.Equal("mine", await File.ReadAllTextAsync(PathOf("a"), Stop));
        Assert.Equal(DownloadErrors.Refused, (await DownloadAsync("obs/none", "b")).Error?.Code);
        Assert.Equal(["a"], Directory.EnumerateFileSystemEntries(_here.FullName).Select(Path.GetFileName));
    }

    [Fact]
    public async Task Download_CopyIsDamaged_GivesNothingTheName()
    {
        await AddAsync("obs/a", ("", "hello world"));
        await File.WriteAllTextAsync(Path.Combine(_site.StorePath, "obs/a"), "hello_world", Stop);
        var served = new CuttingHandler(long.MaxValue);
        Assert.Equal(DownloadErrors.Damaged, (await DownloadAsync("obs/a", "a", served)).Error?.Code);
        Assert.Equal(22, served.Served);
        Assert.False(File.Exists(PathOf("a")));
    }

    [Fact]
    public async Task Download_DirectoryWithLinks_HasThemAndIsVerified()
    {
        await AddAsync("obs/d", ("sub/a", "hello"), ("sub/b", "hello"));
        // As a site has it that was adopted: the second file is a link to the first, and there is a link to a directory.
        var stored = Path.Combine(_site.StorePath, "obs/d");
        File.Delete(Path.Combine(stored, "sub/b"));
        File.CreateSymbolicLink(Path.Combine(stored, "sub/b"), "a");
        File.CreateSymbolicLink(Path.Combine(stored, "latest"), "sub");
        var outcome = await DownloadAsync("obs/d", "d");
        Assert.Null(outcome.Error);
        Assert.Equal("a", new FileInfo(PathOf("d/sub/b")).LinkTarget);
        Assert.Equal("sub", new FileInfo(PathOf("d/latest")).LinkTarget);
        Assert.Equal("hello", await File.ReadAllTextAsync(PathOf("d/latest/b"), Stop));
    }

    [Fact]
    public async Task Download_TwiceAtOnce_SecondIsRefused()
    {
        await AddAsync("obs/a", ("", Text(new Random(3), 50_000)));
        DownloadOutcome? second = null;
        var first = await DownloadAsync("obs/a", "a", new CuttingHandler(20_000, () => second ??= DownloadAsync("obs/a", "a").Result));
        Assert.Null(first.Error);
        Assert.Equal(DownloadErrors.Busy, second?.Error?.Code);
    }

    [Theory]
    [InlineData(239)]
    [InlineData(240)]
    [InlineData(255)]
    public async Task Download_LongName_IsPossible(int length)
    {
        await AddAsync("obs/a", ("", "hello"));
        var name = new string('n', length);
        Assert.Null((await DownloadAsync("obs/a", name)).Error);
        Assert.Equal([name], Directory.EnumerateFileSystemEntries(_here.FullName).Select(Path.GetFileName));
        Assert.Equal(DownloadErrors.NotWritten, (await DownloadAsync("obs/a", "none/a")).Error?.Code);
        Assert.False(Directory.Exists(PathOf("none")));
    }

    [Theory]
    [InlineData("""{"type":"file","path":"../../a","size":1}""", "below")]
    [InlineData("""{"type":"file","path":"/etc/a","size":1}""", "below")]
    [InlineData("""{"type":"file","path":"a//b","size":1}""", "below")]
    [InlineData("""{"type":"file","path":"","size":1}""", "below")]
    [InlineData("""{"type":"file","path":"a"}""", "no size")]
    [InlineData("""{"type":"file","path":"a","size":-1}""", "no size")]
    [InlineData("""{"type":"file","path":"none/a","size":1}""", "no directory")]
    [InlineData("""{"type":"link","path":"a","target":"../b"}""", "leads out")]
    [InlineData("""{"type":"link","path":"a","target":"b/../../c"}""", "leads out")]
    [InlineData("""{"type":"link","path":"a","target":"/etc"}""", "leads out")]
    [InlineData("""{"type":"link","path":"a","target":"b/.."}""", "leads out")]
    [InlineData("""{"type":"device","path":"a"}""", "type")]
    [InlineData("not json", "malformed")]
    public async Task Download_HostileListing_WritesNothing(string line, string why)
    {
        await AddAsync("obs/d", ("a", "x"));
        var outcome = await DownloadAsync("obs/d", "d", new LyingHandler(line, """{"members":1}"""));
        Assert.Equal(DownloadErrors.BadListing, outcome.Error?.Code);
        Assert.Contains(why, outcome.Error!.What, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_here.FullName));
    }

    [Fact]
    public async Task Download_MemberBehindALink_IsRefusedAlsoAfterTheLinkWasMade()
    {
        await AddAsync("obs/d", ("a", "x"));
        var outside = Directory.CreateDirectory(PathOf("outside")).FullName;
        var listing = new LyingHandler(
            """{"type":"link","path":"k","target":"a"}""",
            """{"type":"file","path":"k/authorized_keys","size":1}""",
            """{"members":2}"""
        );
        Assert.Contains("no directory", (await DownloadAsync("obs/d", "d", listing)).Error!.What, StringComparison.Ordinal);
        // As an earlier attempt might have left it.
        var data = Directory.CreateDirectory(PathOf(".d.librarian-part/data")).FullName;
        File.CreateSymbolicLink(Path.Combine(data, "k"), outside);
        File.CreateSymbolicLink(Path.Combine(data, "a"), Path.Combine(outside, "a"));
        Assert.Null((await DownloadAsync("obs/d", "d")).Error);
        Assert.Empty(Directory.EnumerateFileSystemEntries(outside));
        Assert.Null(new FileInfo(PathOf("d/a")).LinkTarget);
    }

    [Fact]
    public async Task Download_RefusedMeanwhile_KeepsWhatHasArrived()
    {
        await AddAsync("obs/a", ("", Text(new Random(4), 200_000)));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            DownloadAsync("obs/a", "a", new CuttingHandler(150_000, stop.Cancel), stop.Token)
        );
        await using (var db = _site.Catalog.Open())
            await db.Copies.ExecuteUpdateAsync(s => s.SetProperty(c => c.Available, false), Stop);
        Assert.Equal(DownloadErrors.Refused, (await DownloadAsync("obs/a", "a")).Error?.Code);
        // A captive portal answers everything with a page.
        Assert.Equal(DownloadErrors.BadListing, (await DownloadAsync("obs/a", "a", new LyingHandler("<html>"))).Error?.Code);
        await using (var db = _site.Catalog.Open())
            await db.Copies.ExecuteUpdateAsync(s => s.SetProperty(c => c.Available, true), Stop);
        var last = new CuttingHandler(long.MaxValue);
        Assert.Null((await DownloadAsync("obs/a", "a", last)).Error);
        Assert.Equal(50_000, last.Served);
    }

    [Fact]
    public async Task Download_ProxyIgnoresTheRange_SkipsWhatIsThere()
    {
        var text = Text(new Random(5), 100_000);
        await AddAsync("obs/a", ("", text));
        var cuts = new CuttingHandler(60_000) { DropsRange = true };
        cuts.AfterFirstCut(long.MaxValue);
        Assert.Null((await DownloadAsync("obs/a", "a", cuts)).Error);
        Assert.Equal(text, await File.ReadAllTextAsync(PathOf("a"), Stop));
        Assert.Equal(160_000, cuts.Served);
    }

    [Fact]
    public async Task File_CopyHasAnotherSize_IsNotHandedOut()
    {
        await AddAsync("obs/a", ("", "hello world"));
        await File.WriteAllTextAsync(Path.Combine(_site.StorePath, "obs/a"), "hello", Stop);
        await AssertRefusedAsync("obs/a", HttpStatusCode.ServiceUnavailable, "missing or damaged");
    }

    private const string SiteStoreMarker = Librarian.Domain.Stores.SiteStore.MarkerFile;

    private static string Text(Random random, int length) => string.Create(length, random, static (span, r) =>
        {
            foreach (ref var c in span)
                c = (char)('a' + r.Next(26));
        });

    private string PathOf(string name) => Path.Combine(_here.FullName, name);

    private async Task<string> ColumnAsync(System.Linq.Expressions.Expression<Func<FileRecord, string>> column)
    {
        await using var db = _site.Catalog.Open();
        return await db.Files.Select(column).SingleAsync(Stop);
    }

    private async Task<DownloadOutcome> DownloadAsync(
        string name,
        string to,
        DelegatingHandler? handler = null,
        CancellationToken? cancellationToken = null
    )
    {
        handler ??= new CuttingHandler(long.MaxValue);
        handler.InnerHandler = LibrarianClient.CreateHandler();
        using var http = new HttpClient(handler);
        using var client = new LibrarianClient(new SiteConnection(_site.Address, "reader", TestSite.Password("reader")), http);
        return await new Download(client, new PromptTime()).RunAsync(name, PathOf(to), null, cancellationToken ?? Stop);
    }

    private async Task<HttpResponseMessage> AssertRefusedAsync(string name, HttpStatusCode status, string reason)
    {
        var answer = await GetAsync(name);
        Assert.Equal(status, answer.StatusCode);
        Assert.Contains(reason, await answer.Content.ReadAsStringAsync(Stop), StringComparison.Ordinal);
        return answer;
    }

    private async Task<HttpResponseMessage> GetAsync(string name, Action<HttpRequestMessage>? change = null)
    {
        using var request = new HttpRequestMessage(
            HttpMethod.Get,
            "data/v1/files/" + string.Join('/', name.Split('/').Select(Uri.EscapeDataString))
        );
        change?.Invoke(request);
        return await _http.SendAsync(request, Stop);
    }

    private async Task AddAsync(string name, params (string Path, string Text)[] members)
    {
        var data = PathOf("source");
        foreach (var (path, text) in members)
        {
            var file = path.Length == 0 ? data : Path.Combine(data, path);
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            await File.WriteAllTextAsync(file, text, Stop);
        }

        var digest = await ContentDigest.OfAsync(data, Stop);
        var (id, location, _) = await _site.StageAsync(name, digest.Checksum, digest.Size);
        if (File.Exists(data))
            File.Move(data, location);
        else
            Directory.Move(data, location);
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, name)).Status);
    }

    /// <summary>Breaks each body off after some bytes, and counts the bytes of data.</summary>
    private sealed class CuttingHandler(long after, Action? atCut = null) : DelegatingHandler
    {
        private long _after = after;
        private long? _later;

        public bool DropsRange { get; init; }

        public long Served { get; private set; }

        public int Cuts { get; private set; }

        public void AfterFirstCut(long after) => _later = after;

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (DropsRange)
                request.Headers.Range = null;
            var response = await base.SendAsync(request, cancellationToken);
            if (!request.RequestUri!.AbsolutePath.Contains("/files/", StringComparison.Ordinal) || !response.IsSuccessStatusCode)
                return response;
            var body = await response.Content.ReadAsStreamAsync(cancellationToken);
            var cut = new StreamContent(new CutStream(body, _after, this, atCut));
            foreach (var header in response.Content.Headers)
                cut.Headers.TryAddWithoutValidation(header.Key, header.Value);
            response.Content = cut;
            return response;
        }

        private sealed class CutStream(Stream inner, long left, CuttingHandler owner, Action? atCut) : Stream
        {
            private long _left = left;

            public override bool CanRead => true;

            public override bool CanSeek => false;

            public override bool CanWrite => false;

            public override long Length => throw new NotSupportedException();

            public override long Position
            {
                get => throw new NotSupportedException();
                set => throw new NotSupportedException();
            }

            public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
            {
                if (_left == 0)
                {
                    owner.Cuts++;
                    owner._after = owner._later ?? owner._after;
                    atCut?.Invoke();
                    cancellationToken.ThrowIfCancellationRequested();
                    throw new IOException("cut");
                }

                var read = await inner.ReadAsync(buffer[..(int)Math.Min(buffer.Length, _left)], cancellationToken);
                _left -= read;
                owner.Served += read;
                return read;
            }

            public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

            public override void Flush() { }

            public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

            public override void SetLength(long value) => throw new NotSupportedException();

            public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        }
    }

    /// <summary>Answers another listing than the site's.</summary>
    private sealed class LyingHandler(params string[] lines) : DelegatingHandler
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var response = await base.SendAsync(request, cancellationToken);
            if (!request.RequestUri!.AbsolutePath.Contains("/trees/", StringComparison.Ordinal))
                return response;
            string[] all = ["""{"directory":true,"size":1,"checksum":"x"}""", .. lines];
            response.StatusCode = HttpStatusCode.OK;
            response.Content = new StringContent(string.Join('\n', all) + "\n", Encoding.UTF8);
            response.Headers.ETag ??= new EntityTagHeaderValue("\"portal\"");
            return response;
        }
    }

    /// <summary>A clock whose waits end at once.</summary>
    private sealed class PromptTime : TimeProvider
    {
        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            System.CreateTimer(callback, state, dueTime == Timeout.InfiniteTimeSpan ? dueTime : TimeSpan.Zero, period);
    }
}
