using System.IO.Compression;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Librarian.Client;
using Librarian.Client.Wire;

namespace Librarian.Tests.Client;

/// <summary>Tests with a site whose responses do not end.</summary>
public sealed class AnswerLimitTests
{
    private const long Slack = 1 << 20;

    [Theory]
    [MemberData(nameof(LibrarianClientTests.Endpoints), MemberType = typeof(LibrarianClientTests))]
    public async Task Answer_WithoutEnd_IsCutAtTheLimitOfItsRoute(string route, string answer, Func<LibrarianClient, Task<bool>> call)
    {
        _ = answer;
        using var body = new EndlessStream();
        using var http = new HttpClient(new Answers(body, HttpStatusCode.OK));
        using var client = new LibrarianClient(new SiteConnection(new Uri("http://site/"), "ann", "x"), http);

        if (route == Routes.UploadCommit)
            Assert.True(await call(client));
        else
            await Assert.ThrowsAsync<InvalidOperationException>(() => call(client));

        Assert.InRange(body.Taken, 0, AnswerLimits.Of(route) + Slack);
    }

    [Fact]
    public async Task Answer_WithoutEnd_IsGarbledAndSaysWhy()
    {
        using var body = new EndlessStream();
        using var http = new HttpClient(new Answers(body, HttpStatusCode.OK));
        using var client = new LibrarianClient(new SiteConnection(new Uri("http://site/"), "ann", "x"), http);

        var garbled = Assert.IsType<Malformed>((await client.PingAsync(TestContext.Current.CancellationToken)).Error);

        Assert.Contains("more than 65536 bytes", garbled.Why, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Download_DestinationRefusesTheBytes_ThrowsItsErrorAndDoesNotBlameTheSite()
    {
        using var body = new EndlessStream();
        using var http = new HttpClient(new Answers(body, HttpStatusCode.OK));
        using var client = new LibrarianClient(new SiteConnection(new Uri("http://site/"), "ann", "x"), http);
        await using var full = new FileStream("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);

        var error = await Assert.ThrowsAsync<IOException>(() =>
            client.GetDriveManifestAsync(new DriveRequest("d"), full, TestContext.Current.CancellationToken)
        );

        Assert.Contains("No space left", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Failure_WithoutEnd_IsCut()
    {
        using var body = new EndlessStream();
        using var http = new HttpClient(new Answers(body, HttpStatusCode.BadGateway));
        using var client = new LibrarianClient(new SiteConnection(new Uri("http://site/"), "ann", "x"), http);

        Assert.Equal(502, Assert.IsType<Refused>((await client.PingAsync(TestContext.Current.CancellationToken)).Error).Status);

        Assert.InRange(body.Taken, 0, AnswerLimits.Failure + Slack);
    }

    [Fact]
    public async Task Answer_OverARealConnectionWithoutEnd_IsCutOff()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var sent = SendWithoutEndAsync(listener, TestContext.Current.CancellationToken);
        Assert.True(
            SiteConnection.TryCreate("http://127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port, "ann", "x", out var connection, out _)
        );
        using (var client = new LibrarianClient(connection))
            Assert.IsType<Malformed>((await client.PingAsync(TestContext.Current.CancellationToken)).Error);

        // The sender ends only because the client closed the connection. The kernel buffers some megabytes between the two.
        Assert.InRange(await sent.WaitAsync(TimeSpan.FromMinutes(2), TestContext.Current.CancellationToken), 1, 64 << 20);
    }

    [Fact]
    public async Task Answer_CompressedBomb_IsCutAtWhatItUnpacksTo()
    {
        await using var site = await FakeSite.StartAsync();
        site.Answer(Routes.Ping, async (context, _) =>
        {
            context.Response.ContentType = "application/json";
            context.Response.Headers.ContentEncoding = "gzip";
            using var packed = new MemoryStream();
            await using (var zip = new GZipStream(packed, CompressionLevel.SmallestSize, leaveOpen: true))
            {
                var spaces = new byte[1 << 16];
                Array.Fill(spaces, (byte)' ');
                for (var i = 0; i < 64; i++)
                    await zip.WriteAsync(spaces);
                await zip.WriteAsync("""{"name":"n","description":"d"}"""u8.ToArray());
            }

            Assert.InRange(packed.Length, 1, 60_000);
            await context.Response.Body.WriteAsync(packed.ToArray());
        });
        using var client = new LibrarianClient(site.Connection);

        Assert.IsType<Malformed>((await client.PingAsync(TestContext.Current.CancellationToken)).Error);
    }

    private static async Task<long> SendWithoutEndAsync(TcpListener listener, CancellationToken cancellationToken)
    {
        using var connection = await listener.AcceptTcpClientAsync(cancellationToken);
        await using var stream = connection.GetStream();
        var request = new byte[4096];
        Assert.NotEqual(0, await stream.ReadAsync(request, cancellationToken));
        await stream.WriteAsync(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"u8.ToArray(),
            cancellationToken
        );
        var chunk = Encoding.ASCII.GetBytes("10000\r\n" + new string(' ', 0x10000) + "\r\n");
        long sent = 0;
        try
        {
            while (true)
            {
                await stream.WriteAsync(chunk, cancellationToken);
                sent += chunk.Length;
            }
        }
        catch (IOException)
        {
            return sent;
        }
    }

    private sealed class Answers(Stream body, HttpStatusCode status) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
            Task.FromResult(new HttpResponseMessage(status) { Content = new StreamContent(body) });
    }

    /// <summary>Endless blanks, which are not yet a JSON value; counts the bytes that were read.</summary>
    private sealed class EndlessStream : Stream
    {
        public long Taken { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count)
        {
            buffer.AsSpan(offset, count).Fill((byte)' ');
            Taken += count;
            // Bounds a failing test only.
            return Taken < 2L << 30 ? count : 0;
        }

        public override void Flush() { }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
