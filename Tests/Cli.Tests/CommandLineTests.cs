using System.Net;
using System.Reflection;
using System.Text.Json;
using Librarian.Cli;
using Librarian.Cli.Output;
using Librarian.Client.Wire;
using Librarian.Tests.Client;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Http;

namespace Librarian.Tests.Cli;

[Quick]
public sealed class CommandLineTests : IAsyncLifetime
{
    private readonly string _home = Directory.CreateTempSubdirectory("librarian-cli-").FullName;
    private readonly Dictionary<string, string> _environment = new(StringComparer.Ordinal);
    private FakeSite _site = null!;

    public async ValueTask InitializeAsync()
    {
        _site = await FakeSite.StartAsync();
        _environment["HOME"] = _home;
        _environment["LIBRARIAN_CLIENT_CONNECTIONS"] = Connections("lib", _site.Port);
    }

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        Directory.Delete(_home, recursive: true);
    }

    [Theory]
    [InlineData]
    [InlineData("upload", "lib")]
    [InlineData("upload", "lib", "a", "b", "--deletion", "maybe")]
    [InlineData("upload", "lib", "a", "b", "--meta", "json-stdin")]
    [InlineData("search-files", "lib", "--create-time-start", "yesterdayish")]
    [InlineData("search-files", "lib", "--max-results", "many")]
    [InlineData("create-user", "lib", "--username", "u", "--password", "p", "--auth-level", "GOD")]
    [InlineData("add-librarian", "lib", "--name", "n")]
    [InlineData("get", "lib", "name")]
    [InlineData("frobnicate")]
    public async Task Run_WrongUsage_ExitsTwoAndAsksNothing(params string[] arguments)
    {
        var (code, output, error) = await RunAsync(arguments);

        Assert.Equal(ExitCodes.Usage, code);
        Assert.StartsWith("error: ", error, StringComparison.Ordinal);
        Assert.Empty(output);
        Assert.Empty(_site.Calls);
    }

    [Fact]
    public async Task Help_EveryCommand_IsListed()
    {
        var (code, output, _) = await RunAsync("--help");

        Assert.Equal(ExitCodes.Success, code);
        foreach (
            var command in new[]
            {
                "upload",
                "upload-all",
                "get",
                "search-files",
                "ping",
                "check-connections",
                "create-user",
                "delete-user",
                "add-librarian",
                "get-librarian-list",
                "get-store-list",
                "orchestrations",
            }
        )
            Assert.Contains(command, output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Get_SeveralNames_WritesEachAndSaysWhichFailed()
    {
        Hold("obs/a", "hello world", "xxh3:::df8d09e93f874900a99b8775cc15b6c7");
        var into = Directory.CreateDirectory(Path.Combine(_home, "into")).FullName;

        var (code, output, error) = await RunAsync("get", "lib", "obs/none", "obs/a", into);

        Assert.Equal((ExitCodes.Failure, ""), (code, output));
        Assert.StartsWith("error: obs/none: download.refused: ", error, StringComparison.Ordinal);
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(into, "a"), TestContext.Current.CancellationToken));
        Assert.Equal(
            (ExitCodes.Success, "", $"{into}/a is there already with the same content; nothing to do.{Environment.NewLine}"),
            await RunAsync("get", "lib", "obs/a", into)
        );
    }

    [Fact]
    public async Task Get_DestinationIsNoDirectory_WritesNothing()
    {
        Hold("obs/a", "hello world", "xxh3:::df8d09e93f874900a99b8775cc15b6c7");
        var file = Path.Combine(_home, "file");

        Assert.Equal(ExitCodes.Failure, (await RunAsync("get", "lib", "obs/a", "obs/a", file)).Code);
        Assert.Equal(ExitCodes.Failure, (await RunAsync("get", "lib", "obs/a", file + "/")).Code);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_home));
        Assert.Equal((ExitCodes.Success, "", ""), await RunAsync("get", "lib", "obs/a", file));
    }

    private void Hold(string name, string content, string checksum)
    {
        Task WriteAsync(HttpContext context, string text)
        {
            context.Response.Headers.ETag = $"\"{checksum}\"";
            return context.Response.WriteAsync(text);
        }

        var head = $$"""{"directory":false,"size":{{content.Length}},"checksum":"{{checksum}}"}""";
        var member = $$"""{"type":"file","path":"","size":{{content.Length}}}""";
        _site.Answer(DataRoutes.Prefix + DataRoutes.Trees + name, (c, _) => WriteAsync(c, $"{head}\n{member}\n{{\"members\":1}}\n"));
        _site.Answer(DataRoutes.Prefix + DataRoutes.Files + name, (c, _) => WriteAsync(c, content));
    }

    [Fact]
    public async Task SearchFiles_NothingFound_SaysSoAndSucceeds()
    {
        _site.Answer(Routes.SearchFile, 404, """{"reason":"No files found.","suggested_remedy":"r"}""");

        Assert.Equal((0, "No results found." + Environment.NewLine, ""), await RunAsync("search-files", "lib", "-n", "x"));
    }

    [Fact]
    public async Task SearchFiles_Found_PrintsPlainLines()
    {
        var name = "obs/" + new string('x', 200) + "\u001b[2J";
        _site.Answer(Routes.SearchFile, 200, JsonSerializer.Serialize([Hit(name)], WireJson.Wire.FileSearchHitList));

        var (code, output, _) = await RunAsync(
            "search-files",
            "lib",
            "--create-time-start",
            "2026-01-01",
            "-u",
            "ann",
            "--max-results",
            "5"
        );

        Assert.Equal(0, code);
        Assert.Equal(
            [
                $"obs/{new string('x', 200)}\\x1b[2J (1.5 kB) - 2026-11-22T13:06:49.265698 - ann - mountain",
                "Instances:",
                "    /s/one.bin - AVAILABLE",
                "Remote instances:",
                "    archive",
            ],
            output.TrimEnd().Split(Environment.NewLine)
        );
        Assert.Equal(
            """
            {"name":null,"create_time_window":["2026-01-01T00:00:00","9999-12-31T23:59:59.999999"],
            "uploader":"ann","source":null,"max_results":5}
            """.ReplaceLineEndings(""),
            _site.Calls.Single().Body
        );
    }

    [Fact]
    public async Task SearchFiles_Json_IsTheWiresOwn()
    {
        var json = JsonSerializer.Serialize([Hit("obs/one.bin")], WireJson.Wire.FileSearchHitList);
        _site.Answer(Routes.SearchFile, 200, json);

        Assert.Equal((0, json + Environment.NewLine, ""), await RunAsync("search-files", "lib", "--json"));
    }

    [Fact]
    public async Task SearchFiles_Refused_ExitsOneWithTheReason()
    {
        _site.Answer(Routes.SearchFile, 401, """{"detail":"Incorrect username or password"}""");

        var (code, output, error) = await RunAsync("search-files", "lib");

        Assert.Equal((1, ""), (code, output));
        Assert.StartsWith("error: Incorrect username or password (HTTP 401)", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Upload_File_IsSilentOnSuccess()
    {
        var source = Path.Join(_home, "one.bin");
        await File.WriteAllTextAsync(source, "hello world");
        var staged = Path.Join(Directory.CreateDirectory(Path.Join(_home, "staging")).FullName, "one.bin");
        _site
            .Answer(Routes.UploadStage, async (context, _) =>
            {
                context.Response.StatusCode = 201;
                await context.Response.WriteAsync(
                    JsonSerializer.Serialize(
                        new UploadStageResponse(
                            1,
                            "s",
                            "u",
                            staged,
                            "one.bin",
                            "obs/one.bin",
                            new() { ["local"] = new([Dns.GetHostName()]) },
                            1
                        ),
                        WireJson.Wire.UploadStageResponse
                    )
                );
            })
            .Answer(Routes.UploadCommit, 200, null);

        Assert.Equal((0, "", ""), await RunAsync("upload", "lib", source, "obs/one.bin", "--deletion", "allowed", "--null-obsid"));
        Assert.Equal("hello world", await File.ReadAllTextAsync(staged));
        Assert.Contains("\"deletion_policy\":\"ALLOWED\"", _site.Calls.Last().Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task UploadAll_OneRefused_UploadsTheOthersAndExitsOne()
    {
        var folder = Directory.CreateDirectory(Path.Join(_home, "folder")).FullName;
        foreach (var name in new[] { "a", "b", "c" })
            await File.WriteAllTextAsync(Path.Join(folder, name), name);
        var staging = Directory.CreateDirectory(Path.Join(_home, "staging")).FullName;
        _site
            .Answer(Routes.UploadStage, async (context, body) =>
            {
                var request = JsonSerializer.Deserialize(body, WireJson.Wire.UploadStageRequest)!;
                context.Response.StatusCode = request.UploadName == "b" ? 413 : 201;
                await context.Response.WriteAsync(
                    request.UploadName == "b"
                        ? """{"reason":"Upload size is too large.","suggested_remedy":"Split it."}"""
                        : JsonSerializer.Serialize(
                            new UploadStageResponse(
                                1,
                                "s",
                                "u",
                                Path.Join(staging, request.UploadName),
                                request.UploadName,
                                request.DestinationLocation,
                                new() { ["local"] = new([Dns.GetHostName()]) },
                                1
                            ),
                            WireJson.Wire.UploadStageResponse
                        )
                );
            })
            .Answer(Routes.UploadCommit, 200, null);

        var (code, output, error) = await RunAsync("upload-all", "lib", folder, "obs/", "--parallel", "1");

        Assert.Equal(1, code);
        Assert.Equal(["obs/a", "obs/c"], output.TrimEnd().Split(Environment.NewLine).Select(static line => line.Split(' ')[0]));
        Assert.Contains("Split it.", error, StringComparison.Ordinal);
        Assert.Contains("1 of 3 uploads failed", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task UploadAll_NamesThatAreNotUtf8_AreRefusedOneByOneAndTheRestGoesOn()
    {
        var folder = Directory.CreateDirectory(Path.Join(_home, "raw")).FullName;
        // .NET cannot express these names.
        await ProcessRunner.RunAsync(
            "sh",
            ["-c", $"cd '{folder}' && : > \"$(printf 'a\\377')\" && : > \"$(printf 'a\\376')\" && : > plain"]
        );
        _site.Answer(Routes.UploadStage, 413, """{"reason":"Upload size is too large.","suggested_remedy":"Split it."}""");

        var (code, _, error) = await RunAsync("upload-all", "lib", folder, "obs/", "--parallel", "1");
        // .NET cannot remove a file whose name it cannot express.
        await ProcessRunner.RunAsync("rm", ["-r", folder]);

        Assert.Equal(1, code);
        Assert.Contains(@"obs/a\xff", error, StringComparison.Ordinal);
        Assert.Contains(@"obs/a\xfe", error, StringComparison.Ordinal);
        Assert.Contains(@"3 of 3 uploads failed, the others are done: a\xfe, a\xff, plain.", error, StringComparison.Ordinal);
        Assert.Contains("obs/plain", Assert.Single(_site.Calls).Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_ArgumentThatIsNotUtf8_IsRefusedByNameUnlessItIsALocalPath()
    {
        var (code, _, error) = await RunAsync("search-files", "lib", "--name", "obs/a\uDCFF");

        Assert.Equal(1, code);
        Assert.Contains(@"obs/a\xff", error, StringComparison.Ordinal);
        Assert.Empty(_site.Calls);
        Assert.Contains(
            @"There is nothing at gone\xff.",
            (await RunAsync("upload", "lib", "gone\uDCFF", "d")).Error,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Exact_ArgumentsThatTheRuntimeReplaced_ComeFromTheKernel()
    {
        byte[] given = [.. "dotnet\0librarian.dll\0upload\0"u8, (byte)'a', 0xff, 0, .. "b\uFFFD\0"u8];

        Assert.Equal(["upload", "a\uDCFF", "b\uFFFD"], ProcessArguments.Exact(["upload", "a\uFFFD", "b\uFFFD"], () => given));
        Assert.Equal(["upload"], ProcessArguments.Exact(["upload"], () => throw new InvalidOperationException("Nobody asked.")));
    }

    [Fact]
    public async Task Program_PathThatIsNotUtf8_IsReadFromTheKernel()
    {
        var program = typeof(CommandLineTests)
            .Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(static data => data.Key == "CliProgram")
            .Value!;
        await File.WriteAllTextAsync(Path.Join(_home, "connections"), _environment["LIBRARIAN_CLIENT_CONNECTIONS"]);
        var output = await ProcessRunner.RunAsync(
            "sh",
            [
                "-c",
                "export LIBRARIAN_CLIENT_CONNECTIONS=\"$(cat connections)\"; "
                    + $"dotnet '{program}' upload lib \"$(printf 'gone\\377')\" d || echo \"exit $?\"",
            ],
            _home
        );

        Assert.Contains(@"gone\xff.", output, StringComparison.Ordinal);
        Assert.EndsWith("exit 1\n", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Upload_AbsoluteDestination_ExitsOneWithCodeAndAdvice()
    {
        var (code, _, error) = await RunAsync("upload", "lib", "/etc/hostname", "/obs/one.bin");

        Assert.Equal(1, code);
        Assert.Matches(@"^error: .*not a relative path.*nothing is lost.*\[upload\.destination-invalid\]", error);
    }

    [Fact]
    public async Task CheckConnections_OneFails_ReportsBothAndExitsOne()
    {
        await using var gone = await FakeSite.StartAsync();
        var port = gone.Port;
        await gone.DisposeAsync();
        _site.Answer(Routes.Ping, 200, """{"name":"n","description":"d"}""");
        _environment["LIBRARIAN_CLIENT_CONNECTIONS"] = Connections("lib", _site.Port).TrimEnd('}') + "}," + Connections("gone", port)[1..];

        var (code, output, _) = await RunAsync("check-connections");

        Assert.Equal(1, code);
        Assert.Contains($"Connection to lib (http://127.0.0.1:{_site.Port}/) succeeded.", output, StringComparison.Ordinal);
        Assert.Contains($"Connection to gone (http://127.0.0.1:{port}/) failed: ", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ping_WithLogin_AsksTheLoggedEndpoint()
    {
        _site.Answer(Routes.PingLogged, 200, """{"name":"Site A","description":"On a mountain."}""");

        Assert.Equal((0, "Site A: On a mountain." + Environment.NewLine, ""), await RunAsync("ping", "lib", "--require-login"));
    }

    [Fact]
    public async Task CreateUser_Existing_ExitsOne()
    {
        _site.Answer(Routes.UsersCreate, 400, """{"success":false,"username":"u"}""");
        _site.Answer(Routes.UsersGet, 200, """{"username":"u","permission":3}""");

        var (code, _, error) = await RunAsync("create-user", "lib", "--username", "u", "--password", "p", "--auth-level", "READAPPEND");

        Assert.Equal(1, code);
        Assert.Contains("exists already", error, StringComparison.Ordinal);
        Assert.Equal("""{"username":"u","password":"p","permission":3}""", _site.Calls.First().Body);
    }

    [Theory]
    [InlineData(
        "create-user",
        400,
        """{"success":false,"username":"ü"}""",
        "was not created: the site does not allow this name or password"
    )]
    [InlineData("create-user", 400, """{"reason":"The moon is full.","suggested_remedy":"Wait."}""", "The moon is full. (HTTP 400) Wait.")]
    [InlineData("delete-user", 200, """{"success":false,"username":"u"}""", "it is the site's last administrator")]
    [InlineData("delete-user", 400, """{"success":false,"username":"u"}""", "There is no account")]
    public async Task User_Refused_SaysTheSitesReason(string command, int known, string answer, string reason)
    {
        _site.Answer(command == "create-user" ? Routes.UsersCreate : Routes.UsersDelete, 400, answer);
        _site.Answer(Routes.UsersGet, known, """{"username":"u","permission":3}""");
        string[] rest = command == "create-user" ? ["--password", "p", "--auth-level", "READAPPEND"] : [];

        var (code, _, error) = await RunAsync([command, "lib", "--username", "u", .. rest]);

        Assert.Equal(1, code);
        Assert.Contains(reason, error, StringComparison.Ordinal);
        Assert.DoesNotContain("exists already", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"success":true,"already_exists":false,"ping_success":true}""", 0, "added")]
    [InlineData("""{"success":false,"already_exists":true,"ping_success":false}""", 1, "known already")]
    [InlineData("""{"success":false,"already_exists":false,"ping_success":false}""", 1, "not added")]
    public async Task AddLibrarian_AnyAnswer_IsToldApart(string answer, int expected, string words)
    {
        _site.Answer(Routes.AdminLibrariansAdd, 200, answer);

        var (code, output, error) = await RunAsync(
            "add-librarian",
            "lib",
            "--name",
            "n",
            "--url",
            "http://h",
            "--port",
            "9",
            "--authenticator",
            "u:p"
        );

        Assert.Equal(expected, code);
        Assert.Contains(words, output + error, StringComparison.Ordinal);
        Assert.Contains("\"check_connection\":true", _site.Calls.Single().Body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(
        """{"success":true,"already_exists":true,"ping_success":true,"changed":["port","password"],"warnings":["Mend it."]}""",
        "Librarian n was known; changed: port, password."
    )]
    [InlineData(
        """{"success":true,"already_exists":true,"ping_success":true,"changed":[],"warnings":["Mend it."]}""",
        "Librarian n was known with the same values; nothing was changed."
    )]
    public async Task AddLibrarian_OfAKnownOne_SaysWhatHasChangedAndWhatIsMissing(string answer, string words)
    {
        _site.Answer(Routes.AdminLibrariansAdd, 200, answer);
        Assert.Equal(
            (0, words + Environment.NewLine, "warning: Mend it." + Environment.NewLine),
            await RunAsync("add-librarian", "lib", "--name", "n", "--url", "http://h", "--port", "9", "--authenticator", "u:p")
        );
        Assert.Contains("\"offline\":false", _site.Calls.Single().Body, StringComparison.Ordinal);
    }

    [Theory, InlineData("--offline"), InlineData("--do-not-check-connection")]
    public async Task AddLibrarian_Offline_AsksForNoCheck(string option)
    {
        _site.Answer(Routes.AdminLibrariansAdd, 200, """{"success":true,"already_exists":false,"ping_success":null}""");
        Assert.Equal(
            0,
            (
                await RunAsync("add-librarian", "lib", "--name", "n", "--url", "http://h", "--port", "9", "--authenticator", "u:p", option)
            ).Code
        );
        Assert.EndsWith("\"check_connection\":false,\"offline\":true}", _site.Calls.Single().Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task UpdateUser_Level_IsSentAndAnUnknownAccountIsAnError()
    {
        _site.Answer(Routes.UsersUpdate, 200, """{"success":true,"username":"archive"}""");
        Assert.Equal(0, (await RunAsync("update-user", "lib", "--username", "archive", "--auth-level", "READAPPEND")).Code);
        Assert.Equal("""{"username":"archive","password":null,"permission":3}""", _site.Calls.Single().Body);
        _site.Answer(Routes.UsersUpdate, 200, """{"success":false,"username":"archive"}""");
        var (code, _, error) = await RunAsync("update-user", "lib", "--username", "archive", "--password", "p");
        Assert.Equal(1, code);
        Assert.Contains("There is no account archive", error, StringComparison.Ordinal);
        Assert.Equal(2, (await RunAsync("update-user", "lib", "--username", "archive")).Code);
    }

    [Fact]
    public async Task CheckConnections_SiteThatMissesSomething_SaysWhatAndStaysASuccess()
    {
        _site.Answer(Routes.Ping, 200, """{"name":"Site A","description":"On a mountain."}""");
        _site.Answer(
            Routes.AdminLibrariansList,
            200,
            """{"librarians":[{"name":"archive","url":"http://h","port":1,"available":true,"enabled":true,"problems":["Mend it."]}]}"""
        );
        var (code, output, _) = await RunAsync("check-connections");
        Assert.Equal(0, code);
        Assert.Contains("    with archive: Mend it.", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task GetStoreList_Stores_AreOneLineEach()
    {
        _site.Answer(
            Routes.AdminStoresList,
            200,
            """
            [{"name":"s","store_type":"local","free_space":2048,"ingestable":true,"available":true,"enabled":true},
             {"name":"t","store_type":"local","free_space":-1,"ingestable":false,"available":false,"enabled":false}]
            """
        );

        var (_, output, _) = await RunAsync("get-store-list", "lib");

        Assert.Equal(
            [
                "s (local) [2.0 kB Free] - Ingestable - Available - Enabled",
                "t (local) [unknown Free] - Not Ingestable - Not Available - Disabled",
            ],
            output.TrimEnd().Split(Environment.NewLine)
        );
    }

    [Fact]
    public async Task Connections_File_GoesBeforeTheVariableAndWarnsWhenOpen()
    {
        var file = Path.Join(_home, ".hl_client.json");
        await File.WriteAllTextAsync(file, "{\"connections\":" + Connections("filed", _site.Port) + "}");
        File.SetUnixFileMode(file, UnixFileMode.UserRead);
        _site.Answer(Routes.Ping, 200, """{"name":"n","description":"d"}""");

        Assert.Equal((0, "n: d" + Environment.NewLine, ""), await RunAsync("ping", "filed"));
        Assert.Contains("no connection named lib", (await RunAsync("ping", "lib")).Error, StringComparison.Ordinal);

        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.OtherRead);
        Assert.StartsWith("warning: ", (await RunAsync("ping", "filed")).Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("not json")]
    [InlineData("null")]
    [InlineData("""{"x":{"user":"u","port":1,"host":"http://h"}}""")]
    [InlineData("""{"x":{"user":"u","port":1,"host":"h","password":"p"}}""")]
    public async Task Connections_MissingOrBroken_ExitOneWithAdvice(string? inline)
    {
        _environment.Remove("LIBRARIAN_CLIENT_CONNECTIONS");
        if (inline is not null)
            _environment["LIBRARIAN_CLIENT_CONNECTIONS"] = inline;

        var (code, _, error) = await RunAsync("ping", "x");

        Assert.Equal(1, code);
        Assert.Matches("^error: .*(onnections|onnection x)", error);
    }

    [Fact]
    public async Task Run_Interrupted_ExitsWithItsOwnCode()
    {
        using var stop = new CancellationTokenSource();
        _site.Answer(Routes.Ping, async (context, _) =>
        {
            await stop.CancelAsync();
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        });

        Assert.Equal(ExitCodes.Interrupted, (await RunAsync(stop.Token, "ping", "lib")).Code);
    }

    private static FileSearchHit Hit(string name) =>
        new(
            name,
            new DateTime(2026, 11, 22, 13, 6, 49, 265, 698, DateTimeKind.Utc),
            1536,
            "xxh3:::df8d09e93f874900a99b8775cc15b6c7",
            "ann",
            "mountain",
            [new LocalInstance("/s/one.bin", DeletionPolicy.Disallowed, DateTime.UnixEpoch, Available: true, StoreId: 1)],
            [new RemoteInstance("archive", DateTime.UnixEpoch)]
        );

    private static string Connections(string name, int port) =>
        $$$"""{"{{{name}}}":{"user":"ann","port":{{{port}}},"host":"http://127.0.0.1","password":"pa:ss"}}""";

    private Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments) =>
        RunAsync(CancellationToken.None, arguments);

    private async Task<(int Code, string Output, string Error)> RunAsync(CancellationToken cancellationToken, params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var code = await CommandLine.RunAsync(
            arguments,
            Terminal.Piped(output, error, name => _environment.GetValueOrDefault(name)),
            cancellationToken
        );
        return (code, output.ToString(), error.ToString());
    }
}
