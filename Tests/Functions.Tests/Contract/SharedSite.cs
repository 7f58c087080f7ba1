using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Tests.Functions.Api;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Functions.Contract;

/// <summary>One site for all rows of the table: starting one for each would take most of the time.</summary>
public abstract class SharedSite : IAsyncLifetime
{
    /// <summary>
    /// Requests with the site's address; the caller authorizes them. It fails for answers that the API's description lacks.
    /// </summary>
    public abstract HttpClient Http { get; }

    /// <summary>The site's catalog, to look behind the API.</summary>
    public abstract CatalogDatabase Catalog { get; }

    /// <summary>Where the site keeps its files.</summary>
    public abstract string Directory { get; }

    public async ValueTask InitializeAsync()
    {
        try
        {
            await StartAsync();
            await AddAccountsAsync();
        }
        catch (Exception exception)
        {
            // xunit does not dispose what has not been initialized.
            var output = Output;
            await DisposeAsync();
            throw new InvalidOperationException($"{exception.Message}\n{output}", exception);
        }
    }

    /// <summary>Everything the site has printed, where it is a process of its own.</summary>
    public virtual string Output => "";

    public abstract ValueTask DisposeAsync();

    /// <summary>Sends anything to the API.</summary>
    public Task<HttpResponseMessage> SendAsync(string path, string? json, string? authorization, HttpMethod? method = null) =>
        Http.SendAsync(TestSite.Request(path, json, authorization, method));

    /// <summary>Starts it, without accounts.</summary>
    protected abstract Task StartAsync();

    /// <summary>
    /// Every row that requests may change and of every path on the disk, as text. Logins and recorded errors are not state of the contract.
    /// </summary>
    /// <remarks>
    /// What an accepted request has started goes on in the background; this waits until nothing is under way and two looks see the same.
    /// </remarks>
    public async Task<string> FingerprintAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        var before = "";
        while (true)
        {
            var busy = await IsBusyAsync();
            var now = await ReadStateAsync();
            if (!busy && now == before)
                return now;
            before = now;
            Assert.False(limit.IsCancellationRequested, "the site never comes to rest");
            await Task.Delay(5);
        }
    }

    /// <summary>What of a fingerprint is gone and what is new, line by line; empty when nothing is.</summary>
    public static string Difference(string before, string after)
    {
        var (old, now) = (before.Split('\n'), after.Split('\n'));
        return string.Join(
            '\n',
            old.Except(now, StringComparer.Ordinal)
                .Select(line => "- " + line)
                .Concat(now.Except(old, StringComparer.Ordinal).Select(line => "+ " + line))
        );
    }

    private async Task AddAccountsAsync()
    {
        foreach (var (user, level) in new[] { ("reader", 1), ("callback", 2), ("uploader", 3), ("writer", 4), ("nothing", 0) })
        {
            var json = $$"""{"username":"{{user}}","password":"{{TestSite.Password(user)}}","permission":{{level}}}""";
            using var response = await SendAsync("users/create", json, TestSite.Basic("admin", "adminpw"));
            Assert.Equal(201, (int)response.StatusCode);
        }
    }

    private async Task<bool> IsBusyAsync()
    {
        await using var db = Catalog.Open();
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        var work = db.Database.SqlQuery<int>(
            $"""
            select cast((select count(*) from dt_activity) +
              (select count(*) from dt_inbox b join dt_instance i on i.instance_id = b.instance_id
               where b.visible_at <= {now} and i.status <> 3) as int) as "Value"
            """
        );
        return await work.SingleAsync() > 0;
    }

    private async Task<string> ReadStateAsync()
    {
        await using var db = Catalog.Open();
        var text = new StringBuilder();
        foreach (
            var table in new[]
            {
                "files",
                "instances",
                "remote_instances",
                "store_metadata",
                "incoming_transfers",
                "outgoing_transfers",
                "clone_transfers",
                "librarians",
                "send_queue",
                "corrupt_files",
                "users",
            }
        )
        {
            await using var command = db.Database.GetDbConnection().CreateCommand();
            if (command.Connection!.State != System.Data.ConnectionState.Open)
                await command.Connection.OpenAsync();
            command.CommandText = $"select * from {table} order by 1";
            await using var reader = await command.ExecuteReaderAsync();
            text.Append(table).Append('\n');
            while (await reader.ReadAsync())
            {
                for (var i = 0; i < reader.FieldCount; i++)
                    text.Append(reader.GetValue(i)).Append('|');
                text.Append('\n');
            }
        }

        foreach (
            var instance in await db.Database.SqlQuery<string>($"select instance_id as \"Value\" from dt_instance order by 1").ToListAsync()
        )
            text.Append(instance).Append('\n');
        foreach (var root in new[] { Path.Combine(Directory, "staging"), Path.Combine(Directory, "store") })
        {
            foreach (
                var entry in System
                    .IO.Directory.EnumerateFileSystemEntries(root, "*", SearchOption.AllDirectories)
                    .Order(StringComparer.Ordinal)
            )
                text.Append(entry).Append('\n');
        }

        return text.ToString();
    }
}
