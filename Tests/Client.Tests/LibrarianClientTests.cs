using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Text;
using Librarian.Client;
using Librarian.Client.Wire;
using Microsoft.AspNetCore.Http;

namespace Librarian.Tests.Client;

public class LibrarianClientTests
{
    private static readonly string s_basic = "Basic " + Convert.ToBase64String(Encoding.ASCII.GetBytes("ann:pa:ss"));

    /// <summary>One case per endpoint: route, response, call, and whether the reply has a value.</summary>
    public static IEnumerable<TheoryDataRow<string, string, Func<LibrarianClient, Task<bool>>>> Endpoints()
    {
        const string Change = """{"success":true,"username":"u"}""";
        const string Pair = """{"source_transfer_id":1,"destination_transfer_id":2,"success":true}""";
        const string Ping = """{"name":"n","description":"d"}""";
        const string Staged =
            """{"available_bytes_on_store":1,"store_name":"s","staging_name":"g","staging_location":"/g/n","upload_name":"n","""
            + """
                "destination_location":"d","transfer_providers":{},"transfer_id":1,"source_transfer_id":1,"destination_transfer_id":2}
                """;
        yield return Row(Routes.Ping, Ping, c => c.PingAsync());
        yield return Row(Routes.PingLogged, Ping, c => c.PingLoggedAsync());
        yield return Row(Routes.PingAdmin, Ping, c => c.PingAdminAsync());
        yield return Row(Routes.UsersCreate, Change, c => c.CreateUserAsync(new("u", "p", AuthLevel.Admin)));
        yield return Row(Routes.UsersUpdate, Change, c => c.UpdateUserAsync(new("u")));
        yield return Row(Routes.UsersDelete, Change, c => c.DeleteUserAsync(new("u")));
        yield return Row(Routes.UsersGet, """{"username":"u","permission":3}""", c => c.GetUserAsync(new("u")));
        yield return Row(Routes.UsersPasswordUpdate, Change, c => c.UpdatePasswordAsync(new("o", "n")));
        yield return Row(Routes.UploadStage, Staged, c => c.StageUploadAsync(new(1, "c", "n", "d", "u")));
        yield return Row(Routes.UploadCommit, "", c =>
            c.CommitUploadAsync(new("s", "g", "/g/n", "n", "d", "local", new(["h"]), "infer", "DISALLOWED", "u") { TransferId = 1 })
        );
        yield return Row(Routes.SearchFile, "[]", c => c.SearchFilesAsync(new()));
        yield return Row(
            Routes.SearchError,
            """
            [{"id":1,"severity":"info","category":"transfer","message":"m",
            "raised_time":"2026-01-01T00:00:00","cleared_time":null,"cleared":false,"caller":null}]
            """.ReplaceLineEndings(""),
            c => c.SearchErrorsAsync(new())
        );
        yield return Row(Routes.SearchInstanceLocal, "[]", c => c.SearchLocalInstancesAsync(new()));
        yield return Row(Routes.SearchInstanceRemote, "[]", c => c.SearchRemoteInstancesAsync(new()));
        yield return Row(Routes.ErrorClear, """{"id":1,"cleared_time":"2026-01-01T00:00:00","cleared":true}""", c =>
            c.ClearErrorAsync(new(1))
        );
        yield return Row(Routes.CloneStage, Staged, c => c.StageCloneAsync(new(1, "c", "n", "d", "u", "s", 1)));
        yield return Row(
            Routes.CloneBatchStage,
            """{"available_bytes_on_store":1,"store_name":"s","uploads":[],"async_transfer_providers":{}}""",
            c => c.StageCloneBatchAsync(new([], "s", 0))
        );
        yield return Row(Routes.CloneOngoing, Pair, c => c.ReportCloneOngoingAsync(new(1, 2)));
        yield return Row(Routes.CloneStaged, Pair, c => c.ReportCloneStagedAsync(new(1, 2)));
        yield return Row(Routes.CloneComplete, Pair, c => c.CompleteCloneAsync(new(1, 2, 3)));
        yield return Row(Routes.CloneFail, Pair, c => c.FailCloneAsync(new(1, 2, "why")));
        yield return Row(
            Routes.CheckinUpdate,
            """
            {"modified_source_transfer_ids":[],"modified_destination_transfer_ids":[],
            "unmodified_source_transfer_ids":[],"unmodified_destination_transfer_ids":[],"reasons":[]}
            """.ReplaceLineEndings(""),
            c => c.UpdateCheckinAsync(new([], [], TransferStatus.Ongoing))
        );
        yield return Row(Routes.CheckinStatus, """{"source_transfer_status":{},"destination_transfer_status":{"1":null}}""", c =>
            c.GetCheckinStatusAsync(new([], [1]))
        );
        yield return Row(Routes.ValidateFile, "[]", c => c.ValidateFileAsync(new("f")));
        yield return Row(Routes.CorruptPrepare, """{"ready":true}""", c => c.PrepareCorruptAsync(new("f", "l")));
        yield return Row(Routes.CorruptResend, """{"success":true,"destination_transfer_id":3}""", c =>
            c.ResendCorruptAsync(new("l", "f"))
        );
        yield return Row(Routes.AdminAddFile, """{"already_exists":false,"file_exists":true,"success":true}""", c =>
            c.AddFileAsync(new("n", DateTime.UnixEpoch, 1, "c", "u", "s", "/p", "s"))
        );
        yield return Row(
            Routes.AdminStoresList,
            """[{"name":"s","store_type":"local","free_space":-1,"ingestable":true,"available":false,"enabled":true}]""",
            c => c.ListStoresAsync()
        );
        yield return Row(Routes.AdminStoresStateChange, """{"store_name":"s","enabled":true,"success":true}""", c =>
            c.ChangeStoreStateAsync(new("s", true))
        );
        yield return Row(Routes.AdminStoresManifest, """{"librarian_name":"l","store_name":"s","store_files":[]}""", c =>
            c.GetManifestAsync(new("s"))
        );
        yield return Row(Routes.AdminLibrariansList, """{"librarians":[]}""", c => c.ListLibrariansAsync(new()));
        yield return Row(Routes.AdminLibrariansAdd, """{"success":true,"already_exists":false}""", c =>
            c.AddLibrarianAsync(new("l", "http://h", 1, "u:p"))
        );
        yield return Row(Routes.AdminLibrariansRemove, """{"success":true,"number_of_transfers_removed":0}""", c =>
            c.RemoveLibrarianAsync(new("l"))
        );
        yield return Row(Routes.AdminLibrariansTransferStatusChange, """{"librarian_name":"l","transfers_enabled":true}""", c =>
            c.ChangeTransferStatusAsync(new("l", true))
        );
        yield return Row(Routes.AdminInstanceDeleteLocal, """{"success":true,"instance_id":1}""", c => c.DeleteLocalInstanceAsync(new(1)));
        yield return Row(Routes.AdminInstanceDeleteRemote, """{"success":true,"instance_id":1}""", c =>
            c.DeleteRemoteInstanceAsync(new(1))
        );

        static TheoryDataRow<string, string, Func<LibrarianClient, Task<bool>>> Row<T>(
            string route,
            string answer,
            Func<LibrarianClient, Task<Reply<T>>> call
        ) =>
            new(route, answer, async client =>
                await call(client) is { IsSuccess: true } reply ? reply.Value is not null : throw new InvalidOperationException("No value.")
            );
    }

