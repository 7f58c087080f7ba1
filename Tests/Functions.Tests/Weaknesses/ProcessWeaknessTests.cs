using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Librarian.Domain.Security;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Weaknesses;

/// <summary>Weaknesses that only a site in a process of its own can show: what it prints, and the time zone it lives in.</summary>
public sealed partial class ProcessWeaknessTests(PostgresServer server) : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-process-");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Delete(recursive: true);

    [Theory, InlineData(false), InlineData(true)]
    public async Task W44_SecretsOfASite_AreNotInItsOutputEvenAtTraceLevel(bool postgres)
    {
        const string Admin = "s3cret-Admin",
            Database = "s3cret-Database",
            Peer = "s3cret:Summit",
            User = "s3cret-User",
            Wrong = "s3cret-Wrong",
            Fresh = "s3cret-Fresh";
        var key = Fernet.GenerateKey();
        await using (
            var site = new SiteProcess(
                "loud",
                _directory.FullName,
                postgres ? await server.CreateDatabaseAsync(Stop) + ";Password=" + Database : null
            )
        )
        {
            site.Set("Site__AdminPassword", Admin);
            site.Set("Site__EncryptionKey", key);
            foreach (
                var category in new[]
                {
                    "Default",
                    "Microsoft",
                    "System",
                    "Microsoft__EntityFrameworkCore",
                    "Npgsql",
                    "Microsoft__Hosting__Lifetime",
                }
            )
                site.Set("Logging__LogLevel__" + category.Replace("__", ".", StringComparison.Ordinal), "Trace");
            await site.StartAsync(Stop);
            Assert.Equal(
                201,
                (
                    await PostAsync(site, "users/create", $$"""{"username":"u","password":"{{User}}","permission":3}""", "admin", Admin)
                ).Status
            );
            var (added, _) = await PostAsync(
                site,
                "admin/librarians/add",
                $$"""
                {"librarian_name":"n","url":"http://127.0.0.1","port":1,
                 "authenticator":"loud:{{Peer}}","check_connection":false}
                """,
                "admin",
                Admin
            );
            Assert.Equal(200, added);
            Assert.Equal(200, (await PostAsync(site, "admin/librarians/list", """{"ping":true}""", "admin", Admin)).Status);
            Assert.Equal(
                400,
                (
                    await PostAsync(
                        site,
                        "admin/librarians/add",
                        $$"""{"librarian_name":"","url":"http://127.0.0.1","port":1,"authenticator":"loud:{{Peer}}"}""",
                        "admin",
                        Admin
                    )
                ).Status
            );
            Assert.Equal(
                422,
                (await PostAsync(site, "users/create", $$"""{"username":5,"password":"{{User}}","permission":3}""", "admin", Admin)).Status
            );
            Assert.Equal(
                422,
                (await PostAsync(site, "users/create", $$"""{"username":"v","password":"{{User}}" oops""", "admin", Admin)).Status
            );
            Assert.Equal(401, (await PostAsync(site, "ping/logged", "{}", "u", Wrong)).Status);
            Assert.Equal(
                400,
                (
                    await PostAsync(site, "users/password_update", $$"""{"password":"{{Wrong}}","new_password":"{{Fresh}}"}""", "u", User)
                ).Status
            );
            Assert.Equal(
                200,
                (
                    await PostAsync(site, "users/password_update", $$"""{"password":"{{User}}","new_password":"{{Fresh}}"}""", "u", User)
                ).Status
            );
            Assert.Equal(
                422,
                (
                    await PostAsync(
                        site,
                        "users/create",
                        $$"""{"username":"{{new string('v', 300)}}","password":"{{User}}","permission":99}""",
                        "admin",
                        Admin
                    )
                ).Status
            );
            await site.KillAsync();

            var output = site.Output;
            // It was loud, so silence is no accident.
            Assert.Contains("trce:", output, StringComparison.Ordinal);
            Assert.Contains("Refused u at", output, StringComparison.Ordinal);
            var secrets = new[] { Admin, Database, Peer, "Summit", User, Wrong, Fresh, key, key.TrimEnd('=') };
            foreach (
                var secret in secrets.Concat(
                    new[] { ("admin", Admin), ("u", User), ("u", Wrong), ("u", Fresh), ("loud", Peer) }.Select(p =>
                        Base64(p.Item1, p.Item2)
                    )
                )
            )
                Assert.False(output.Contains(secret, StringComparison.Ordinal), $"'{secret}' was printed:\n{Around(output, secret)}");
        }
    }

    [Fact]
    public async Task W44_FirstAdministrator_HasNoDefaultPasswordAndTheGeneratedOneIsShownOnce()
    {
        await using var site = new SiteProcess("fresh", _directory.FullName);
        site.Set("Site__AdminPassword", "");
        await site.StartAsync(Stop);
        await site.WaitForOutputAsync("First administrator: ");
        var password = Announcement().Match(site.Output).Groups["password"].Value;
        Assert.Equal(24, password.Length);
        Assert.Equal(200, (await PostAsync(site, "ping/admin", "{}", "admin", password)).Status);
        foreach (var guess in new[] { "password", "admin", "x" })
            Assert.Equal(401, (await PostAsync(site, "ping/admin", "{}", "admin", guess)).Status);
        await site.KillAsync();
        await site.StartAsync(Stop);
        Assert.Equal(200, (await PostAsync(site, "ping/admin", "{}", "admin", password)).Status);
        Assert.Single(Regex.Matches(site.Output, password, RegexOptions.None, TimeSpan.FromSeconds(5)));
    }

    [Fact]
    public async Task W19_SiteInAnotherTimeZone_RecordsUtc()
    {
        Assert.Equal(TimeSpan.FromMinutes(330), TimeZoneInfo.FindSystemTimeZoneById("Asia/Kolkata").BaseUtcOffset);
        await using var site = new SiteProcess("kolkata", _directory.FullName, await server.CreateDatabaseAsync(Stop));
        site.Set("TZ", "Asia/Kolkata");
        await site.StartAsync(Stop);
        var (_, staged) = await PostAsync(
            site,
            "upload/stage",
            """
            {"upload_size":11,"upload_checksum":"xxh3:::df8d09e93f874900a99b8775cc15b6c7",
             "upload_name":"a","destination_location":"a","uploader":"u"}
            """,
            "admin",
            SiteProcess.AdminPassword
        );
        await File.WriteAllTextAsync(staged.GetProperty("staging_location").GetString()!, "hello world", Stop);
        var (committed, _) = await PostAsync(
            site,
            "upload/commit",
            $$"""
            {"store_name":"main","staging_name":"x","staging_location":"/x","upload_name":"x","destination_location":"a",
             "transfer_provider_name":"local","transfer_provider":{"hostnames":["here"]},"meta_mode":"infer",
             "deletion_policy":"0","uploader":"u","transfer_id":{{staged.GetProperty("transfer_id")}}}
            """,
            "admin",
            SiteProcess.AdminPassword
        );
        Assert.Equal(200, committed);
        var now = DateTime.UtcNow;
        var (_, hits) = await PostAsync(
            site,
            "search/file",
            $$"""{"create_time_window":["{{now.AddMinutes(-10):s}}","{{now.AddMinutes(10):s}}"]}""",
            "admin",
            SiteProcess.AdminPassword
        );
        foreach (var time in new[] { hits[0].GetProperty("create_time"), hits[0].GetProperty("instances")[0].GetProperty("created_time") })
            Assert.InRange(DateTime.Parse(time.GetString()!), now.AddMinutes(-10), now.AddMinutes(10));
    }

    private static async Task<(int Status, JsonElement Body)> PostAsync(
        SiteProcess site,
        string path,
        string json,
        string user,
        string password
    )
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, $"{site.Url}/api/v2/{path}")
        {
            Content = new StringContent(json, Encoding.UTF8, "application/json"),
        };
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Base64(user, password));
        using var response = await http.SendAsync(request, Stop);
        var text = await response.Content.ReadAsStringAsync(Stop);
        return ((int)response.StatusCode, text.Length == 0 ? default : JsonDocument.Parse(text).RootElement);
    }

    private static string Base64(string user, string password) => Convert.ToBase64String(Encoding.ASCII.GetBytes($"{user}:{password}"));

    private static string Around(string output, string text)
    {
        var at = output.IndexOf(text, StringComparison.Ordinal);
        return at < 0 ? "" : output[Math.Max(0, at - 300)..Math.Min(output.Length, at + 300)];
    }

    [GeneratedRegex("First administrator: admin, password: (?<password>[A-Za-z0-9]+) ", RegexOptions.None, matchTimeoutMilliseconds: 5000)]
    private static partial Regex Announcement();
}
