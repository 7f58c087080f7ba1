using Librarian.Tests.TestKit;
using Npgsql;

[assembly: AssemblyFixture(typeof(PostgresServer))]

namespace Librarian.Tests.Domain;

public class PostgresServerTests(PostgresServer server)
{
    [Fact]
    public async Task CreateDatabase_FreshServer_AnswersQueries()
    {
        await using var connection = new NpgsqlConnection(await server.CreateDatabaseAsync(TestContext.Current.CancellationToken));
        await connection.OpenAsync(TestContext.Current.CancellationToken);
        await using var command = new NpgsqlCommand("select 41 + 1", connection);
        Assert.Equal(42, await command.ExecuteScalarAsync(TestContext.Current.CancellationToken));
    }
}