    [Theory]
    [MemberData(nameof(Endpoints))]
    public async Task Endpoint_ProperAnswer_IsAskedAsTheWireWantsAndRead(
        string route,
        string answer,
        Func<LibrarianClient, Task<bool>> call
    )
    {
        await using var site = (await FakeSite.StartAsync("/base")).Answer(route, 200, answer);
        using var client = new LibrarianClient(site.Connection);

        Assert.True(await call(client));

        var asked = Assert.Single(site.Calls);
        Assert.Equal(
            ("POST", "/base/api/v2/" + route, s_basic, "application/json", false),
            (asked.Method, asked.Path, asked.Authorization, asked.ContentType, asked.Expects)
        );
        Assert.Equal(Encoding.UTF8.GetByteCount(asked.Body), asked.Length);
        Assert.Equal(route == Routes.AdminStoresList, asked.Body.Length == 0);
    }

    [Fact]
    public void Endpoints_List_IsComplete()
    {
        var routes = typeof(Routes)
            .GetFields(BindingFlags.Public | BindingFlags.Static)
            .Select(static field => (string)field.GetValue(null)!)
            .Except([Routes.Prefix, Routes.AdminLibrariansTransferStatusSet], StringComparer.Ordinal);
        Assert.Equal(routes.Order(StringComparer.Ordinal), Endpoints().Select(static row => row.Data.Item1).Order(StringComparer.Ordinal));
        Assert.Equal(36, Endpoints().Count());
    }

