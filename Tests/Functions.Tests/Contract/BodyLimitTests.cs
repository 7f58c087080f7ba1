using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Functions.Api;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.Functions.Documentation;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Librarian.Tests.Functions.Contract;

/// <summary>Every request has a limit, whether it announces its length or not, and is not read beyond it.</summary>
public sealed class BodyLimitTests(PostgresServer server)
{
    [Fact]
    public async Task Limits_OfAllRoutes_AreTheUsualOneButForBatchesAndReceipts()
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server, listen: true, makeUsers: false);
        var larger = site
            .Services.GetRequiredService<EndpointDataSource>()
            .Endpoints.OfType<RouteEndpoint>()
            .Where(e => e.Metadata.GetMetadata<IRequestSizeLimitMetadata>() is not null)
            .ToDictionary(
                e => e.RoutePattern.RawText!.TrimStart('/'),
                e => e.Metadata.GetMetadata<IRequestSizeLimitMetadata>()!.MaxRequestBodySize
            );

        Assert.Equal(BodyLimits.Usual, site.Services.GetRequiredService<IOptions<KestrelServerOptions>>().Value.Limits.MaxRequestBodySize);
        Assert.Equivalent(
            new Dictionary<string, long?>
            {
                [Routes.Prefix + Routes.CloneBatchStage] = BodyLimits.Batch,
                [Routes.Prefix + Routes.CheckinUpdate] = BodyLimits.Batch,
                [Routes.Prefix + Routes.CheckinStatus] = BodyLimits.Batch,
                [Routes.Prefix + DriveRoutes.Delivered] = BodyLimits.Batch,
                [Routes.Prefix + DriveRoutes.Acknowledge] = BodyLimits.Receipt,
                [DataRoutes.Prefix + DataBatchRoutes.Batches] = BodyLimits.Layout,
                [DataRoutes.Prefix + DataBatchRoutes.Batches + "/{id}/segments/{segment}"] = BodyLimits.Segment,
            },
            larger,
            strict: true
        );
    }

    [Theory]
    [InlineData(Routes.Ping, BodyLimits.Usual - 100, true, 200)]
    [InlineData(Routes.Ping, BodyLimits.Usual - 100, false, 200)]
    [InlineData(Routes.Ping, BodyLimits.Usual + 1, true, 413)]
    [InlineData(Routes.Ping, BodyLimits.Usual + 1, false, 413)]
    [InlineData(Routes.SearchFile, BodyLimits.Usual + 1, false, 413)]
    [InlineData(Routes.CloneBatchStage, BodyLimits.Usual + 1, false, 422)]
    [InlineData(Routes.CloneBatchStage, BodyLimits.Batch + 1, true, 413)]
    [InlineData(Routes.CloneBatchStage, BodyLimits.Batch + 1, false, 413)]
    public async Task Request_OfALength_IsReadUpToTheLimitOfItsRoute(string route, long length, bool announced, int status)
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server, listen: true, makeUsers: false);
        using var http = new HttpClient { BaseAddress = site.Address };
        var body = new byte[length];
        Array.Fill(body, (byte)' ');
        // At the end: a reader that has seen the whole value need not read on.
        "{}"u8.CopyTo(body.AsSpan(body.Length - 2));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/" + Routes.Prefix + route)
        {
            Content = announced ? new ByteArrayContent(body) : new Unannounced(body),
        };
        request.Headers.TryAddWithoutValidation("Authorization", TestSite.Basic("admin", "adminpw"));
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        if (!announced)
            request.Headers.TransferEncodingChunked = true;
        // A refusal by the length alone comes before the body, which is then not sent into a closed connection.
        request.Headers.ExpectContinue = announced;

        using var answer = await http.SendAsync(request, TestContext.Current.CancellationToken);

        Assert.Equal(status, (int)answer.StatusCode);
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.Empty(
            ApiDescription.Committed.Problems(
                "POST",
                $"/{Routes.Prefix}{route}",
                status,
                answer.Content.Headers.ContentType?.MediaType,
                text
            )
        );
        if (status != 413)
            return;
        var failure = JsonDocument.Parse(text).RootElement;
        Assert.Equal("The request body is too large.", failure.GetProperty("reason").GetString());
    }

    [Fact]
    public async Task Request_WithoutEnd_IsAnsweredAndCutOff()
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server, listen: true, makeUsers: false);
        using var connection = new TcpClient();
        await connection.ConnectAsync(IPAddress.Loopback, site.Address.Port, TestContext.Current.CancellationToken);
        await using var stream = connection.GetStream();
        await stream.WriteAsync(
            Encoding.ASCII.GetBytes(
                $"POST /{Routes.Prefix}{Routes.Ping} HTTP/1.1\r\nHost: x\r\nAuthorization: {TestSite.Basic("any", "thing")}\r\n"
                    + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            TestContext.Current.CancellationToken
        );
        var answer = ReadAsync(stream);
        var chunk = Encoding.ASCII.GetBytes("10000\r\n" + new string(' ', 0x10000) + "\r\n");
        long sent = 0;
        try
        {
            // Only bounds a failing test.
            for (; sent < 2L << 30; sent += chunk.Length)
                await stream.WriteAsync(chunk, TestContext.Current.CancellationToken);
        }
        catch (IOException)
        {
            // The site has closed the connection.
        }

        Assert.InRange(sent, 1, 256 << 20);
        Assert.StartsWith(
            "HTTP/1.1 413",
            await answer.WaitAsync(TimeSpan.FromMinutes(2), TestContext.Current.CancellationToken),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task Request_NestedDeeply_IsRefused()
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server, makeUsers: false);
        using var answer = await site.SendAsync(
            "search/file",
            "{\"unknown\":" + new string('[', 100_000) + new string(']', 100_000) + "}",
            TestSite.Basic("admin", "adminpw")
        );

        Assert.Equal(422, (int)answer.StatusCode);
    }

    private static async Task<string> ReadAsync(NetworkStream stream)
    {
        var text = new byte[4096];
        return Encoding.ASCII.GetString(text, 0, await stream.ReadAsync(text));
    }

    private sealed class Unannounced(byte[] body) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context) => await stream.WriteAsync(body);

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
