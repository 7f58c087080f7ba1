using System.Security.Cryptography;
using System.Text.Json;
using Librarian.Cli;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;

namespace Librarian.Tests.EndToEnd.Drives;

/// <summary>
/// The trip of a drive between a site of ours and a Python Librarian, which fills it or ingests it, by the manifest format of the latter.
/// </summary>
public sealed class UpstreamDriveTests(PostgresServer server)
{
    [Theory, InlineData(false), InlineData(true)]
    public async Task Drive_FilledByAPythonLibrarian_IsIngestedAndItIsCalledBackForEachFile(bool postgres)
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await Fixture.StartAsync("archive", "mountain", postgres ? server : null, stop);
        var drive = fixture.NewDrive("pydrive", 16);
        var root = Directory.CreateDirectory(Path.Combine(drive, "store")).FullName;
        var entries = new List<(string Name, string Json, bool Good)>();
        for (var i = 0; i < 12; i++)
        {
            // A name in a directory, books, one file whose bytes are not those of the manifest, one that is missing.
            var (name, good) = ($"{2459000 + (i % 3)}/zen.{i}.uvh5", i is not (4 or 7));
            var path = Path.Combine(root, name);
            Directory.CreateDirectory(i % 4 == 1 ? path : Path.GetDirectoryName(path)!);
            if (i % 4 == 1)
                File.WriteAllBytes(Path.Combine(path, "page"), RandomNumberGenerator.GetBytes(1000 * i));
            else
                File.WriteAllBytes(path, RandomNumberGenerator.GetBytes(1000 * i));
            var digest = await ContentDigest.OfAsync(path, stop);
            fixture.Python.Outgoing[100 + i] = new UpstreamTransfer
            {
                Id = 100 + i,
                Name = name,
                Size = digest.Size,
                Checksum = digest.Checksum,
                Status = 1,
            };
            if (i == 4)
                File.WriteAllBytes(path, RandomNumberGenerator.GetBytes(1000 * i));
            if (i == 7)
                File.Delete(path);
            entries.Add(
                (
                    name,
                    $$"""{"name":"{{name}}","create_time":"2026-11-0{{1 + (i % 9)}}T10:00:00","size":{{digest.Size}}"""
                        + $$""","checksum":"{{digest.Checksum}}","uploader":"observer","source":"observer","instance_path":"/mnt/x/store/"""
                        + $$"""{{name}}","deletion_policy":1"""
                        + ""","instance_create_time":"2026-11-20T10:00:00.123456","instance_available":true"""
                        + $$""","outgoing_transfer_id":{{100 + i}}}""",
                    good
                )
            );
        }

        var manifest = Path.Combine(drive, "m.json");
        await File.WriteAllTextAsync(
            manifest,
            $$"""{"librarian_name":"mountain","store_name":"sneaker1","store_files":[{{string.Join(",", entries.Select(e => e.Json))}}]}""",
            stop
        );
        string[] ingest = ["drive", "ingest", "archive", drive, "--upstream-manifest", manifest, "--store-root", root];
        Assert.Contains("manifest.unsigned", (await fixture.CliAsync(ingest)).Error, StringComparison.Ordinal);
        var (code, said, error) = await fixture.CliAsync([.. ingest, "--unsigned"]);
        Assert.True(code == 1, error + said);
        Assert.Contains("10 files taken, 0 were here, 2 not taken", said, StringComparison.Ordinal);
        foreach (var bad in entries.Where(e => !e.Good))
            Assert.Contains("not taken: " + bad.Name, error, StringComparison.Ordinal);
        using var client = fixture.Client();
        foreach (var (name, _, good) in entries)
        {
            var found = await client.SearchFilesAsync(new FileSearchRequest(Name: name), stop);
            Assert.Equal(good, found is { IsSuccess: true, Value.Count: 1 });
            if (!good)
                continue;
            Assert.Equal(
                await ContentDigest.OfAsync(Path.Combine(root, name), stop),
                await ContentDigest.OfAsync(Assert.Single(found.Value![0].Instances).Path, stop)
            );
            Assert.Equal("mountain", found.Value[0].Source);
        }

