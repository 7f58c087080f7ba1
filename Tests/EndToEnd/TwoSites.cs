using System.Diagnostics;
using System.Security.Cryptography;
using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.EndToEnd;

/// <summary>Two real sites, mountain sending to archive, with accounts for each other (docs/spec/wire.md#identity).</summary>
public sealed class TwoSites : IAsyncDisposable
{
    /// <summary>Between two looks at a site: looking all the time would keep it from its work.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-e2e-");

    private TwoSites(string? mountainDatabase, string? archiveDatabase)
    {
        Mountain = new SiteProcess("mountain", _directory.FullName, mountainDatabase);
        Archive = new SiteProcess("archive", _directory.FullName, archiveDatabase);
        Mountain.Set("Site__Peers__0__Name", "archive");
        Mountain.Set("Site__Peers__0__Send", "true");
        Mountain.Set("Site__Peers__0__BatchSize", "16");
        Mountain.Set("Site__Peers__0__LocalRoots__0", Archive.StagingPath);
        Archive.Set("Site__Peers__0__Name", "mountain");
        Archive.Set("Site__Peers__0__LocalRoots__0", Mountain.StagingPath);
    }

    public SiteProcess Mountain { get; }

    public SiteProcess Archive { get; }

    public static async Task<TwoSites> StartAsync(
        PostgresServer? server,
        CancellationToken cancellationToken,
        Action<SiteProcess>? configureArchive = null,
        Action<SiteProcess>? configureMountain = null
    )
    {
        var sites = new TwoSites(
            server is null ? null : await server.CreateDatabaseAsync(cancellationToken),
            server is null ? null : await server.CreateDatabaseAsync(cancellationToken)
        );
        configureArchive?.Invoke(sites.Archive);
        configureMountain?.Invoke(sites.Mountain);
        try
        {
            sites.Mountain.Start();
            sites.Archive.Start();
            await sites.Mountain.WaitUntilReadyAsync(cancellationToken);
            await sites.Archive.WaitUntilReadyAsync(cancellationToken);
            await sites.IntroduceAsync(cancellationToken);
            return sites;
        }
        catch
        {
            await sites.DisposeAsync();
            throw;
        }
    }

    public LibrarianClient Client(SiteProcess site, string user = SiteProcess.AdminUser, string password = SiteProcess.AdminPassword) =>
        SiteConnection.TryCreate("http://127.0.0.1", site.Port, user, password, out var connection, out var error)
            ? new LibrarianClient(connection)
            : throw new InvalidOperationException(error);

    /// <summary>Makes a file, or every fifth time a directory, below the work folder.</summary>
    public string MakeSource(int number, int bytes)
    {
        var path = Path.Combine(_directory.FullName, "source", $"f{number}");
        if (number % 5 == 4)
        {
            Directory.CreateDirectory(Path.Combine(path, "inner"));
            File.WriteAllBytes(Path.Combine(path, "one.bin"), RandomNumberGenerator.GetBytes(bytes));
            File.WriteAllBytes(Path.Combine(path, "inner", "two.bin"), RandomNumberGenerator.GetBytes(bytes / 2));
        }
        else
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllBytes(path, RandomNumberGenerator.GetBytes(bytes));
        }

