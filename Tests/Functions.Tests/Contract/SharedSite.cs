using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Functions.Contract;

/// <summary>One site for all rows of the table: starting one for each would take most of the time.</summary>
public abstract class SharedSite(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    public TestSite Site { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Site = await TestSite.CreateAsync(kind, server);
        var (status, _) = await Site.PostAsync("users/create", """{"username":"writer","password":"writerpw","permission":4}""");
        Assert.Equal(201, (int)status);
        (status, _) = await Site.PostAsync("users/create", """{"username":"nothing","password":"nothingpw","permission":0}""");
        Assert.Equal(201, (int)status);
    }

    public async ValueTask DisposeAsync()
    {
        await Site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>Every row that requests may change and of every path on the disk, as text. Logins and recorded errors are not state of the contract.</summary>
    /// <remarks>What an accepted request has started goes on in the background; this waits until nothing is under way and two looks see the same.</remarks>
    public async Task<string> FingerprintAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        var before = "";
        while (true)
        {
            var busy = await IsBusyAsync();
            var now = await LookAsync();
            if (!busy && now == before) return now;
            before = now;
            Assert.False(limit.IsCancellationRequested, "the site never comes to rest");
            await Task.Delay(5);
        }
    }

    /// <summary>What of a fingerprint is gone and what is new, line by line; empty when nothing is.</summary>
    public static string Difference(string before, string after)
    {
        var (old, now) = (before.Split('\n'), after.Split('\n'));
        return string.Join('\n', old.Except(now, StringComparer.Ordinal).Select(line => "- " + line).Concat(now.Except(old, StringComparer.Ordinal).Select(line => "+ " + line)));
    }

    private async Task<bool> IsBusyAsync()
    {
        await using var db = Site.Catalog.Open();
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        return await db.Database.SqlQuery<int>($"select cast((select count(*) from dt_activity) + (select count(*) from dt_inbox b join dt_instance i on i.instance_id = b.instance_id where b.visible_at <= {now} and i.status <> 3) as int) as \"Value\"").SingleAsync() > 0;
    }

    private async Task<string> LookAsync()
    {
        await using var db = Site.Catalog.Open();
        var text = new StringBuilder();
        foreach (var table in new[] { "files", "instances", "remote_instances", "store_metadata", "incoming_transfers", "outgoing_transfers", "clone_transfers", "librarians", "send_queue", "corrupt_files", "users" })
        {
            await using var command = db.Database.GetDbConnection().CreateCommand();
            if (command.Connection!.State != System.Data.ConnectionState.Open) await command.Connection.OpenAsync();
            command.CommandText = $"select * from {table} order by 1";
            await using var reader = await command.ExecuteReaderAsync();
            text.Append(table).Append('\n');
            while (await reader.ReadAsync())
            {
                for (var i = 0; i < reader.FieldCount; i++) text.Append(reader.GetValue(i)).Append('|');
                text.Append('\n');
            }
        }

        foreach (var instance in await db.Database.SqlQuery<string>($"select instance_id as \"Value\" from dt_instance order by 1").ToListAsync()) text.Append(instance).Append('\n');
        foreach (var root in new[] { Site.StagingPath, Site.StorePath })
        {
            foreach (var entry in Directory.EnumerateFileSystemEntries(root, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)) text.Append(entry).Append('\n');
        }

        return text.ToString();
    }
}

public sealed class SqliteSite(PostgresServer server) : SharedSite(server, DatabaseKind.Sqlite);

public sealed class PostgresSite(PostgresServer server) : SharedSite(server, DatabaseKind.PostgreSql);