        // Every file that was taken is acknowledged, the others are told to have failed; nothing that upstream would not understand.
        await fixture.UntilAsync(
            () =>
                Task.FromResult(fixture.Python.Outgoing.Values.All(t => t.Status == (entries.Single(e => e.Name == t.Name).Good ? 3 : 4))),
            "the callbacks"
        );
        Assert.Equal(10, fixture.Python.RemoteInstances.Count);
        Assert.Empty(fixture.Python.Violations);
        (code, said, error) = await fixture.CliAsync([.. ingest, "--unsigned"]);
        Assert.Contains("10 files taken, 0 were here, 2 not taken", said, StringComparison.Ordinal);
        Assert.Equal(1, code);
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Drive_FilledHere_IsIngestedByAPythonLibrarianWhoseCallbacksMakeItReusable(bool postgres)
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await Fixture.StartAsync("mountain", "archive", postgres ? server : null, stop);
        for (var i = 0; i < 6; i++)
            await fixture.UploadAsync($"obs/u{i} é'\\.bin", 2000 * i, directory: i % 3 == 2, stop);
        var drive = fixture.NewDrive("d1", 16);
        Assert.Equal(0, (await fixture.CliAsync("drive", "init", "mountain", "d1", drive, "--destination", "archive")).Code);
        await fixture.UntilAsync(async () => (await fixture.StatusAsync("d1", stop)).Files == 6, "the filling");
        var (code, _, error) = await fixture.CliAsync("drive", "manifest", "mountain", "d1");
        Assert.True(code == 0, error);

