using System.Data.Common;
using System.Net;
using System.Text;
using System.Text.Json;
using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Functions.Api;
using Librarian.Tests.Domain.Catalog;
using Librarian.Tests.Functions.Documentation;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

/// <summary>A whole site in this process, on either database, called over HTTP.</summary>
public sealed class TestSite : WebApplicationFactory<PingFunctions>
{
    private readonly DirectoryInfo _directory = System.IO.Directory.CreateTempSubdirectory("librarian-site-");
    private readonly ConnectionGate _connections = new();
    private readonly Dictionary<string, string> _settings;
    private readonly Action<IServiceCollection>? _services;
    private HttpClient? _client;

    private TestSite(string? database, Action<IServiceCollection>? services, IReadOnlyDictionary<string, string>? settings)
    {
        _services = services;
        _settings = Settings(_directory.FullName);
        if (database is not null)
            (_settings["Site:Database"], _settings["Site:AllowUnsafeDatabase"]) = (database, "true");
        foreach (var (key, value) in settings ?? new Dictionary<string, string>())
            _settings[key] = value;
    }

    /// <summary>Settings of every test site, on SQLite, with its files in a directory.</summary>
    public static Dictionary<string, string> Settings(string directory) =>
        new()
        {
            ["Site:Name"] = "testsite",
            ["Site:DisplayedName"] = "Test Site",
            ["Site:Description"] = "A site under test",
            ["Site:PublicBaseUrl"] = "http://127.0.0.1:1",
            ["Site:DataDirectory"] = Path.Combine(directory, "data"),
            ["Site:AdminPassword"] = "adminpw",
            ["Site:MaximalUploadSizeBytes"] = "1000000",
            ["Site:Stores:0:Name"] = "main",
            ["Site:Stores:0:StagingPath"] = Path.Combine(directory, "staging"),
            ["Site:Stores:0:StorePath"] = Path.Combine(directory, "store"),
            ["Site:LocalHostnames:0"] = "here",
            // Timers stay out of the way of the tests, which call what they do.
            ["Schedules:FindUnsyncedFiles"] = "0 0 0 1 1 *",
            ["Schedules:ReceiveStaged"] = "0 0 0 1 1 *",
            ["Schedules:ProbePeers"] = "0 0 0 1 1 *",
            ["Schedules:ReviewStaleTransfers"] = "0 0 0 1 1 *",
            ["Schedules:GreetPeers"] = "0 0 0 1 1 *",
            ["Schedules:RepairCorruptCopies"] = "0 0 0 1 1 *",
            ["Schedules:PurgeFinishedInstances"] = "0 0 0 1 1 *",
        };

    /// <summary>Where its files are.</summary>
    public string Directory => _directory.FullName;

    public string StagingPath => Path.Combine(_directory.FullName, "staging");

    public string StorePath => Path.Combine(_directory.FullName, "store");

    private string CatalogFile => Path.Combine(_settings["Site:DataDirectory"], "catalog.db");

    /// <summary>Counts the catalog's statements (the engine's own do not pass here).</summary>
    public StatementCounter Statements { get; } = new();

    public CatalogDatabase Catalog => Services.GetRequiredService<CatalogDatabase>();

    /// <summary>Requests with the site's address; the caller authorizes them.</summary>
    public HttpClient Http => _client!;

    /// <summary>Where it listens, for sites that were made to.</summary>
    public Uri Address =>
        new(Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.First());

    /// <param name="kind">Database.</param>
    /// <param name="server">Where PostgreSQL databases are made.</param>
    /// <param name="services">Replaces services.</param>
    /// <param name="settings">Settings beyond those of every test site.</param>
    /// <param name="listen">Whether it listens on a port of its own, so that others can call it over a socket.</param>
    /// <param name="makeUsers">Whether one account of each level is made.</param>
    public static async Task<TestSite> CreateAsync(
        DatabaseKind kind,
        PostgresServer server,
        Action<IServiceCollection>? services = null,
        IReadOnlyDictionary<string, string>? settings = null,
        bool listen = false,
        bool makeUsers = true
    )
    {
        // A test that says where the catalog is has one.
        var isNew = settings?.ContainsKey("Site:Database") != true && settings?.ContainsKey("Site:DataDirectory") != true;
        var database = isNew && kind == DatabaseKind.PostgreSql ? await MigratedCatalog.CreateAsync(server) : null;
        var site = new TestSite(database, services, settings);
        if (isNew && kind == DatabaseKind.Sqlite)
            await MigratedCatalog.CreateAsync(site.CatalogFile);
        if (listen)
            site.UseKestrel(0);
        site._client = site.CreateDefaultClient(new DocumentedAnswers());
        if (!makeUsers)
            return site;
        await site.UserAsync("reader", 1);
        await site.UserAsync("callback", 2);
        await site.UserAsync("uploader", 3);
        await site.UserAsync("other", 3);
        return site;
    }

