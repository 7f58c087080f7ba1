using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Functions.Startup;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Configuration;

namespace Librarian.Tests.Functions.Api;

/// <summary>The verbs of the program.</summary>
public sealed class SiteCommandTests(PostgresServer server) : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-verbs-");

    [Theory]
    [InlineData("chek")]
    [InlineData("run", "fast")]
    [InlineData("check", "everything")]
    [InlineData("migrate", "now")]
    [InlineData("--check")]
    [InlineData("--unknown")]
    [InlineData("--Site:Name")]
    [InlineData("-x")]
    public async Task CommandLine_NotUnderstood_IsExitCode2AndStartsNothing(params string[] args)
    {
        var (code, output, errors, started) = await RunAsync(args);

        Assert.Equal(SiteCommandLine.Usage, code);
        Assert.Null(started);
        Assert.Empty(output);
        Assert.Contains("Nothing was started", errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--help", "check")]
    [InlineData("-h", "migrate")]
    [InlineData("--version", ".")]
    public async Task CommandLine_AsksAboutTheProgram_IsAnsweredAndStartsNothing(string argument, string answer)
    {
        var (code, output, _, started) = await RunAsync([argument]);

        Assert.Equal((SiteCommandLine.Success, true, true), (code, started is null, output.Contains(answer, StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData]
    [InlineData("run")]
    [InlineData("--Site:Name=x", "--Site=", "--urls", "http://127.0.0.1:0")]
    [InlineData(
        "run",
        "--urls=http://127.0.0.1:0",
        "--environment=Development",
        "--AzureWebJobs.X.Disabled=true",
        "--OTEL_SDK_DISABLED",
        "true"
    )]
    public async Task CommandLine_RunOrOnlySettings_RunsTheSiteWithThem(params string[] args)
    {
        var (code, _, errors, started) = await RunAsync(args);

        Assert.Equal((77, ""), (code, errors));
        Assert.Equal(args.Where(a => a != "run"), started);
    }

    [Fact]
    public async Task Program_UnknownWord_MakesNothingAndEndsWith2()
    {
        await using var site = new SiteProcess("verbs", _directory.FullName) { Arguments = ["chekc"] };
        site.Start();

        Assert.Equal(2, await site.ExitAsync(TestContext.Current.CancellationToken));
        Assert.Empty(Directory.EnumerateFileSystemEntries(site.Root));
        Assert.Contains("'chekc' is not known", site.Output, StringComparison.Ordinal);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Check_SiteThatHasRun_IsFineAndChangesNothing(DatabaseKind kind)
    {
        var database = kind == DatabaseKind.PostgreSql ? await server.CreateDatabaseAsync() : null;
        await using (var site = new SiteProcess("checked", _directory.FullName, database))
            await site.StartAsync(TestContext.Current.CancellationToken);
        var root = Path.Combine(_directory.FullName, "checked");
        var before = Fingerprint(root);

        var (code, lines) = await CheckAsync(Settings(root, database));

        Assert.True(code == 0, lines);
        Assert.Contains("the catalog is up to date", lines, StringComparison.Ordinal);
        Assert.Contains("store main", lines, StringComparison.Ordinal);
        Assert.Equal(before, Fingerprint(root));
    }

    [Fact]
    public async Task Check_NothingThereYet_SaysWhatTheFirstStartMakesAndMakesNothing()
    {
        var (code, lines) = await CheckAsync(Settings(Path.Combine(_directory.FullName, "fresh"), database: null));

        Assert.True(code == 0, lines);
        Assert.Contains("does not exist; the first start makes it", lines, StringComparison.Ordinal);
        Assert.Empty(_directory.EnumerateFileSystemInfos());
    }

    [Fact]
    public async Task Check_WrongSettings_NamesEachWithItsRemedy()
    {
        var settings = Settings(_directory.FullName, database: null);
        settings["Site:PublicBaseUrl"] = "nowhere";
        settings["Site:Stores:0:FullFraction"] = "1.5";

        var (code, lines) = await CheckAsync(settings);

        Assert.Equal(1, code);
        Assert.Contains("error    settings:  Setting Site:PublicBaseUrl is 'nowhere'", lines, StringComparison.Ordinal);
        Assert.Contains("Site:Stores:0:FullFraction is '1.5'", lines, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_DatabaseThatForgets_IsAnErrorUnlessAllowed()
    {
        var settings = Settings(_directory.FullName, await server.CreateDatabaseAsync());
        settings.Remove("Site:AllowUnsafeDatabase");

        var (code, lines) = await CheckAsync(settings);
        Assert.Equal(1, code);
        Assert.Contains("fsync and full_page_writes are off", lines, StringComparison.Ordinal);
        Assert.Contains("Set fsync = on", lines, StringComparison.Ordinal);

        settings["Site:AllowUnsafeDatabase"] = "true";
        (code, lines) = await CheckAsync(settings);
        Assert.True(code == 0, lines);
        Assert.Contains("warning  database:", lines, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_DatabaseAway_IsAnErrorWithoutThePassword()
    {
        var (code, lines) = await CheckAsync(
            Settings(
                _directory.FullName,
                $"Host=127.0.0.1;Port={PostgresServer.FreePort()};Username=u;Password=s3cret;Database=d;Timeout=5"
            )
        );

        Assert.Equal(1, code);
        Assert.Contains("cannot be read", lines, StringComparison.Ordinal);
        Assert.Contains("Site:Database", lines, StringComparison.Ordinal);
        Assert.DoesNotContain("s3cret", lines, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_StoreNotMounted_IsAnError()
    {
        await using (var site = new SiteProcess("away", _directory.FullName))
            await site.StartAsync(TestContext.Current.CancellationToken);
        var root = Path.Combine(_directory.FullName, "away");
        Directory.Move(Path.Combine(root, "store"), Path.Combine(root, "store.away"));
        Directory.CreateDirectory(Path.Combine(root, "store"));

        var (code, lines) = await CheckAsync(Settings(root, database: null));

        Assert.Equal(1, code);
        Assert.Contains("error    store main:", lines, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, 0, "1 migrations are pending; the next start applies them.")]
    [InlineData(false, 1, "run 'librarian-site migrate' of commit 8e465f3")]
    public async Task Check_CatalogOfEarlierMigrations_SaysWhetherTheNextStartTakesIt(bool all, int expected, string said)
    {
        var root = Path.Combine(_directory.FullName, "earlier");
        foreach (var part in new[] { "data", "staging", "store" })
            Directory.CreateDirectory(Path.Combine(root, part));
        var connection = $"Data Source={Path.Combine(root, "data", "catalog.db")}";
        using (var catalog = new CatalogDatabase(connection))
            await catalog.MigrateAsync(TestContext.Current.CancellationToken);
        await using (var open = new SqliteConnection(connection))
        {
            await open.OpenAsync(TestContext.Current.CancellationToken);
            await using var command = open.CreateCommand();
            command.CommandText = $"""
                update "__EFMigrationsHistory" set "MigrationId" = '20261123024056_Initial';
                insert into "__EFMigrationsHistory" ("MigrationId", "ProductVersion") values
                  ('20261124230730_PeerCallbacks', ''), ('20261124231008_Drives', ''), ('20261124232102_SearchIndexes', ''),
                  ('20261126003222_PathAndContentIndexes', ''){(all ? ", ('20261129190703_CopyEvidence', '')" : "")}
                """;
            await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        }

        SqliteConnection.ClearAllPools();
        var (code, lines) = await CheckAsync(Settings(root, database: null));

        Assert.Equal(expected, code);
        Assert.Contains(said, lines, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        SqliteConnection.ClearAllPools();
        _directory.Delete(recursive: true);
    }

    private static Dictionary<string, string?> Settings(string root, string? database)
    {
        var settings = new Dictionary<string, string?>
        {
            ["Site:Name"] = Path.GetFileName(root),
            ["Site:PublicBaseUrl"] = "http://127.0.0.1:1",
            ["Site:DataDirectory"] = Path.Combine(root, "data"),
            ["Site:Stores:0:Name"] = "main",
            ["Site:Stores:0:StagingPath"] = Path.Combine(root, "staging"),
            ["Site:Stores:0:StorePath"] = Path.Combine(root, "store"),
        };
        if (database is not null)
            (settings["Site:Database"], settings["Site:AllowUnsafeDatabase"]) = (database, "true");
        return settings;
    }

    private static async Task<(int Code, string Lines)> CheckAsync(Dictionary<string, string?> settings)
    {
        var output = new StringWriter(CultureInfo.InvariantCulture);
        var code = await SiteCheck.RunAsync(
            () => new ConfigurationBuilder().AddInMemoryCollection(settings).Build(),
            output,
            TimeProvider.System,
            TestContext.Current.CancellationToken
        );
        return (code, output.ToString());
    }

    private static async Task<(int Code, string Output, string Errors, string[]? Started)> RunAsync(string[] args)
    {
        string[]? started = null;
        var (output, errors) = (new StringWriter(CultureInfo.InvariantCulture), new StringWriter(CultureInfo.InvariantCulture));
        var code = await SiteCommandLine.RunAsync(
            args,
            settings =>
            {
                started = settings;
                return Task.FromResult(77);
            },
            _ => throw new InvalidOperationException("Nothing may be built."),
            output,
            errors
        );
        return (code, output.ToString(), errors.ToString(), started);
    }

    /// <summary>Names, modes, times and contents of everything below a directory.</summary>
    private static string Fingerprint(string root)
    {
        var text = new StringBuilder();
        foreach (
            var entry in new DirectoryInfo(root)
                .EnumerateFileSystemInfos("*", SearchOption.AllDirectories)
                .OrderBy(e => e.FullName, StringComparer.Ordinal)
        )
        {
            var sum = entry is FileInfo file ? Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file.FullName))) : "";
            text.AppendLine(CultureInfo.InvariantCulture, $"{entry.FullName} {entry.UnixFileMode} {entry.LastWriteTimeUtc:O} {sum}");
        }

        return text.ToString();
    }
}