        return path;
    }

    /// <summary>Waits until the mountain knows of the archive's copies of all these files.</summary>
    public async Task WaitUntilAcknowledgedAsync(IReadOnlyCollection<string> names, TimeSpan limit, CancellationToken cancellationToken)
    {
        using var client = Client(Mountain);
        var known = 0;
        // One after the other: asking for all of them all the time would keep the site from its work.
        foreach (var name in names)
        {
            await Wait.UntilAsync(
                async () =>
                {
                    var found = await client.SearchFilesAsync(new FileSearchRequest(Name: name), cancellationToken);
                    return found.IsSuccess
                        && found.Value.Count == 1
                        && found.Value[0].RemoteInstances.Any(r => r.LibrarianName == "archive");
                },
                () =>
                    $"the receipt of {name}, and perhaps of others of the last {names.Count - known} of {names.Count}.\n"
                    + $"== mountain\n{Tail(Mountain)}\n== archive\n{Tail(Archive)}",
                limit,
                Pause
            );
            known++;
        }
    }

    /// <summary>Reads every byte at both sites and compares with the source; checks that there is exactly one copy.</summary>
    public async Task VerifyEverywhereAsync(IReadOnlyDictionary<string, string> sources, CancellationToken cancellationToken)
    {
        using var mountain = Client(Mountain);
        using var archive = Client(Archive);
        foreach (var (name, source) in sources)
        {
            var expected = await ContentDigest.OfAsync(source, cancellationToken);
            foreach (var (site, client) in new[] { (Mountain, mountain), (Archive, archive) })
            {
                var found = await client.SearchFilesAsync(new FileSearchRequest(Name: name), cancellationToken);
                Assert.True(found.IsSuccess, $"{name} at {site.Name}: {found.Error}");
                var hit = Assert.Single(found.Value);
                var instance = Assert.Single(hit.Instances);
                Assert.Equal(Path.Combine(site.StorePath, name), instance.Path);
                Assert.Equal(expected.Checksum, hit.Checksum);
                Assert.Equal(expected, await ContentDigest.OfAsync(instance.Path, cancellationToken));
            }

            var known = await mountain.SearchFilesAsync(new FileSearchRequest(Name: name), cancellationToken);
            Assert.Single(known.Value![0].RemoteInstances);
        }
    }

    /// <summary>Waits until neither site has anything left in staging; says what when it does.</summary>
    public async Task WaitUntilStagingIsEmptyAsync(TimeSpan limit)
    {
        List<string> left = [];
        await Wait.UntilAsync(
            () =>
            {
                left =
                [
                    .. new[] { Mountain, Archive }.SelectMany(s =>
                        Directory.EnumerateFileSystemEntries(s.StagingPath).SelectMany(EntryOrBatches)
                    ),
                ];
                return Task.FromResult(left.Count == 0);
            },
            () => $"empty staging; left: {string.Join(", ", left)}\n== mountain\n{Tail(Mountain)}\n== archive\n{Tail(Archive)}",
            limit,
            Pause
        );
    }

    /// <summary>The directory of data batches stays; its batches do not.</summary>
    private static IEnumerable<string> EntryOrBatches(string entry) =>
        Path.GetFileName(entry) == ".batches" ? Directory.EnumerateFileSystemEntries(entry) : [entry];

    /// <summary>Files in the store of a site, relative; the store's own working directory excepted.</summary>
    public static IReadOnlyList<string> StoredFiles(SiteProcess site) =>
        [
            .. Directory
                .EnumerateFiles(site.StorePath, "*", SearchOption.AllDirectories)
                .Select(f => Path.GetRelativePath(site.StorePath, f))
                .Where(f => !f.StartsWith(".librarian/", StringComparison.Ordinal))
                .Order(StringComparer.Ordinal),
        ];

    public async ValueTask DisposeAsync()
    {
        await Mountain.DisposeAsync();
        await Archive.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    private async Task IntroduceAsync(CancellationToken cancellationToken)
    {
        using var mountain = Client(Mountain);
        using var archive = Client(Archive);
        // Passwords with colons must work (docs/spec/wire.md#identity).
        Done(
            await mountain.CreateUserAsync(new UserCreateRequest("archive", "archive:at:mountain", AuthLevel.ReadAppend), cancellationToken)
        );
        Done(
            await archive.CreateUserAsync(new UserCreateRequest("mountain", "mountain:at:archive", AuthLevel.ReadAppend), cancellationToken)
        );
        Done(await mountain.CreateUserAsync(new UserCreateRequest("observer", "watching", AuthLevel.ReadAppend), cancellationToken));
        await RegisterAsync(
            mountain,
            new LibrarianAddRequest("archive", "http://127.0.0.1", Archive.Port, "mountain:mountain:at:archive"),
            cancellationToken
        );
        await RegisterAsync(
            archive,
            new LibrarianAddRequest("mountain", "http://127.0.0.1", Mountain.Port, "archive:archive:at:mountain"),
            cancellationToken
        );

        static void Done<T>(Reply<T> reply) => Assert.True(reply.IsSuccess, reply.ToString());
    }

    /// <summary>Registers a peer. On a starved machine it may not answer in time the first time; then the site refuses it.</summary>
    public static async Task RegisterAsync(LibrarianClient site, LibrarianAddRequest peer, CancellationToken cancellationToken)
    {
        var since = Stopwatch.StartNew();
        while (true)
        {
            var reply = await site.AddLibrarianAsync(peer, cancellationToken);
            Assert.True(reply.IsSuccess, reply.ToString());
            if (reply.Value!.Success)
                return;
            Assert.True(since.Elapsed < TimeSpan.FromMinutes(3), $"{peer.LibrarianName} cannot be registered: {reply}");
        }
    }

    private static string Tail(SiteProcess site) => site.Output.Length <= 6000 ? site.Output : site.Output[^6000..];
}
