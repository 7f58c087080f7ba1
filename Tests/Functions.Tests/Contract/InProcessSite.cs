using Librarian.Domain.Catalog;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Contract;

public sealed class SqliteSite(PostgresServer server) : InProcessSite(server, DatabaseKind.Sqlite);

public sealed class PostgresSite(PostgresServer server) : InProcessSite(server, DatabaseKind.PostgreSql);

/// <summary>The shared site in the tests' own process, which serves by itself.</summary>
public abstract class InProcessSite(PostgresServer server, DatabaseKind kind) : SharedSite
{
    private TestSite _site = null!;

    public override HttpClient Http => _site.Http;

    public override CatalogDatabase Catalog => _site.Catalog;

    public override string Directory => _site.Directory;

    public override async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    protected override async Task StartAsync() => _site = await TestSite.CreateAsync(kind, server, makeUsers: false);
}
