using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Functions.Hosting;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.Functions.Documentation;
using Librarian.Tests.Functions.Hosting;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;

namespace Librarian.Tests.Functions.Contract;

public sealed class SqliteSiteBehindHost(PostgresServer server) : BehindHostSite(server, DatabaseKind.Sqlite);

public sealed class PostgresSiteBehindHost(PostgresServer server) : BehindHostSite(server, DatabaseKind.PostgreSql);

/// <summary>The shared site as the isolated worker of a host, in a process of its own.</summary>
public abstract class BehindHostSite(PostgresServer server, DatabaseKind kind) : SharedSite
{
    private readonly DirectoryInfo _directory = System.IO.Directory.CreateTempSubdirectory("hosted-contract-");
    private FunctionsHostDouble _host = null!;
    private CatalogDatabase _catalog = null!;
    private HttpClient _http = null!;

    public override HttpClient Http => _http;

    public override CatalogDatabase Catalog => _catalog;

    public override string Directory => _directory.FullName;

    public override string Output => _host?.Output ?? "";

    public override async ValueTask DisposeAsync()
    {
        _http?.Dispose();
        if (_host is not null)
            await _host.DisposeAsync();
        _catalog?.Dispose();
        SqliteConnection.ClearAllPools();
        _directory.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    protected override async Task StartAsync()
    {
        var settings = TestSite.Settings(Directory);
        var database = $"Data Source={Path.Combine(settings["Site:DataDirectory"], "catalog.db")}";
        if (kind == DatabaseKind.PostgreSql)
        {
            database = await server.CreateDatabaseAsync();
            (settings["Site:Database"], settings["Site:AllowUnsafeDatabase"]) = (database, "true");
        }

        _host = await FunctionsHostDouble.StartAsync(settings);
        await _host.WhenReadyAsync();
        _catalog = new CatalogDatabase(database);
        _http = new HttpClient(new DocumentedAnswers { InnerHandler = new RepeatDeferred { InnerHandler = new SocketsHttpHandler() } })
        {
            BaseAddress = _host.Address,
            Timeout = TimerFixture.WaitTimeout,
        };
    }

    /// <summary>
    /// Does as the answer to a request that did not reach its function in time says; a machine that runs tests is often starved.
    /// </summary>
    private sealed class RepeatDeferred : DelegatingHandler
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            while (true)
            {
                var response = await base.SendAsync(request, cancellationToken);
                if (response.StatusCode != HttpStatusCode.ServiceUnavailable)
                    return response;
                await response.Content.LoadIntoBufferAsync(cancellationToken);
                if (
                    !(await response.Content.ReadAsStringAsync(cancellationToken)).Contains(
                        UnpairedRequests.Reason,
                        StringComparison.Ordinal
                    )
                )
                    return response;
                response.Dispose();
            }
        }
    }
}