        // As its command line does: the manifest, entry by entry, from --store-root.
        using var manifest = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(drive, "manifest.upstream.json"), stop));
        Assert.Equal(["librarian_name", "store_name", "store_files"], manifest.RootElement.EnumerateObject().Select(p => p.Name));
        Assert.Equal("mountain", manifest.RootElement.GetProperty("librarian_name").GetString());
        var files = manifest.RootElement.GetProperty("store_files").EnumerateArray().ToList();
        Assert.Equal(6, files.Count);
        foreach (var entry in files)
        {
            var content = await ContentDigest.OfAsync(Path.Combine(drive, "data", entry.GetProperty("name").GetString()!), stop);
            Assert.Equal(
                (entry.GetProperty("size").GetInt64(), entry.GetProperty("checksum").GetString()),
                (content.Size, content.Checksum)
            );
        }

        // It calls back only the librarian that an entry names as its source.
        fixture.Python.IngestManifest(manifest.RootElement, Path.Combine(drive, "data"));
        await fixture.Python.ReceiveCloneAsync();
        await fixture.UntilAsync(
            async () => await fixture.StatusAsync("d1", stop) is { State: "reusable", Delivered: 6, Open: 0 },
            "a reusable drive"
        );
        using var client = fixture.Client();
        foreach (var entry in files)
        {
            var found = await client.SearchFilesAsync(new FileSearchRequest(Name: entry.GetProperty("name").GetString()), stop);
            Assert.Equal("archive", Assert.Single(found.Value![0].RemoteInstances).LibrarianName);
        }

        Assert.Equal(0, (await fixture.CliAsync("drive", "recycle", "mountain", "d1")).Code);
        await fixture.UntilAsync(async () => await fixture.StatusAsync("d1", stop) is { State: "filling", Trip: 2 }, "the next trip");
    }

    /// <summary>One real site, and a Python Librarian that it knows.</summary>
    private sealed class Fixture : IAsyncDisposable
    {
        private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-pydrive-");
        private readonly List<string> _mounts = [];

        private Fixture(string own, string python, string? database)
        {
            Site = new SiteProcess(own, _directory.FullName, database);
            Site.Set("Site__Drives__PollInterval", "00:00:01");
            Python = new UpstreamLibrarian(python, own, _directory.FullName);
        }

        public SiteProcess Site { get; }

        public UpstreamLibrarian Python { get; }

        public static async Task<Fixture> StartAsync(string own, string python, PostgresServer? server, CancellationToken stop)
        {
            var fixture = new Fixture(own, python, server is null ? null : await server.CreateDatabaseAsync(stop));
            fixture.Site.Start();
            await fixture.Site.WaitUntilReadyAsync(stop);
            fixture.Python.Peer = new Uri(fixture.Site.Url);
            using var client = fixture.Client();
            var user = await client.CreateUserAsync(
                new UserCreateRequest(python, fixture.Python.PasswordThere, AuthLevel.ReadAppend),
                stop
            );
            Assert.True(user.IsSuccess, user.ToString());
            var added = await client.AddLibrarianAsync(
                new LibrarianAddRequest(
                    python,
                    "http://127.0.0.1",
                    fixture.Python.Server.Port,
                    $"{own}:{fixture.Python.PasswordHere}",
                    CheckConnection: false
                ),
                stop
            );
            Assert.True(added.IsSuccess, added.ToString());
            return fixture;
        }

        public LibrarianClient Client() =>
            SiteConnection.TryCreate(
                "http://127.0.0.1",
                Site.Port,
                SiteProcess.AdminUser,
                SiteProcess.AdminPassword,
                out var connection,
                out var error
            )
                ? new LibrarianClient(connection)
                : throw new InvalidOperationException(error);

        public async Task<(int Code, string Out, string Error)> CliAsync(params string[] arguments)
        {
            using var output = new StringWriter();
            using var error = new StringWriter();
            var connections = JsonSerializer.Serialize(
                new Dictionary<string, object>
                {
                    [Site.Name] = new
                    {
                        user = SiteProcess.AdminUser,
                        password = SiteProcess.AdminPassword,
                        host = "http://127.0.0.1",
                        port = Site.Port,
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

        public async Task UploadAsync(string name, int bytes, bool directory, CancellationToken stop)
        {
            var source = Path.Combine(_directory.FullName, "source", Guid.NewGuid().ToString("N"));
            Directory.CreateDirectory(directory ? source : Path.GetDirectoryName(source)!);
            File.WriteAllBytes(directory ? Path.Combine(source, "page") : source, RandomNumberGenerator.GetBytes(bytes));
            using var client = Client();
            var outcome = await new Upload(client, TimeProvider.System).RunAsync(source, name, cancellationToken: stop);
            Assert.True(outcome.Receipt is not null, outcome.Error?.ToString());
        }

        public string NewDrive(string name, int megabytes)
        {
            var path = Directory.CreateDirectory(Path.Combine(_directory.FullName, "mnt", name)).FullName;
            DriveFixture.Shell("mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "none", path);
            _mounts.Add(path);
            return path;
        }

        public async Task<DriveStatus> StatusAsync(string drive, CancellationToken stop)
        {
            using var client = Client();
            var list = await client.ListDrivesAsync(new DriveListRequest(drive), stop);
            Assert.True(list.IsSuccess, list.ToString());
            return Assert.Single(list.Value.Drives);
        }

        public Task UntilAsync(Func<Task<bool>> isSo, string what) =>
            Wait.UntilAsync(
                isSo,
                () =>
                {
                    var transfers = string.Join('\n', Python.Outgoing.Values.Select(t => $"{t.Name} {t.Status}"));
                    return $"{what}\n{transfers}\n{DriveFixture.Tail(Site)}";
                },
                pause: TwoSites.Pause
            );

        public async ValueTask DisposeAsync()
        {
            await Site.DisposeAsync();
            await Python.DisposeAsync();
            foreach (var mount in _mounts)
                DriveFixture.Shell("umount", "-l", mount);
            _directory.Delete(recursive: true);
        }
    }
}
