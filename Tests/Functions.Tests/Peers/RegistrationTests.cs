using System.Net;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Peers;

public sealed class SqliteRegistrationTests(PostgresServer server) : RegistrationTests(server, DatabaseKind.Sqlite);

public sealed class PostgresRegistrationTests(PostgresServer server) : RegistrationTests(server, DatabaseKind.PostgreSql);

/// <summary>admin/librarians/add looks who answers, and whether the accounts and settings of the two sites suffice.</summary>
public abstract class RegistrationTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("librarian-registration-");
    private TestSite _site = null!;
    private TestSite _archive = null!;

    public async ValueTask InitializeAsync()
    {
        _site = await TestSite.CreateAsync(
            kind,
            server,
            settings: new Dictionary<string, string> { ["Site:Peers:0:Name"] = "archive", ["Site:Peers:0:Send"] = "true" },
            listen: true,
            makeUsers: false
        );
        _archive = await TestSite.CreateAsync(
            DatabaseKind.Sqlite,
            server,
            settings: new Dictionary<string, string> { ["Site:Name"] = "archive" },
            listen: true,
            makeUsers: false
        );
        await AccountAsync(_archive, "testsite", "right", 3);
    }

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        await _archive.DisposeAsync();
        _folder.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Add_AddressOfAnotherSite_IsRefusedAndTheCredentialsAreNotSentThere()
    {
        var (status, body) = await AddAsync("yy", _archive.Address.Port);
        Assert.Equal((400, "Librarian yy is not the one that answers there."), (status, Reason(body)));
        Assert.Contains("'archive' answers", body.GetProperty("suggested_remedy").GetString(), StringComparison.Ordinal);
        // Also when a Python client asks, who knows nothing of 'offline'.
        Assert.Equal(400, (await AddAsync("yy", _archive.Address.Port, offline: null)).Status);
        Assert.Empty(await NamesAsync());
    }

    [Fact]
    public async Task Add_ThisSiteItself_IsRefusedByNameAndByAddress()
    {
        Assert.Equal((400, "Librarian testsite is this site itself."), await RefusedAsync("testsite", _archive.Address.Port));
        Assert.Equal((400, "Librarian testsite is this site itself."), await RefusedAsync("testsite", 1, offline: true));
        Assert.Equal((400, "Librarian yy is this site itself."), await RefusedAsync("yy", _site.Address.Port));
        Assert.Empty(await NamesAsync());
    }

    [Fact]
    public async Task Add_WrongCredentials_AreRefusedAndAfterwardsCorrected()
    {
        Assert.Equal(
            (400, "Librarian archive does not accept the credentials."),
            await RefusedAsync("archive", _archive.Address.Port, "testsite:wrong")
        );
        Assert.Equal(
            (400, "Librarian archive does not accept the credentials."),
            await RefusedAsync("archive", _archive.Address.Port, "testsite:wrong", offline: null)
        );
        Assert.Empty(await NamesAsync());
        var (status, body) = await AddAsync("archive", _archive.Address.Port);
        Assert.Equal(
            (200, true, false, true),
            (
                status,
                body.GetProperty("success").GetBoolean(),
                body.GetProperty("already_exists").GetBoolean(),
                body.GetProperty("ping_success").GetBoolean()
            )
        );
        Assert.Equal(["archive"], await NamesAsync());
    }

    [Fact]
    public async Task Add_AwayPeer_IsRefusedUnlessSaidToBeOffline()
    {
        var port = PostgresServer.FreePort();
        Assert.Equal((400, "Librarian archive does not answer."), await RefusedAsync("archive", port));
        Assert.Equal(
            """{"success":false,"already_exists":false,"ping_success":false}""",
            (await AddAsync("archive", port, offline: null)).Body.GetRawText()
        );
        Assert.Empty(await NamesAsync());
        Assert.Equal(
            (200, true),
            (await AddAsync("archive", port, offline: true)) is var added
                ? (added.Status, added.Body.GetProperty("success").GetBoolean())
                : default
        );
    }

    [Fact]
    public async Task Add_Again_UpdatesWhatDiffersAndSaysSo()
    {
        await AddAsync("archive", 1, "old:wrong", offline: true);
        await _site.PostAsync("admin/librarians/transfer_status/set", """{"librarian_name":"archive","transfers_enabled":false}""");
        // Values that cannot work change nothing.
        Assert.Equal(400, (await RefusedAsync("archive", _archive.Address.Port, "testsite:wrong")).Status);
        Assert.Equal((1, "old", "wrong", false), await KnownAsync());

        var (_, body) = await AddAsync("archive", _archive.Address.Port);
        Assert.Equal((true, true), (body.GetProperty("success").GetBoolean(), body.GetProperty("already_exists").GetBoolean()));
        Assert.Equal(["port", "user", "password"], body.GetProperty("changed").EnumerateArray().Select(c => c.GetString()!));
        Assert.Equal((_archive.Address.Port, "testsite", "right", false), await KnownAsync());

        (_, body) = await AddAsync("archive", _archive.Address.Port);
        Assert.Equal((true, 0), (body.GetProperty("success").GetBoolean(), body.GetProperty("changed").GetArrayLength()));
        // For upstream's caller the same is "exists"; other values update, as for everybody.
        Assert.Equal(
            """{"success":false,"already_exists":true,"ping_success":false}""",
            (await AddAsync("archive", _archive.Address.Port, offline: null)).Body.GetRawText()
        );
        await AccountAsync(_archive, "second", "too", 3);
        Assert.Equal(
            """{"success":true,"already_exists":true,"ping_success":true}""",
            (await AddAsync("archive", _archive.Address.Port, "second:too", offline: null)).Body.GetRawText()
        );
        Assert.Equal((_archive.Address.Port, "second", "too", false), await KnownAsync());
        Assert.Equal(["archive"], await NamesAsync());
    }

    [Fact]
    public async Task Add_AccountsAndSettingsThatDoNotSuffice_AreWarnedOfWithTheCommandThatMendsThem()
    {
        await _archive.PostAsync("users/update", """{"username":"testsite","permission":2}""");
        var warnings = await WarningsAsync();
        Assert.Contains(warnings, w =>
            w.Contains("has level CALLBACK", StringComparison.Ordinal)
            && w.EndsWith("Run: librarian update-user ARCHIVE --username testsite --auth-level READAPPEND", StringComparison.Ordinal)
        );
        Assert.Contains(warnings, w => w.Contains("librarian create-user TESTSITE --username archive", StringComparison.Ordinal));
        Assert.Contains(warnings, w => w.Contains("Site__Peers__0__LocalRoots__0=", StringComparison.Ordinal));

        await _archive.PostAsync("users/update", """{"username":"testsite","permission":1}""");
        await AccountAsync(_site, "archive", "x", 2);
        warnings = await WarningsAsync();
        Assert.Contains(warnings, w => w.Contains("has level READONLY", StringComparison.Ordinal));
        Assert.Contains(warnings, w =>
            w.Contains("librarian update-user TESTSITE --username archive --auth-level READAPPEND", StringComparison.Ordinal)
        );

        await _archive.PostAsync("users/update", """{"username":"testsite","permission":3}""");
        await _site.PostAsync("users/update", """{"username":"archive","permission":3}""");
        Assert.Contains("LocalRoots", Assert.Single(await WarningsAsync()), StringComparison.Ordinal);
        // The same is told of what is registered already.
        var listed = (await _site.PostAsync("admin/librarians/list", """{"ping":true,"check":true}""")).Body.GetProperty("librarians")[0];
        Assert.Equal((true, 1), (listed.GetProperty("available").GetBoolean(), listed.GetProperty("problems").GetArrayLength()));
        Assert.False(
            (await _site.PostAsync("admin/librarians/list", """{"ping":true}"""))
                .Body.GetProperty("librarians")[0]
                .TryGetProperty("problems", out _)
        );
    }

    /// <summary>
    /// It tells nobody its name, and its levels show only in its refusals (docs/spec/wire.md#level-of-each-endpoint,
    /// docs/spec/wire.md#ping).
    /// </summary>
    [Fact]
    public async Task Add_PythonLibrarian_IsCheckedAsFarAsItsWireGoes()
    {
        await using var python = new UpstreamLibrarian("princeton", "testsite", _folder.FullName);
        await AccountAsync(_site, "princeton", "x", 3);
        Assert.Equal(
            (400, "Librarian princeton does not accept the credentials."),
            await RefusedAsync("princeton", python.Server.Port, "testsite:wrong")
        );
        python.LevelHere = 2;
        var (_, body) = await AddAsync("princeton", python.Server.Port, $"testsite:{python.PasswordHere}");
        Assert.Contains(body.GetProperty("warnings").EnumerateArray(), w =>
            w.GetString()!.Contains("has level CALLBACK", StringComparison.Ordinal)
        );
        python.LevelHere = 3;
        (_, body) = await AddAsync("princeton", python.Server.Port, $"testsite:{python.PasswordHere}");
        Assert.Contains("LocalRoots", Assert.Single(body.GetProperty("warnings").EnumerateArray()).GetString(), StringComparison.Ordinal);
        // Another name than the displayed one cannot be told from a wrong one.
        (_, body) = await AddAsync("princeton2", python.Server.Port, $"testsite:{python.PasswordHere}");
        Assert.Contains(body.GetProperty("warnings").EnumerateArray(), w =>
            w.GetString()!.Contains("shows itself as 'PRINCETON'", StringComparison.Ordinal)
        );
        Assert.Empty(python.Violations);
        Assert.All(python.Server.Requests.Where(r => r.Path == "ping/"), r => Assert.Equal(("ping", "ping"), r.Credentials));
    }

    private static string? Reason(JsonElement body) => body.TryGetProperty("reason", out var reason) ? reason.GetString() : null;

    private static async Task AccountAsync(TestSite site, string name, string password, int level) =>
        Assert.Equal(
            HttpStatusCode.Created,
            (await site.PostAsync("users/create", $$"""{"username":"{{name}}","password":"{{password}}","permission":{{level}}}""")).Status
        );

    /// <param name="offline">Null: as upstream's client asks.</param>
    private async Task<(int Status, JsonElement Body)> AddAsync(
        string name,
        int port,
        string authenticator = "testsite:right",
        bool? offline = false
    )
    {
        var field = offline is { } said ? $",\"offline\":{(said ? "true" : "false")}" : "";
        var (status, body) = await _site.PostAsync(
            "admin/librarians/add",
            $$"""
            {"librarian_name":"{{name}}","url":"http://127.0.0.1","port":{{port}},
             "authenticator":"{{authenticator}}","check_connection":true{{field}}}
            """
        );
        return ((int)status, body);
    }

    private async Task<(int Status, string? Reason)> RefusedAsync(
        string name,
        int port,
        string authenticator = "testsite:right",
        bool? offline = false
    )
    {
        var (status, body) = await AddAsync(name, port, authenticator, offline);
        return (status, Reason(body));
    }

    private async Task<List<string>> WarningsAsync()
    {
        var (status, body) = await AddAsync("archive", _archive.Address.Port);
        Assert.Equal(200, status);
        return [.. body.GetProperty("warnings").EnumerateArray().Select(w => w.GetString()!)];
    }

    private async Task<List<string>> NamesAsync()
    {
        await using var db = _site.Catalog.Open();
        return await db.Peers.Select(l => l.Name).ToListAsync();
    }

    private async Task<(int Port, string User, string Password, bool TransfersEnabled)> KnownAsync()
    {
        var login = await _site.Services.GetRequiredService<PeerDirectory>().FindAsync("archive", CancellationToken.None);
        return (login!.Port, login.User, login.Password, login.TransfersEnabled);
    }
}
