using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Librarian.Tests.TestKit;
using Npgsql;

namespace Librarian.Tests.EndToEnd;

/// <summary>The PostgreSQL server is away when a site starts, goes away while it runs, or has no connection left.</summary>
public sealed class DatabaseAwayTests : IAsyncLifetime
{
    private readonly PostgresServer _server = new();
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-away-");

    public ValueTask InitializeAsync() => _server.InitializeAsync();

    [Fact]
    public async Task Start_DatabaseAway_WaitsWithOneLineAndStartsWhenItComes()
    {
        var stop = TestContext.Current.CancellationToken;
        var database = await _server.CreateDatabaseAsync(stop) + ";Password=s3cret";
        await _server.StopAsync();
        await using var site = new SiteProcess("waits", _directory.FullName, database);
        var waited = System.Diagnostics.Stopwatch.StartNew();
        site.Start();
        await site.WaitForOutputAsync("cannot be reached yet");
        Assert.True(site.IsRunning);

        await _server.StartAsync();
        await site.WaitUntilReadyAsync(stop);

        Assert.Contains("The database of Site:Database (PostgreSQL at 127.0.0.1:", site.Output, StringComparison.Ordinal);
        // Said again once a minute.
        Assert.InRange(
            site.Output.Split('\n').Count(l => l.Contains("cannot be reached yet", StringComparison.Ordinal)),
            1,
            1 + (int)waited.Elapsed.TotalMinutes
        );
        Assert.DoesNotContain("s3cret", site.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", site.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_DatabaseAwayForLongerThanTheSetting_EndsWithOneSentence()
    {
        var stop = TestContext.Current.CancellationToken;
        var database = await _server.CreateDatabaseAsync(stop);
        await _server.StopAsync();
        await using var site = new SiteProcess("gives-up", _directory.FullName, database);
        site.Set("Site__DatabaseWait", "00:00:01");
        site.Start();

        Assert.Equal(1, await site.ExitAsync(stop));
        Assert.Contains("could not be reached for 00:00:01 (Site:DatabaseWait)", site.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", site.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_DatabaseThatForgets_IsRefused()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var site = new SiteProcess("unsafe", _directory.FullName, await _server.CreateDatabaseAsync(stop));
        site.Set("Site__AllowUnsafeDatabase", "false");
        site.Start();

        Assert.Equal(1, await site.ExitAsync(stop));
        Assert.Contains("fsync and full_page_writes are off in the database of Site:Database", site.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", site.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Running_DatabaseGoesAndComesBack_RequestsAre503AndWorkGoesOn()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var site = new SiteProcess("goes-on", _directory.FullName, await _server.CreateDatabaseAsync(stop));
        await site.StartAsync(stop);
        using var http = new HttpClient { BaseAddress = new Uri(site.Url) };
        Assert.Equal(HttpStatusCode.Created, (await StageAsync(http, "a", stop)).StatusCode);

        await _server.StopAsync("immediate");
        using (var away = await StageAsync(http, "b", stop))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, away.StatusCode);
            Assert.Equal(TimeSpan.FromSeconds(10), away.Headers.RetryAfter?.Delta);
            Assert.Contains(
                "The site's database cannot be reached at the moment.",
                await away.Content.ReadAsStringAsync(stop),
                StringComparison.Ordinal
            );
        }

        await _server.StartAsync();
        var uploaded = await UntilAsync(
            async () =>
            {
                var answer = await StageAsync(http, "c", stop);
                return answer.StatusCode == HttpStatusCode.Created ? answer : null;
            },
            site
        );
        // A timer of the site takes what is staged, an engine's worker ingests it.
        var text = await uploaded.Content.ReadAsStringAsync(stop);
        var document = System.Text.Json.JsonDocument.Parse(text).RootElement;
        await File.WriteAllTextAsync(document.GetProperty("staging_location").GetString()!, "hello world", stop);
        var id = document.GetProperty("transfer_id").GetInt64();
        using var commit = await PostAsync(
            http,
            "upload/commit",
            $$"""
            {"store_name":"main","staging_name":"x","staging_location":"/x","upload_name":"x","destination_location":"c",
            "transfer_provider_name":"local","transfer_provider":{"hostnames":["here"]},
            "meta_mode":"infer","deletion_policy":"1","uploader":"admin","null_obsid":true,"transfer_id":{{id}}}
            """,
            stop
        );
        Assert.True(commit.IsSuccessStatusCode, await commit.Content.ReadAsStringAsync(stop));
        Assert.True(site.IsRunning);
    }

    [Fact]
    public async Task Running_NoConnectionLeft_Is503WithRetryAfter()
    {
        var stop = TestContext.Current.CancellationToken;
        var database = await _server.CreateDatabaseAsync(stop);
        await using var site = new SiteProcess("crowded", _directory.FullName, database);
        await site.StartAsync(stop);
        using var http = new HttpClient { BaseAddress = new Uri(site.Url) };
        var name = new NpgsqlConnectionStringBuilder(database).Database;
        await using (var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(database) { Database = "postgres" }))
        {
            // No account gets a new connection to it, and those that are open end: what is left is as when all are in use.
            await using (var limit = source.CreateCommand($"alter database {name} connection limit 0; alter role librarian nosuperuser"))
                await limit.ExecuteNonQueryAsync(stop);
            await using (var end = source.CreateCommand($"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"))
                await end.ExecuteNonQueryAsync(stop);
        }

        var refused = await UntilAsync(
            async () =>
            {
                var answer = await StageAsync(http, "b", stop);
                return answer.StatusCode == HttpStatusCode.ServiceUnavailable ? answer : null;
            },
            site
        );

        Assert.Equal(TimeSpan.FromSeconds(10), refused.Headers.RetryAfter?.Delta);
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    private static Task<HttpResponseMessage> StageAsync(HttpClient http, string name, CancellationToken stop) =>
        PostAsync(
            http,
            "upload/stage",
            $$"""
            {"upload_size":11,"upload_checksum":"xxh3:::df8d09e93f874900a99b8775cc15b6c7",
            "upload_name":"{{name}}","destination_location":"{{name}}","uploader":"admin"}
            """,
            stop
        );

    private static Task<HttpResponseMessage> PostAsync(HttpClient http, string route, string json, CancellationToken stop)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/api/v2/" + route)
        {
            Content = new StringContent(json, Encoding.UTF8, "application/json"),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue(
            "Basic",
            Convert.ToBase64String(Encoding.ASCII.GetBytes($"{SiteProcess.AdminUser}:{SiteProcess.AdminPassword}"))
        );
        return http.SendAsync(request, stop);
    }

    private static async Task<T> UntilAsync<T>(Func<Task<T?>> find, SiteProcess site)
        where T : class
    {
        T? found = null;
        await Wait.UntilAsync(async () => (found = await find()) is not null, () => "the answer:\n" + site.Output, pause: TwoSites.Pause);
        return found!;
    }
}