    [Theory]
    [InlineData("""{"reason":"R","suggested_remedy":"S","source_transfer_ids":[1,2]}""", "R", "S", 2)]
    [InlineData("""{"detail":"{\"reason\":\"R\",\"suggested_remedy\":\"S\",\"source_transfer_ids\":[3]}"}""", "R", "S", 1)]
    [InlineData("""{"detail":{"reason":"R","suggested_remedy":""}}""", "R", "", 0)]
    [InlineData("""{"detail":"Not authenticated"}""", "Not authenticated", "", 0)]
    [InlineData(
        """{"detail":[{"loc":["body","name"],"msg":"Field required"}]}""",
        "The site finds the request malformed: [\"body\",\"name\"] Field required",
        "",
        0
    )]
    [InlineData("""{"success":false,"username":"u"}""", "The site answered HTTP 409 without a reason.", "", 0)]
    [InlineData("<html>", "The site answered HTTP 409 without a reason.", "", 0)]
    [InlineData("[1]", "The site answered HTTP 409 without a reason.", "", 0)]
    [InlineData("", "The site answered HTTP 409 without a reason.", "", 0)]
    public async Task Call_Refused_DecodesAnyBody(string body, string reason, string remedy, int ids)
    {
        await using var site = (await FakeSite.StartAsync()).Answer(Routes.CloneBatchStage, 409, body);
        using var client = new LibrarianClient(site.Connection);

        var refused = Assert.IsType<Refused>((await client.StageCloneBatchAsync(new([], "s", 0))).Error);

        Assert.Equal(
            (409, reason, remedy, ids, false),
            (refused.Status, refused.Reason, refused.SuggestedRemedy, refused.Ids("source_transfer_ids").Count, refused.MayHaveActed)
        );
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("null")]
    [InlineData("")]
    [InlineData("{\"name\":5,\"description\":\"d\"}")]
    public async Task Call_UnexpectedSuccessBody_IsGarbled(string body)
    {
        await using var site = (await FakeSite.StartAsync()).Answer(Routes.Ping, 200, body);
        using var client = new LibrarianClient(site.Connection);

        Assert.IsType<Malformed>((await client.PingAsync()).Error);
    }

    [Theory]
    [InlineData("No files found.", true)]
    [InlineData("No files.", false)]
    public async Task SearchFiles_NotFound_IsEmptyOnlyForTheExactReason(string reason, bool empty)
    {
        await using var site = (await FakeSite.StartAsync()).Answer(
            Routes.SearchFile,
            404,
            $$"""{"reason":"{{reason}}","suggested_remedy":"r"}"""
        );
        using var client = new LibrarianClient(site.Connection);

        var reply = await client.SearchFilesAsync(new FileSearchRequest("x"));

        Assert.Equal(empty, reply.IsSuccess);
        if (empty)
            Assert.Empty(reply.Value!);
    }

    [Fact]
    public async Task Call_Redirected307_RepeatsBodyAndCredentials()
    {
        await using var site = await FakeSite.StartAsync();
        site.Answer(Routes.ValidateFile, (context, _) => Redirect(context, $"http://127.0.0.1:{site.Port}/api/v2/elsewhere"));
        site.Answer("elsewhere", 200, "[]");
        using var client = new LibrarianClient(site.Connection);

        Assert.True((await client.ValidateFileAsync(new("f"))).IsSuccess);

        var last = site.Calls.Last();
        Assert.Equal(("POST", s_basic, """{"file_name":"f"}"""), (last.Method, last.Authorization, last.Body));
    }

    [Fact]
    public async Task Call_RedirectedToAnotherHost_SendsNoCredentialsThere()
    {
        await using var other = (await FakeSite.StartAsync()).Answer(Routes.Ping, 200, """{"name":"n","description":"d"}""");
        await using var site = await FakeSite.StartAsync();
        site.Answer(Routes.Ping, (context, _) => Redirect(context, $"http://localhost:{other.Port}/api/v2/ping/"));
        using var client = new LibrarianClient(site.Connection);

        Assert.Equal(307, Assert.IsType<Refused>((await client.PingAsync()).Error).Status);
        Assert.Empty(other.Calls);
    }

