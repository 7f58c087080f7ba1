using System.Text.Json;
using Librarian.Adopt;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Security;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Configuration;

namespace Librarian.Tests.Functions.Adopt;

/// <summary>What a run of <c>librarian-site adopt</c> came to.</summary>
/// <param name="Exit">Exit code.</param>
/// <param name="Output">Standard output.</param>
/// <param name="Errors">Standard error.</param>
public sealed record AdoptRun(int Exit, string Output, string Errors)
{
    public JsonElement Json => JsonDocument.Parse(Output).RootElement;

    /// <summary>The counts of a table.</summary>
    public JsonElement Kind(string name) =>
        Json.GetProperty("kinds").EnumerateArray().Single(k => k.GetProperty("name").GetString() == name);

    /// <summary>In source, adopted, already there, folded, skipped.</summary>
    public (long InSource, long Adopted, long There, long Folded, long Skipped) Counts(string name)
    {
        var kind = Kind(name);
        long Get(string property) => kind.GetProperty(property).GetInt64();
        return (Get("in_source"), Get("adopted"), Get("already_there"), Get("folded"), Get("skipped"));
    }

    public string[] Refusals => [.. Json.GetProperty("refusals").EnumerateArray().Select(r => r.GetProperty("code").GetString()!)];

    public string[] Notes => [.. Json.GetProperty("notes").EnumerateArray().Select(n => n.GetString()!)];
}

/// <summary>Two sites in one directory: the database and the stores of a Python site, and this program's catalog.</summary>
public sealed class AdoptFixture : IAsyncDisposable
{
    /// <summary>Key of the Python site (docs/spec/upstream.md#vectors).</summary>
    public const string Key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    /// <summary>What argon2-cffi made of <c>password</c> (Appendix A).</summary>
    public const string PasswordHash = "$argon2id$v=19$m=102400,t=2,p=8$hsMdyTcthyb6SGuao1vX5w$0HALQP46EGSm3tqinydpGw";

    private readonly PostgresServer _server;
    private readonly DatabaseKind _kind;
    private int _runs;

    private AdoptFixture(PostgresServer server, DatabaseKind kind, string? database)
    {
        (_server, _kind) = (server, kind);
        Settings = new(StringComparer.Ordinal)
        {
            ["Site:Name"] = "testsite",
            ["Site:PublicBaseUrl"] = "http://127.0.0.1:1",
            ["Site:DataDirectory"] = Path.Combine(Root, "data"),
            ["Site:EncryptionKey"] = Key,
            ["Site:Stores:0:Name"] = "main",
            ["Site:Stores:0:StagingPath"] = Staging,
            ["Site:Stores:0:StorePath"] = Store,
            ["Site:Peers:0:Name"] = "archive",
        };
        if (database is not null)
            (Settings["Site:Database"], Settings["Site:AllowUnsafeDatabase"]) = (database, "true");
        Directory.CreateDirectory(Staging);
        Directory.CreateDirectory(Store);
        File.WriteAllText(Path.Combine(Store, "something"), "");
    }

    public string Root { get; } = Directory.CreateTempSubdirectory("librarian-adopt-test-").FullName;

    public string Staging => Path.Combine(Root, "staging");

    public string Store => Path.Combine(Root, "store");

    public Dictionary<string, string> Settings { get; }

    public UpstreamSource Source { get; private set; } = null!;

    public static async Task<AdoptFixture> CreateAsync(
        DatabaseKind source,
        DatabaseKind catalog,
        PostgresServer server,
        Revision revision = Revision.Head
    )
    {
        var fixture = new AdoptFixture(
            server,
            catalog,
            catalog == DatabaseKind.PostgreSql ? await server.CreateDatabaseAsync() + UpstreamSource.ConnectionTimeouts : null
        );
        fixture.Source = await UpstreamSource.CreateAsync(source, server, fixture.Root, revision);
        return fixture;
    }

    /// <summary>Credentials as the Python site stores them.</summary>
    public static string Authenticator(string login = "testsite:secret", string key = Key) =>
        Fernet.TryCreate(key, TimeProvider.System, out var fernet)
            ? fernet.Encrypt(login)
            : throw new InvalidOperationException("not a key");

    /// <summary>Runs the verb with <c>--json</c>.</summary>
    public Task<AdoptRun> RunAsync(params string[] arguments) => RunAsync(null, arguments);

    /// <inheritdoc cref="RunAsync(string[])" />
    public async Task<AdoptRun> RunAsync(AdoptSeams? seams, params string[] arguments)
    {
        await using var output = new StringWriter();
        await using var errors = new StringWriter();
        var exit = await AdoptCommand.RunAsync(
            ["adopt", "--from", Source.ConnectionString, "--json", "--report", Report(++_runs), .. arguments],
            ReadOptions,
            output,
            errors,
            TimeProvider.System,
            seams
        );
        return new AdoptRun(exit, output.ToString(), errors.ToString());
    }

    /// <summary>The settings as the site reads them.</summary>
    public SiteOptions ReadOptions() =>
        new ConfigurationBuilder().AddInMemoryCollection(Settings!).Build().GetSection(SiteOptions.Section).Get<SiteOptions>()!;

    /// <summary>The lines that the last run wrote to its report file.</summary>
    public IEnumerable<(string Kind, string Row, string Effect, string Reason)> Lines() =>
        File.ReadLines(Report(_runs))
            .Select(line =>
            {
                var json = JsonDocument.Parse(line).RootElement;
                string Get(string property) => json.GetProperty(property).GetString()!;
                return (Get("kind"), Get("row"), Get("effect"), Get("reason"));
            });

    /// <summary>The catalog.</summary>
    public CatalogDatabase OpenCatalog() =>
        new(
            Settings.GetValueOrDefault("Site:Database")
                ?? $"Data Source={Path.Combine(Settings["Site:DataDirectory"], "catalog.db")};Pooling=False"
        );

    /// <summary>Whether the catalog has been made.</summary>
    public bool HasCatalogFile => File.Exists(Path.Combine(Settings["Site:DataDirectory"], "catalog.db"));

    /// <summary>A site on the catalog.</summary>
    public Task<TestSite> StartSiteAsync() => TestSite.CreateAsync(_kind, _server, settings: Settings, makeUsers: false);

    public async ValueTask DisposeAsync()
    {
        await Source.DisposeAsync();
        SqliteConnection.ClearAllPools();
        Directory.Delete(Root, recursive: true);
    }

    private string Report(int run) => Path.Combine(Root, $"report-{run}.jsonl");
}