    /// <summary>Posts JSON text; returns status and body.</summary>
    public async Task<(HttpStatusCode Status, JsonElement Body)> PostAsync(
        string path,
        string? json,
        string user = "admin",
        string? password = null
    )
    {
        using var response = await SendAsync(path, json, Basic(user, password ?? Password(user)));
        var text = await response.Content.ReadAsStringAsync();
        return (response.StatusCode, text.Length == 0 ? default : JsonDocument.Parse(text).RootElement);
    }

    /// <summary>Sends anything.</summary>
    public Task<HttpResponseMessage> SendAsync(string path, string? json, string? authorization, HttpMethod? method = null) =>
        _client!.SendAsync(Request(path, json, authorization, method));

    /// <summary>A request of an address below the API's.</summary>
    public static HttpRequestMessage Request(string path, string? json, string? authorization, HttpMethod? method = null)
    {
        var request = new HttpRequestMessage(method ?? HttpMethod.Post, "/api/v2/" + path);
        if (json is not null)
            request.Content = new StringContent(json, Encoding.UTF8, "application/json");
        if (authorization is not null)
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        return request;
    }

    public static string Basic(string user, string password) =>
        "Basic " + Convert.ToBase64String(Encoding.ASCII.GetBytes($"{user}:{password}"));

    public static string Password(string user) => user + "pw";

    /// <summary>Stages an upload and returns its transfer id and location.</summary>
    public async Task<(long Id, string Location, string StagingName)> StageAsync(
        string name,
        string checksum,
        long size,
        string user = "uploader"
    )
    {
        var (status, body) = await PostAsync(
            "upload/stage",
            $$"""
            {"upload_size":{{size}},"upload_checksum":"{{checksum}}",
             "upload_name":"{{name.Split('/')[^1]}}","destination_location":"{{name}}","uploader":"{{user}}"}
            """,
            user
        );
        Assert.Equal(HttpStatusCode.Created, status);
        return (
            body.GetProperty("transfer_id").GetInt64(),
            body.GetProperty("staging_location").GetString()!,
            body.GetProperty("staging_name").GetString()!
        );
    }

    /// <summary>Commits an upload.</summary>
    public Task<(HttpStatusCode Status, JsonElement Body)> CommitAsync(
        long id,
        string name,
        string user = "uploader",
        string store = "main"
    ) =>
        PostAsync(
            "upload/commit",
            $$"""
            {"store_name":"{{store}}","staging_name":"x","staging_location":"/x","upload_name":"x",
             "destination_location":"{{name}}","transfer_provider_name":"local","transfer_provider":{"hostnames":["here"]},
             "meta_mode":"infer","deletion_policy":"1","uploader":"{{user}}","null_obsid":true,"transfer_id":{{id}}}
            """,
            user
        );

    protected override void ConfigureWebHost(IWebHostBuilder builder)
    {
        foreach (var (key, value) in _settings)
            builder.UseSetting(key, value);
        var connection = _settings.GetValueOrDefault("Site:Database") ?? $"Data Source={CatalogFile}";
        builder.ConfigureServices(services =>
        {
            services.AddSingleton(provider => new CatalogDatabase(
                connection,
                [Statements, _connections, .. provider.GetServices<IInterceptor>()]
            ));
            // Every site has five accounts; at the real cost their passwords would be a third of the tests' time. Domain.Tests test
            // that cost.
            services.AddSingleton(_ => new PasswordHasher(new PasswordHasherOptions { Cost = new Argon2Cost(64, 1, 1) }));
            _services?.Invoke(services);
        });
    }

    public override async ValueTask DisposeAsync()
    {
        _client?.Dispose();
        await base.DisposeAsync();
        await _connections.CloseAsync().WaitAsync(Wait.Limit);
        SqliteConnection.ClearAllPools();
        _directory.Delete(recursive: true);
    }

    private async Task UserAsync(string name, int level)
    {
        var (status, _) = await PostAsync(
            "users/create",
            $$"""{"username":"{{name}}","password":"{{Password(name)}}","permission":{{level}}}"""
        );
        Assert.Equal(HttpStatusCode.Created, status);
    }
}

/// <summary>
/// Counts what EF Core sends, except the reading of accounts: the site reads an account again when the last reading is a second old, and
/// how many seconds a test takes says nothing.
/// </summary>
public sealed class StatementCounter : DbCommandInterceptor
{
    private int _count;

    public int Count => Volatile.Read(ref _count);

    public void Reset() => Volatile.Write(ref _count, 0);

    public override ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<DbDataReader> result,
        CancellationToken cancellationToken = default
    )
    {
        // As SQLite's provider writes it, and as PostgreSQL's does.
        if (
            !command.CommandText.Contains("FROM \"users\"", StringComparison.Ordinal)
            && !command.CommandText.Contains("FROM users", StringComparison.Ordinal)
        )
            Interlocked.Increment(ref _count);
        return new(result);
    }

    public override ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<int> result,
        CancellationToken cancellationToken = default
    )
    {
        Interlocked.Increment(ref _count);
        return new(result);
    }
}
