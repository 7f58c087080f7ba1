using System.Text.Json;
using System.Text.RegularExpressions;
using Librarian.Cli;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.EndToEnd;

/// <summary>
/// Whether the accounts and settings that README tells one to make suffice to replace bad copies, at either site, and what is said when
/// they do not.
/// </summary>
public sealed partial class RepairSetUpTests(PostgresServer server) : IAsyncLifetime
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-repair-");
    private SiteProcess _mountain = null!;
    private SiteProcess _archive = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await _mountain.DisposeAsync();
        await _archive.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Repair_WithExactlyWhatReadmeSays_ReplacesAFlippedByteAtEitherSiteFromTheOther(bool postgres)
    {
        await StartAsync(postgres);
        foreach (var command in ReadmesCommands())
        {
            var (code, _, error) = await CliAsync(command);
            Assert.True(code == 0, $"{string.Join(' ', command)}: {error}");
            // Enough means that nothing is missing.
            Assert.DoesNotContain("warning:", command[1] == "ARCHIVE" ? error : "", StringComparison.Ordinal);
        }

        var (_, checks, _) = await CliAsync("check-connections");
        Assert.DoesNotContain("    with ", checks, StringComparison.Ordinal);
        await SendAsync();
        foreach (var site in new[] { _archive, _mountain })
        {
            await FlipAsync(site);
            await UntilAsync(
                async () => (await ValidateAsync(site)) is { Count: > 0 } copies && copies.All(c => c.ComputedSameChecksum),
                $"the repair at {site.Name}"
            );
            Assert.Equal(
                await ContentDigest.OfAsync(Source, Stop),
                await ContentDigest.OfAsync(Path.Combine(site.StorePath, "obs/a"), Stop)
            );
        }
    }

    [Fact]
    public async Task Repair_AccountAndSettingsThatDoNotSuffice_IsToldWithTheCommandAndGoesOnWhenItWasDone()
    {
        await StartAsync(postgres: false, archiveMaySend: false);
        // What README said before: enough to send, not to replace a copy at the mountain.
        foreach (var command in ReadmesCommands())
            Assert.Equal(
                0,
                (
                    await CliAsync([
                        .. command.Select(w =>
                            command[0] == "create-user" && command[1] == "MOUNTAIN" && w == "READAPPEND" ? "CALLBACK" : w
                        ),
                    ])
                ).Code
            );
        const string Mend = "librarian update-user MOUNTAIN --username archive --auth-level READAPPEND";
        Assert.Contains(Mend, (await CliAsync("get-librarian-list", "MOUNTAIN", "--ping")).Out, StringComparison.Ordinal);
        var (_, checks, _) = await CliAsync("check-connections");
        Assert.Contains(Mend, checks, StringComparison.Ordinal);
        Assert.Contains("Site__Peers__0__LocalRoots__0", checks, StringComparison.Ordinal);
        await SendAsync();
        await FlipAsync(_mountain);
        await UntilAsync(() => IsNotifiedAsync(Mend), "the account");

        Assert.Equal(0, (await CliAsync([.. Mend.Split(' ').Skip(1)])).Code);
        await UntilAsync(() => IsNotifiedAsync("Site__Peers__0__LocalRoots__0"), "the setting");
        await _archive.KillAsync();
        foreach (var (name, value) in ReadmesSettings("archive"))
            _archive.Set(name, value);
        await _archive.StartAsync(Stop);
        await UntilAsync(
            async () => (await ValidateAsync(_mountain)) is { Count: > 0 } copies && copies.All(c => c.ComputedSameChecksum),
            "the repair"
        );
        Assert.Equal(
            await ContentDigest.OfAsync(Source, Stop),
            await ContentDigest.OfAsync(Path.Combine(_mountain.StorePath, "obs/a"), Stop)
        );
    }

    private string Source => Path.Combine(_directory.FullName, "source");

    private static string Readme
    {
        get
        {
            var root = new DirectoryInfo(AppContext.BaseDirectory);
            while (!File.Exists(Path.Combine(root.FullName, "Librarian.Functions.sln")))
                root = root.Parent!;
            return File.ReadAllText(Path.Combine(root.FullName, "README.md"));
        }
    }

    private async Task StartAsync(bool postgres, bool archiveMaySend = true)
    {
        _mountain = new SiteProcess("mountain", _directory.FullName, postgres ? await server.CreateDatabaseAsync(Stop) : null);
        _archive = new SiteProcess("archive", _directory.FullName, postgres ? await server.CreateDatabaseAsync(Stop) : null);
        foreach (var site in new[] { _mountain, _archive })
        {
            site.Set("Schedules__RepairCorruptCopies", "* * * * * *");
            site.Set("Schedules__ProbePeers", "*/2 * * * * *");
            // What was read a moment ago is to be read again.
            site.Set("Site__ChecksumLifetime", "00:00:00.001");
            if (site == _mountain || archiveMaySend)
                foreach (var (name, value) in ReadmesSettings(site.Name))
                    site.Set(name, value);
            site.Start();
        }

        await _mountain.WaitUntilReadyAsync(Stop);
        await _archive.WaitUntilReadyAsync(Stop);
    }

    /// <summary>The commands of README, with this test's addresses and passwords in place of its placeholders.</summary>
    private List<string[]> ReadmesCommands()
    {
        var commands = SetUpCommand().Matches(Readme).Select(m => m.Value).ToList();
        Assert.Equal(4, commands.Count);
        return
        [
            .. commands.Select(c =>
                c.Replace("https://archive.example", "http://127.0.0.1", StringComparison.Ordinal)
                    .Replace("https://mountain.example", "http://127.0.0.1", StringComparison.Ordinal)
                    .Replace(
                        "443",
                        (c.Contains("--name archive", StringComparison.Ordinal) ? _archive : _mountain).Port.ToString(
                            System.Globalization.CultureInfo.InvariantCulture
                        ),
                        StringComparison.Ordinal
                    )
                    .Replace(
                        "…",
                        c.Contains("--username mountain", StringComparison.Ordinal)
                        || c.Contains("--name archive", StringComparison.Ordinal)
                            ? "at-the-archive"
                            : "at-the-mountain",
                        StringComparison.Ordinal
                    )
                    .Split(' ', StringSplitOptions.RemoveEmptyEntries)[1..]
            ),
        ];
    }

    private List<(string Name, string Value)> ReadmesSettings(string site)
    {
        var block = SettingsOf().Matches(Readme).Single(m => m.Groups["site"].Value == site).Groups["lines"].Value;
        return
        [
            .. block
                .Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(l => l.Split('=', 2))
                .Select(p =>
                    (
                        p[0],
                        p[1]
                            .Replace("ARCHIVE-STAGING", _archive.StagingPath, StringComparison.Ordinal)
                            .Replace("MOUNTAIN-STAGING", _mountain.StagingPath, StringComparison.Ordinal)
                    )
                ),
        ];
    }

    private async Task SendAsync()
    {
        await File.WriteAllTextAsync(Source, "what was observed", Stop);
        using var client = Client(_mountain);
        Assert.NotNull((await new Upload(client, TimeProvider.System).RunAsync(Source, "obs/a", cancellationToken: Stop)).Receipt);
        await UntilAsync(
            async () => (await client.SearchFilesAsync(new FileSearchRequest(Name: "obs/a"), Stop)).Value is [{ RemoteInstances.Count: 1 }],
            "the copy at the archive"
        );
    }

    private async Task FlipAsync(SiteProcess site)
    {
        var path = Path.Combine(site.StorePath, "obs/a");
        var bytes = await File.ReadAllBytesAsync(path, Stop);
        bytes[3] ^= 1;
        await File.WriteAllBytesAsync(path, bytes, Stop);
        Assert.Contains(await ValidateAsync(site), c => !c.ComputedSameChecksum);
    }

    private async Task<List<FileValidation>> ValidateAsync(SiteProcess site)
    {
        using var client = Client(site);
        return [.. (await client.ValidateFileAsync(new ValidateFileRequest("obs/a"), Stop)).Value!.Where(c => c.Librarian == site.Name)];
    }

    private async Task<bool> IsNotifiedAsync(string words)
    {
        using var client = Client(_mountain);
        var found = await client.SearchErrorsAsync(new ErrorSearchRequest(), Stop);
        return found.IsSuccess && found.Value.Any(e => e.Message.Contains(words, StringComparison.Ordinal));
    }

    private static LibrarianClient Client(SiteProcess site) =>
        SiteConnection.TryCreate(
            "http://127.0.0.1",
            site.Port,
            SiteProcess.AdminUser,
            SiteProcess.AdminPassword,
            out var connection,
            out var error
        )
            ? new LibrarianClient(connection)
            : throw new InvalidOperationException(error);

    private async Task<(int Code, string Out, string Error)> CliAsync(params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var connections = JsonSerializer.Serialize(
            new[] { _mountain, _archive }.ToDictionary(
                s => s.Name.ToUpperInvariant(),
                s => new
                {
                    user = SiteProcess.AdminUser,
                    password = SiteProcess.AdminPassword,
                    host = "http://127.0.0.1",
                    port = s.Port,
                }
            )
        );
        var code = await CommandLine.RunAsync(
            arguments,
            Terminal.Piped(output, error, name => name == "LIBRARIAN_CLIENT_CONNECTIONS" ? connections : null),
            Stop
        );
        return (code, output.ToString(), error.ToString());
    }

    private Task UntilAsync(Func<Task<bool>> isSo, string what)
    {
        return Wait.UntilAsync(isSo, () => $"{what}\n== mountain\n{Tail(_mountain)}\n== archive\n{Tail(_archive)}", pause: TwoSites.Pause);

        static string Tail(SiteProcess site) => site.Output.Length <= 6000 ? site.Output : site.Output[^6000..];
    }

    [GeneratedRegex("^librarian (create-user|add-librarian) .*$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex SetUpCommand();

    [GeneratedRegex("^# at (?<site>[a-z]+)\n(?<lines>(Site__[^\n]*\n)+)", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex SettingsOf();
}
