using System.Data.Common;
using Librarian.Durable.Stores;
using Librarian.Tests.TestKit;
using Npgsql;

namespace Librarian.Tests.Durable;

/// <summary>A database without an encoding, as initdb makes it where no locale is set.</summary>
public sealed class EncodingTests(PostgresServer server) : EngineTests(new SqlAsciiDatabase(server))
{
    [Fact]
    public async Task Database_WithoutAnEncoding_KeepsEveryCharacter()
    {
        const string Text = "ключ-é-📚-\\uD83D\\uDCDA-\"";
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<string, string>(Text, async (c, input) =>
                    await c.CallActivityAsync<string>(Text, input) + await c.WaitForExternalEvent<string>(Text)
                )
                .AddActivityFunc<string, string>(Text, (_, input) => Task.FromResult(input))
        );
        var tags = new Dictionary<string, string> { [Text] = Text };
        await host.Client.ScheduleNewOrchestrationInstanceAsync(Text, Text, new StartOrchestrationOptions(Text) { Tags = tags });
        await host.Client.RaiseEventAsync(Text, Text, Text);
        Assert.Equal(Text + Text, (await EndOf(host, Text)).ReadOutputAs<string>());
        var found = Assert.Single(
            await host.Client.GetAllInstancesAsync(new InstanceQuery { Tags = tags, InstanceIdPrefix = Text }).ToListAsync()
        );
        Assert.Equal(tags, found.Tags);
    }

    [Theory]
    [InlineData("plain")]
    [InlineData("📚")]
    [InlineData("\\uD83D\\uDCDA")]
    [InlineData("\\📚\\\\uD83D\\uDCDA\"")]
    public void Rows_AnyText_IsTheSameWhenRead(string text)
    {
        var json = (string)
            new SqlStatement("").WithRows("rows", [text], (writer, value) => writer.WriteString("a", value)).Values[0].Value!;
        Assert.Equal(text, System.Text.Json.JsonDocument.Parse(json).RootElement[0].GetProperty("a").GetString());
        Assert.Equal(text.Contains('\ud83d', StringComparison.Ordinal), json.Contains('\ud83d', StringComparison.Ordinal));
    }

    private sealed class SqlAsciiDatabase(PostgresServer server) : TestDatabase
    {
        private readonly PostgresDatabase _any = new(server);

        public override bool IsPostgres => true;

        public override void Use(IDurableTaskWorkerBuilder builder, string connectionString) => _any.Use(builder, connectionString);

        public override void Use(IDurableTaskClientBuilder builder, string connectionString) => _any.Use(builder, connectionString);

        public override DbConnection Connect(string connectionString) => _any.Connect(connectionString);

        protected override async Task<string> CreateAsync()
        {
            var settings = new NpgsqlConnectionStringBuilder(await _any.ConnectionStringAsync());
            await using var connection = new NpgsqlConnection(settings.ConnectionString);
            await connection.OpenAsync();
            settings.Database += "_ascii";
            await using var command = new NpgsqlCommand(
                $"create database {settings.Database} template template0 encoding 'SQL_ASCII'",
                connection
            );
            await command.ExecuteNonQueryAsync();
            return settings.ConnectionString;
        }

        public override ValueTask DisposeAsync() => _any.DisposeAsync();
    }
}
