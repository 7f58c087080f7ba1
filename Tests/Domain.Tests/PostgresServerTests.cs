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

    [Fact]
    public async Task CreateCopy_OfADatabase_HasItsRowsAndIsNotThatDatabase()
    {
        var (stop, filled) = (TestContext.Current.CancellationToken, 0);
        for (var copy = 1; copy <= 2; copy++)
        {
            var connection = await server.CreateCopyAsync("rows", FillAsync, stop);
            Assert.Equal(1L, await ScalarAsync(connection, "insert into t values (2); select count(*) from t where n = 1", stop));
            Assert.Equal(2L, await ScalarAsync(connection, "select count(*) from t", stop));
        }

        Assert.Equal(1, filled);

        async Task FillAsync(string connection)
        {
            filled++;
            await ScalarAsync(connection, "create table t (n int); insert into t values (1)", stop);
        }
    }

    [Fact, Quick]
    public async Task CreateDatabase_ForATestOfTheQuickTier_IsRefused()
    {
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() =>
            server.CreateDatabaseAsync(TestContext.Current.CancellationToken)
        );
        Assert.Contains(nameof(CreateDatabase_ForATestOfTheQuickTier_IsRefused), refusal.Message, StringComparison.Ordinal);
        Assert.Contains("is of the quick tier, and uses a PostgreSQL server", refusal.Message, StringComparison.Ordinal);
    }

    private static async Task<object?> ScalarAsync(string connection, string sql, CancellationToken stop)
    {
        // Its pool still holds the connection when the database is copied.
        await using var opened = new NpgsqlConnection(connection);
        await opened.OpenAsync(stop);
        await using var command = new NpgsqlCommand(sql, opened);
        return await command.ExecuteScalarAsync(stop);
    }
}
