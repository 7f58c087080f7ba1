using System.Text;
using System.Text.Json;
using Librarian.Cli;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Tests.Client;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Cli;

/// <summary>A real site in its own process, shared by the tests of a class.</summary>
public sealed class RunningSite : IAsyncLifetime
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-cli-site-");

    public SiteProcess Process { get; private set; } = null!;

    public LibrarianClient Client { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Process = new SiteProcess("mountain", _directory.FullName);
        await Process.StartAsync(CancellationToken.None);
        Assert.True(
            SiteConnection.TryCreate(
                "http://127.0.0.1",
                Process.Port,
                SiteProcess.AdminUser,
                SiteProcess.AdminPassword,
                out var connection,
                out _
            )
        );
        Client = new LibrarianClient(connection);
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Process.DisposeAsync();
        _directory.Delete(recursive: true);
    }
}

/// <summary>Tests <c>librarian orchestrations …</c> against a real site.</summary>
public sealed class OrchestrationCommandTests(RunningSite site) : IClassFixture<RunningSite>
{
    private static string New() => "cli-" + Guid.NewGuid().ToString("N")[..12];

    [Fact]
    public async Task Help_EveryCommand_IsListed()
    {
        var (code, output, _) = await RunAsync("orchestrations", "--help");

        Assert.Equal(ExitCodes.Success, code);
        foreach (var verb in new[] { "list", "show", "raise", "terminate", "suspend", "resume", "rewind", "restart", "purge" })
            Assert.Contains($"  {verb} <CONN>", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("list", "site", "--status", "Sleeping")]
    [InlineData("list", "site", "--status", "0")]
    [InlineData("list", "site", "--top", "0")]
    [InlineData("list", "site", "--created-from", "yesterdayish")]
    [InlineData("show", "site")]
    [InlineData("raise", "site", "id")]
    [InlineData("raise", "site", "id", "event", "--data", "{x")]
    [InlineData("purge", "site")]
    [InlineData("purge", "site", "id", "--created-from", "2026-01-01")]
    [InlineData("purge", "site", "id", "--status", "Failed")]
    public async Task Run_WrongUsage_ExitsTwo(params string[] arguments)
    {
        var (code, output, error) = await RunAsync(["orchestrations", .. arguments]);

        Assert.Equal((ExitCodes.Usage, ""), (code, output));
        Assert.StartsWith("error: ", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Show_Failed_PrintsHeaderAndTimeline()
    {
        var id = await FailedAsync();

        var (code, output, error) = await RunAsync("orchestrations", "show", "site", id);

        Assert.Equal((0, ""), (code, error));
        var lines = Lines(output);
        Assert.Equal($"{id}  IngestStaged  Failed", lines[0]);
        Assert.Matches("^  created  20.*Z, [0-9]+ s ago$", lines[1]);
        Assert.Equal("""  input    {"transferId":"x"}""", lines[3]);
        Assert.Matches(@"^ *\+[0-9.]+ m?s  started$", lines[5]);
        Assert.Matches(@"^ *\+[0-9.]+ m?s  failed +System\.Text\.Json\.JsonException: The JSON value", lines[6]);
    }

    [Fact]
    public async Task Show_Json_IsTheApisOwn()
    {
        var id = await FailedAsync();

        var (code, output, _) = await RunAsync("orchestrations", "show", "site", id, "--json");

        Assert.Equal(0, code);
        var parsed = JsonDocument.Parse(output).RootElement;
        Assert.Equal((id, "Failed"), (parsed.GetProperty("instanceId").GetString(), parsed.GetProperty("runtimeStatus").GetString()));
        Assert.Equal(
            "ExecutionCompleted",
            parsed.GetProperty("historyEvents").EnumerateArray().Last().GetProperty("EventType").GetString()
        );
    }

    [Fact]
    public async Task Show_RetryingInstance_CountsAttemptsAndSaysWhatItWaitsFor()
    {
        var id = await RetryingAsync();

        var lines = Lines((await RunAsync("orchestrations", "show", "site", id)).Output);

        Assert.Equal($"{id}  SendClone  Running", lines[0]);
        Assert.Contains(lines, static line => line.Contains("  activity  StageBatch", StringComparison.Ordinal));
        Assert.Contains(lines, static line =>
            line.Contains("  FAILED    FinishBatch", StringComparison.Ordinal)
            && line.Contains("s  attempt 2: System.InvalidOperationException: ", StringComparison.Ordinal)
        );
        Assert.Matches("^ +waiting +for (timer|activity)", lines[^1]);
        await site.Client.TerminateOrchestrationAsync(id, cancellationToken: TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Control_RunningInstance_IsSuspendedResumedAndTerminatedWhileWatched()
    {
        var id = await RetryingAsync();
        using var output = new StringWriter();
        var watching = CommandLine.RunAsync(
            ["orchestrations", "show", "site", id, "--watch"],
            Terminal.Piped(TextWriter.Synchronized(output), TextWriter.Null, Environment),
            TestContext.Current.CancellationToken
        );

        Assert.Equal((0, $"Asked to suspend {id}.", ""), await OneLineAsync("orchestrations", "suspend", "site", id, "--reason", "lunch"));
        await UntilAsync(id, OrchestrationState.Suspended);
        Assert.Equal($"{id}  SendClone  Suspended", Lines((await RunAsync("orchestrations", "show", "site", id)).Output)[0]);
        Assert.Equal(
            (0, $"Event Settled sent to {id}.", ""),
            await OneLineAsync("orchestrations", "raise", "site", id, "Settled", "--data", "\"x\"")
        );
        Assert.Equal((0, $"Asked to resume {id}.", ""), await OneLineAsync("orchestrations", "resume", "site", id));
        await UntilAsync(id, OrchestrationState.Running);
        Assert.Equal((0, $"Asked to terminate {id}.", ""), await OneLineAsync("orchestrations", "terminate", "site", id, "-r", "enough"));

        Assert.Equal(ExitCodes.Success, await watching);
        var lines = Lines(output.ToString());
        Assert.Equal("Terminated: enough", lines[^1]);
        foreach (var what in new[] { "suspended", "resumed", "terminated" })
            Assert.Single(lines, line =>
                line.Contains($"  {what} ", StringComparison.Ordinal) || line.EndsWith($"  {what}", StringComparison.Ordinal)
            );
        Assert.Contains(lines, static line => line.EndsWith("lunch", StringComparison.Ordinal));
        var (code, _, error) = await RunAsync("orchestrations", "terminate", "site", id);
        Assert.Equal(ExitCodes.Failure, code);
        Assert.StartsWith("error: InstanceFinished: ", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Watch_Interrupted_ExitsCleanlyAndLeavesTheInstance()
    {
        var id = await RetryingAsync();
        foreach (var arguments in new string[][] { ["show", "site", id, "--watch"], ["list", "site", "--prefix", id, "--watch", "--json"] })
        {
            using var stop = new CancellationTokenSource();
            using var output = new SignallingWriter();
            var watching = CommandLine.RunAsync(
                ["orchestrations", .. arguments],
                Terminal.Piped(output, TextWriter.Null, Environment),
                stop.Token
            );
            await output.Written;
            await stop.CancelAsync();
            Assert.Equal(ExitCodes.Interrupted, await watching);
        }

        Assert.Equal(
            OrchestrationState.Running,
            (await site.Client.GetOrchestrationAsync(id, cancellationToken: TestContext.Current.CancellationToken)).Value!.RuntimeStatus
        );
        await site.Client.TerminateOrchestrationAsync(id, cancellationToken: TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task List_Filters_ShowOneLineEachNewestLast()
    {
        var prefix = New();
        var ids = new[] { await FailedAsync(prefix + "-1"), await FailedAsync(prefix + "-2"), await FailedAsync(prefix + "-3") };

        var lines = Lines(
            (
                await RunAsync(
                    "orchestrations",
                    "list",
                    "site",
                    "--prefix",
                    prefix,
                    "--status",
                    "failed,Completed",
                    "--created-from",
                    "2026-01-01",
                    "-n",
                    "2"
                )
            ).Output
        );

        Assert.Equal(3, lines.Length);
        Assert.Matches("^STATUS +ID +ORCHESTRATOR +CREATED +CHANGED +NOTE$", lines[0]);
        Assert.Equal(
            ids[1..],
            lines[1..].Select(static line => line.Split("  ", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)[1])
        );
        Assert.Contains("Orchestrator function 'IngestStaged' failed", lines[1], StringComparison.Ordinal);
        Assert.Equal(
            "No orchestrations found.",
            Assert.Single(Lines((await RunAsync("orchestrations", "list", "site", "-p", prefix, "-s", "Running")).Output))
        );
        var json = JsonDocument.Parse((await RunAsync("orchestrations", "list", "site", "-p", prefix, "--json")).Output).RootElement;
        Assert.Equal(ids, json.EnumerateArray().Select(static i => i.GetProperty("instanceId").GetString()));
        Assert.Equal("x", json[0].GetProperty("input").GetProperty("transferId").GetString());
    }

    [Fact]
    public async Task RewindRestartAndPurge_FailedInstance_DoWhatTheySay()
    {
        var id = await FailedAsync();
        Assert.Equal((0, $"Rewound {id}.", ""), await OneLineAsync("orchestrations", "rewind", "site", id));
        await UntilAsync(id, OrchestrationState.Failed);
        var (code, another, _) = await OneLineAsync("orchestrations", "restart", "site", id);
        Assert.Equal(0, code);
        Assert.NotEqual(id, another);
        Assert.Equal((0, id, ""), await OneLineAsync("orchestrations", "restart", "site", id, "--same-id"));
        await UntilAsync(id, OrchestrationState.Failed);
        Assert.Equal((0, "1 purged.", ""), await OneLineAsync("orchestrations", "purge", "site", id));
        Assert.Equal((0, "0 purged.", ""), await OneLineAsync("orchestrations", "purge", "site", "--created-from", "2999-01-01"));

        foreach (var verb in new[] { "show", "rewind", "restart", "purge", "suspend" })
        {
            var (refused, output, error) = await RunAsync("orchestrations", verb, "site", id);
            Assert.Equal((ExitCodes.Failure, ""), (refused, output));
            Assert.StartsWith("error: InstanceNotFound: ", error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Names_WithControlCharacters_CannotReachTheTerminal()
    {
        await using var fake = await FakeSite.StartAsync();
        using var output = new StringWriter();
        fake.Anything = """
            [{"name":"n\u001b[2J","instanceId":"i\u0007","runtimeStatus":"Running","input":null,"customStatus":"s\u001b",
              "output":null,"createdTime":"2026-01-01T00:00:00Z","lastUpdatedTime":"2026-01-01T00:00:00Z"}]
            """;

        var code = await CommandLine.RunAsync(
            ["orchestrations", "list", "fake"],
            Terminal.Piped(output, TextWriter.Null, _ => Connections("fake", fake.Port, "u", "p")),
            TestContext.Current.CancellationToken
        );

        Assert.Equal(0, code);
        Assert.DoesNotContain(output.ToString(), static c => c is '\u001b' or '\u0007');
    }

    private static string[] Lines(string output) =>
        [.. output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => line.TrimEnd())];

    private static string Connections(string name, int port, string user, string password) =>
        $$$"""{"{{{name}}}":{"user":"{{{user}}}","port":{{{port}}},"host":"http://127.0.0.1","password":"{{{password}}}"}}""";

    private string? Environment(string name) =>
        name switch
        {
            "HOME" => "/nonexistent",
            "LIBRARIAN_CLIENT_CONNECTIONS" => Connections("site", site.Process.Port, SiteProcess.AdminUser, SiteProcess.AdminPassword),
            _ => null,
        };

    /// <summary>Starts an ingest with an invalid input, so that it fails.</summary>
    private async Task<string> FailedAsync(string? id = null)
    {
        id ??= New();
        Assert.True((await site.Client.StartOrchestrationAsync("IngestStaged", id, """{"transferId":"x"}"""u8.ToArray())).IsSuccess);
        await UntilAsync(id, OrchestrationState.Failed);
        return id;
    }

    /// <summary>Starts a clone of a batch that does not exist: its last step fails and is retried for a long time.</summary>
    private async Task<string> RetryingAsync()
    {
        var id = New();
        Assert.True(
            (
                await site.Client.StartOrchestrationAsync("SendClone", id, """{"queueId":999,"destination":"nowhere"}"""u8.ToArray())
            ).IsSuccess
        );
        await Wait.UntilAsync(
            async () =>
                (await site.Client.GetOrchestrationAsync(id, showHistory: true)).Value!.HistoryEvents!.Count(static row =>
                    row.EventType == "TaskFailed"
                ) >= 2,
            "two failures"
        );
        return id;
    }

    private Task UntilAsync(string id, OrchestrationState state) =>
        Wait.UntilAsync(async () => (await site.Client.GetOrchestrationAsync(id)).Value?.RuntimeStatus == state, $"{id} {state}");

    private async Task<(int Code, string Output, string Error)> OneLineAsync(params string[] arguments)
    {
        var (code, output, error) = await RunAsync(arguments);
        return (code, output.TrimEnd(), error);
    }

    private async Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var code = await CommandLine.RunAsync(arguments, Terminal.Piped(output, error, Environment), CancellationToken.None);
        return (code, output.ToString(), error.ToString());
    }

    /// <summary>Signals when something is written.</summary>
    private sealed class SignallingWriter : StringWriter
    {
        private readonly TaskCompletionSource _written = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Written => _written.Task;

        public override void Write(char value) => Signal();

        public override void Write(string? value) => Signal();

        public override void Write(char[] buffer, int index, int count) => Signal();

        public override void Write(ReadOnlySpan<char> buffer) => Signal();

        public override void WriteLine(string? value) => Signal();

        public override Encoding Encoding => Encoding.UTF8;

        private void Signal() => _written.TrySetResult();
    }
}
