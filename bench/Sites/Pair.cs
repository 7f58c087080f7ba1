using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;

namespace Librarian.Bench.Sites;

/// <summary>Two sites that do not know each other until <see cref="IntroduceAsync"/>.</summary>
internal sealed class Pair : IAsyncDisposable
{
    private Pair(SiteProcess mountain, SiteProcess archive) => (Mountain, Archive) = (mountain, archive);

    public SiteProcess Mountain { get; }

    public SiteProcess Archive { get; }

    public static async Task<Pair> StartAsync(string folder, PostgresServer? server, bool overHttp)
    {
        var pair = new Pair(
            new SiteProcess("mountain", folder, server is null ? null : await server.CreateDatabaseAsync()),
            new SiteProcess("archive", folder, server is null ? null : await server.CreateDatabaseAsync())
        );
        pair.Mountain.Set("Site__Peers__0__Name", "archive");
        pair.Mountain.Set("Site__Peers__0__Send", "true");
        pair.Mountain.Set("Site__Peers__0__LocalRoots__0", pair.Archive.StagingPath);
        foreach (var site in new[] { pair.Mountain, pair.Archive })
        {
            site.Set("Logging__LogLevel__Default", "Warning");
            // No host has this name, so the bytes of uploads and clones go over HTTP.
            if (overHttp)
                site.Set("Site__LocalHostnames__0", site.Name + ".invalid");
            await site.StartAsync(CancellationToken.None);
        }

        return pair;
    }

    public static LibrarianClient Client(SiteProcess site) =>
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

    public async Task IntroduceAsync()
    {
        using var mountain = Client(Mountain);
        using var archive = Client(Archive);
        Done(await mountain.CreateUserAsync(new UserCreateRequest("archive", "apw", AuthLevel.Callback)));
        Done(await archive.CreateUserAsync(new UserCreateRequest("mountain", "mpw", AuthLevel.ReadAppend)));
        Done(await archive.AddLibrarianAsync(new LibrarianAddRequest("mountain", "http://127.0.0.1", Mountain.Port, "archive:apw")));
        Done(await mountain.AddLibrarianAsync(new LibrarianAddRequest("archive", "http://127.0.0.1", Archive.Port, "mountain:mpw")));

        static void Done<T>(Reply<T> reply)
        {
            if (!reply.IsSuccess)
                throw new InvalidOperationException(reply.ToString());
        }
    }

    /// <summary>Sets whether the site mountain starts new batches to the site archive.</summary>
    public async Task SendAsync(bool enabled)
    {
        using var mountain = Client(Mountain);
        var reply = await mountain.ChangeTransferStatusAsync(new TransferStatusChange("archive", enabled));
        if (!reply.IsSuccess)
            throw new InvalidOperationException(reply.ToString());
    }

    /// <summary>
    /// Waits until mountain knows archive's copies of its newest 64 files and archive stores <paramref name="files"/> files.
    /// </summary>
    public async Task WaitUntilClonedAsync(int files)
    {
        using var client = Client(Mountain);
        while (true)
        {
            if (!Mountain.IsRunning || !Archive.IsRunning)
                throw new InvalidOperationException(Mountain.Output + Archive.Output);
            var stored = Directory
                .EnumerateFiles(Archive.StorePath, "*", SearchOption.AllDirectories)
                .Count(f => !f.Contains("/.librarian/", StringComparison.Ordinal));
            if (stored >= files)
            {
                var newest = await client.SearchFilesAsync(new FileSearchRequest());
                if (newest.IsSuccess && newest.Value.All(f => f.RemoteInstances.Count == 1))
                    return;
            }

            await Task.Delay(20);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Mountain.DisposeAsync();
        await Archive.DisposeAsync();
    }
}
