using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using Librarian.Cli;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.EndToEnd.Drives;

/// <summary>
/// Two real sites that know each other but cannot reach each other unless a test lets them, and drives that are tmpfs mounts of a fixed
/// size: carried by moving the mount, full when they are full, unplugged by moving them away.
/// </summary>
public sealed class DriveFixture : IAsyncDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-drives-");
    private readonly List<string> _mounts = [];
    private readonly HttpListener? _webhook;
    private readonly List<string> _alerts = [];
    private int _sources;

    private DriveFixture(string? mountainDatabase, string? archiveDatabase)
    {
        Mountain = new SiteProcess("mountain", _directory.FullName, mountainDatabase);
        Archive = new SiteProcess("archive", _directory.FullName, archiveDatabase);
        foreach (var site in new[] { Mountain, Archive })
        {
            site.Set("Site__Drives__PollInterval", "00:00:01");
            site.Set("Schedules__WatchDrives", "*/2 * * * * *");
        }

        var port = PostgresServer.FreePort();
        _webhook = new HttpListener();
        _webhook.Prefixes.Add($"http://127.0.0.1:{port}/hook/");
        _webhook.Start();
        _ = Task.Run(ListenAsync);
        Mountain.Set("Site__Alerts__Webhooks__0__Url", $"http://127.0.0.1:{port}/hook/");
        Mountain.Set("Site__Alerts__Webhooks__1__Url", $"http://127.0.0.1:{port}/hook/json");
        Mountain.Set("Site__Alerts__Webhooks__1__Format", "json");
    }

    public SiteProcess Mountain { get; }

    public SiteProcess Archive { get; }

    /// <summary>Bodies that the webhooks have taken so far.</summary>
    public IReadOnlyList<string> Alerts
    {
        get
        {
            lock (_alerts)
                return [.. _alerts];
        }
    }

    /// <summary>Answers of the webhook before it takes anything.</summary>
    public int WebhookRefusals { get; set; } = 2;

    /// <param name="server">PostgreSQL for both, or null for SQLite.</param>
    /// <param name="reachable">Whether they have each other's real address; without it the addresses lead nowhere.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task<DriveFixture> StartAsync(PostgresServer? server, bool reachable, CancellationToken cancellationToken)
    {
        var fixture = new DriveFixture(
            server is null ? null : await server.CreateDatabaseAsync(cancellationToken),
            server is null ? null : await server.CreateDatabaseAsync(cancellationToken)
        );
        try
        {
            fixture.Mountain.Start();
            fixture.Archive.Start();
            await fixture.Mountain.WaitUntilReadyAsync(cancellationToken);
            await fixture.Archive.WaitUntilReadyAsync(cancellationToken);
            using var mountain = fixture.Client(fixture.Mountain);
            using var archive = fixture.Client(fixture.Archive);
            Done(await mountain.CreateUserAsync(new UserCreateRequest("archive", "a:pw", AuthLevel.Callback), cancellationToken));
            Done(await archive.CreateUserAsync(new UserCreateRequest("mountain", "m:pw", AuthLevel.ReadAppend), cancellationToken));
            Done(
                await mountain.AddLibrarianAsync(
                    new LibrarianAddRequest(
                        "archive",
                        "http://127.0.0.1",
                        reachable ? fixture.Archive.Port : 1,
                        "mountain:m:pw",
                        CheckConnection: false
                    ),
                    cancellationToken
                )
            );
            Done(
                await archive.AddLibrarianAsync(
                    new LibrarianAddRequest(
                        "mountain",
                        "http://127.0.0.1",
                        reachable ? fixture.Mountain.Port : 1,
                        "archive:a:pw",
                        CheckConnection: false
                    ),
                    cancellationToken
                )
            );
            return fixture;
        }
        catch
        {
            await fixture.DisposeAsync();
            throw;
        }

        static void Done<T>(Reply<T> reply) => Assert.True(reply.IsSuccess, reply.ToString());
    }

    public LibrarianClient Client(SiteProcess site) =>
        SiteConnection.TryCreate(
            "http://127.0.0.1",
            site.Port,
            SiteProcess.AdminUser,
            SiteProcess.AdminPassword,
            out var connection,
            out var error
        )
            ? new LibrarianClient(connection)
            : throw new InvalidOperationException(error);

    /// <summary>Runs the command line as a person would; the connection has the site's name.</summary>
    public async Task<(int Code, string Out, string Error)> CliAsync(params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var connections = JsonSerializer.Serialize(
            new Dictionary<string, object>
            {
                ["mountain"] = new
                {
                    user = SiteProcess.AdminUser,
                    password = SiteProcess.AdminPassword,
                    host = "http://127.0.0.1",
                    port = Mountain.Port,
                },
                ["archive"] = new
                {
                    user = SiteProcess.AdminUser,
                    password = SiteProcess.AdminPassword,
                    host = "http://127.0.0.1",
                    port = Archive.Port,
                },
            }
        );
        var code = await CommandLine.RunAsync(
            arguments,
            Terminal.Piped(output, error, name => name == "LIBRARIAN_CLIENT_CONNECTIONS" ? connections : null),
            TestContext.Current.CancellationToken
        );
        return (code, output.ToString(), error.ToString());
    }

    /// <summary>Uploads a file, or a directory of three, of that many bytes to the mountain.</summary>
    public async Task<(string Name, string Source)> UploadAsync(string name, int bytes, bool directory, CancellationToken cancellationToken)
    {
        var source = Path.Combine(_directory.FullName, "source", $"s{_sources++}");
        Directory.CreateDirectory(Path.GetDirectoryName(source)!);
        if (directory)
        {
            Directory.CreateDirectory(Path.Combine(source, "inner", "deep"));
            File.WriteAllBytes(Path.Combine(source, "one.bin"), RandomNumberGenerator.GetBytes(bytes / 2));
            File.WriteAllBytes(Path.Combine(source, "inner", "two é.bin"), RandomNumberGenerator.GetBytes(bytes - (bytes / 2)));
            File.WriteAllBytes(Path.Combine(source, "inner", "deep", "empty"), []);
        }
        else
        {
            File.WriteAllBytes(source, RandomNumberGenerator.GetBytes(bytes));
        }

        using var client = Client(Mountain);
        while (true)
        {
            var outcome = await new Upload(client, TimeProvider.System).RunAsync(
                source,
                name,
                new UploadOptions { LostAnswerQuestions = 1 },
                cancellationToken: cancellationToken
            );
            if (outcome.Receipt is not null)
                return (name, source);
            Assert.True(
                outcome.Error!.Code is UploadErrors.Unreachable or UploadErrors.AnswerLost or UploadErrors.Refused,
                outcome.Error.ToString()
            );
            await Task.Delay(100, cancellationToken);
        }
    }

    /// <summary>An empty drive, mounted at a place of the mountain.</summary>
    public string NewDrive(string name, int megabytes)
    {
        var path = PlaceOf(Mountain, name);
        Directory.CreateDirectory(path);
        Shell("mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "none", path);
        _mounts.Add(path);
        return path;
    }

    /// <summary>Where a drive is mounted at a site.</summary>
    public string PlaceOf(SiteProcess site, string name) => Path.Combine(_directory.FullName, "mnt", site.Name, name);

    /// <summary>Where a drive is while nobody has it plugged in.</summary>
    public string OnTheRoad(string name) => Path.Combine(_directory.FullName, "mnt", "road", name);

    /// <summary>Unmounts the drive at one place and mounts it at another.</summary>
    public void Carry(string from, string to)
    {
        Directory.CreateDirectory(to);
        // A site may be reading the drive; a mount is moved all the same.
        Shell("mount", "--move", from, to);
        _mounts.Remove(from);
        _mounts.Add(to);
    }

    public async Task<DriveStatus> StatusAsync(SiteProcess site, string drive, CancellationToken cancellationToken)
    {
        using var client = Client(site);
        var list = await client.ListDrivesAsync(new DriveListRequest(drive), cancellationToken);
        Assert.True(list.IsSuccess, list.ToString());
        return Assert.Single(list.Value.Drives);
    }

    /// <summary>Waits until something is so; says what was instead when it is not.</summary>
    public async Task UntilAsync(Func<Task<(bool Is, string Now)>> condition, TimeSpan limit, CancellationToken cancellationToken)
    {
        var state = "";
        await Wait.UntilAsync(
            async () =>
            {
                cancellationToken.ThrowIfCancellationRequested();
                (var isSo, state) = await condition();
                return isSo;
            },
            () => $"still: {state}\n== mountain\n{Tail(Mountain)}\n== archive\n{Tail(Archive)}",
            limit,
            TwoSites.Pause
        );
    }

    public Task UntilDriveAsync(string drive, Func<DriveStatus, bool> isSo, TimeSpan limit, CancellationToken cancellationToken) =>
        UntilAsync(
            async () =>
            {
                using var client = Client(Mountain);
                var list = await client.ListDrivesAsync(new DriveListRequest(drive), cancellationToken);
                return list.IsSuccess && list.Value.Drives is [var status] ? (isSo(status), status.ToString()) : (false, list.ToString()!);
            },
            limit,
            cancellationToken
        );

    /// <summary>Every byte at the archive, against the source, and exactly one copy of each file.</summary>
    public async Task VerifyAtArchiveAsync(IReadOnlyDictionary<string, string> sources, CancellationToken cancellationToken)
    {
        using var archive = Client(Archive);
        foreach (var (name, source) in sources)
        {
            var found = await archive.SearchFilesAsync(new FileSearchRequest(Name: name), cancellationToken);
            Assert.True(found.IsSuccess, $"{name}: {found}");
            var hit = Assert.Single(found.Value);
            var instance = Assert.Single(hit.Instances);
            var expected = await ContentDigest.OfAsync(source, cancellationToken);
            Assert.Equal(expected, await ContentDigest.OfAsync(instance.Path, cancellationToken));
            Assert.Equal(expected.Checksum, hit.Checksum);
        }

        Assert.Equal(sources.Count, Directory.EnumerateFileSystemEntries(Path.Combine(Archive.StorePath, "obs")).Count());
        Assert.Empty(Directory.EnumerateFileSystemEntries(Archive.StagingPath));
    }

    /// <summary>The mountain knows exactly one copy of each file at the archive, and holds one itself.</summary>
    public async Task VerifyAtMountainAsync(IEnumerable<string> names, CancellationToken cancellationToken)
    {
        using var mountain = Client(Mountain);
        foreach (var name in names)
        {
            var found = await mountain.SearchFilesAsync(new FileSearchRequest(Name: name), cancellationToken);
            Assert.True(found.IsSuccess, $"{name}: {found}");
            Assert.Equal("archive", Assert.Single(Assert.Single(found.Value).RemoteInstances).LibrarianName);
            // A copy that was not taken stays on its drive, away, until that is recycled.
            Assert.Single(found.Value[0].Instances, i => i.Available);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Mountain.DisposeAsync();
        await Archive.DisposeAsync();
        _webhook?.Close();
        foreach (var mount in _mounts)
            Shell("umount", "-l", mount);
        _directory.Delete(recursive: true);
    }

    public static string Tail(SiteProcess site) => site.Output.Length <= 5000 ? site.Output : site.Output[^5000..];

    public static void Shell(string program, params string[] arguments)
    {
        var (code, error) = Run(program, arguments);
        Assert.True(code == 0, $"{program} {string.Join(' ', arguments)}: {error} (mounting needs root)");
    }

    public static bool TryShell(string program, params string[] arguments) => Run(program, arguments).Code == 0;

    private static (int Code, string Error) Run(string program, string[] arguments)
    {
        using var process = System.Diagnostics.Process.Start(
            new System.Diagnostics.ProcessStartInfo(program, arguments) { RedirectStandardError = true, UseShellExecute = false }
        )!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, error);
    }

    private async Task ListenAsync()
    {
        while (_webhook!.IsListening)
        {
            try
            {
                var context = await _webhook.GetContextAsync();
                using var reader = new StreamReader(context.Request.InputStream);
                var body = await reader.ReadToEndAsync();
                lock (_alerts)
                {
                    if (WebhookRefusals-- > 0)
                        context.Response.StatusCode = 503;
                    else
                        _alerts.Add(body);
                }

                context.Response.Close();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException or InvalidOperationException)
            {
                return;
            }
        }
    }
}