    [Fact]
    public async Task Call_RedirectLoop_Ends()
    {
        await using var site = await FakeSite.StartAsync();
        site.Answer(Routes.Ping, static (context, _) => Redirect(context, context.Request.Path));
        using var client = new LibrarianClient(site.Connection);

        Assert.IsType<Refused>((await client.PingAsync()).Error);
    }

    [Fact]
    public async Task Call_NobodyListens_IsUnreachableAndNotSent()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        listener.Stop();
        Assert.True(SiteConnection.TryCreate("http://127.0.0.1", port, "u", "p", out var connection, out _));
        using var client = new LibrarianClient(connection);

        Assert.False(Assert.IsType<Unreachable>((await client.PingAsync()).Error).MayHaveActed);
    }

    [Fact]
    public async Task Call_ConnectionCutAfterTheRequest_IsUnreachableButSent()
    {
        await using var site = await FakeSite.StartAsync();
        site.Answer(Routes.UploadCommit, static (context, _) =>
        {
            context.Abort();
            return Task.CompletedTask;
        });
        using var client = new LibrarianClient(site.Connection);

        var reply = await client.CommitUploadAsync(
            new("s", "g", "/g/n", "n", "d", "local", new(["h"]), "infer", "DISALLOWED", "u") { TransferId = 1 }
        );

        Assert.True(Assert.IsType<Unreachable>(reply.Error).MayHaveActed);
    }

    [Fact]
    public async Task Call_AnswerCutInTheMiddle_IsUnreachableButSent()
    {
        await using var site = await FakeSite.StartAsync();
        site.Answer(Routes.Ping, static async (context, _) =>
        {
            context.Response.ContentLength = 100;
            await context.Response.WriteAsync("{\"name\":");
            await context.Response.Body.FlushAsync();
            context.Abort();
        });
        using var client = new LibrarianClient(site.Connection);

        Assert.True(Assert.IsType<Unreachable>((await client.PingAsync()).Error).MayHaveActed);
    }

    [Fact]
    public async Task Call_NoAnswerInTime_IsUnreachable()
    {
        await using var site = await FakeSite.StartAsync();
        site.Answer(Routes.Ping, static (context, _) => Task.Delay(Timeout.Infinite, context.RequestAborted));
        using var client = new LibrarianClient(site.Connection, TimeSpan.FromMilliseconds(100));

        Assert.True(Assert.IsType<Unreachable>((await client.PingAsync()).Error).MayHaveActed);
    }

    [Fact]
    public async Task Call_CallerCancels_Throws()
    {
        await using var site = await FakeSite.StartAsync();
        using var client = new LibrarianClient(site.Connection);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.PingAsync(new CancellationToken(canceled: true)));
    }

    [Theory]
    [InlineData("http://h", 80, "http://h/")]
    [InlineData("http://h/", 21106, "http://h:21106/")]
    [InlineData("https://h/a/b", 443, "https://h/a/b/")]
    [InlineData("http://[::1]", 9, "http://[::1]:9/")]
    public void TryCreate_HostAndPort_Join(string host, int port, string address)
    {
        Assert.True(SiteConnection.TryCreate(host, port, "u", "p", out var connection, out _));
        Assert.Equal(address, connection.BaseAddress.ToString());
    }

    [Theory]
    [InlineData("h", 80, "u", "p")]
    [InlineData("ftp://h", 80, "u", "p")]
    [InlineData("http://h:80", 80, "u", "p")]
    [InlineData("http://[::1]:80/x", 80, "u", "p")]
    [InlineData("http://u@h", 80, "u", "p")]
    [InlineData("http://h", 0, "u", "p")]
    [InlineData("http://h", 65536, "u", "p")]
    [InlineData("http://h", 80, "a:b", "p")]
    [InlineData("http://h", 80, "u", "pä")]
    public void TryCreate_BadPart_SaysWhich(string host, int port, string user, string password)
    {
        Assert.False(SiteConnection.TryCreate(host, port, user, password, out _, out var error));
        Assert.NotEmpty(error);
    }

    private static Task Redirect(HttpContext context, string location)
    {
        context.Response.StatusCode = 307;
        context.Response.Headers.Location = location;
        return Task.CompletedTask;
    }
}
