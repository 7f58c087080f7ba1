using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.EndToEnd;

/// <summary>
/// Yesterday's catalog, yesterday's disk, or both are put back at one of two sites while files are on their way. Whatever an uploader was
/// told to be safe is in the end verified at a site, or that site says that it is missing. What a site believes is compared with the bytes
/// on the disks.
/// </summary>
public sealed class RestoreTests
{
    private const int Bytes = 40_000;
    private static readonly TimeSpan Failsafe = TimeSpan.FromMinutes(6);

    [Theory]
    [InlineData("mountain", true, false)]
    [InlineData("mountain", false, true)]
    [InlineData("mountain", true, true)]
    [InlineData("archive", true, false)]
    [InlineData("archive", false, true)]
    [InlineData("archive", true, true)]
    public async Task Yesterday_PutBackUnderLoad_EveryAcknowledgedFileIsVerifiedOrListedAsMissing(string name, bool catalog, bool disk)
    {
        var stop = TestContext.Current.CancellationToken;
        await using var sites = await TwoSites.StartAsync(
            null,
            stop,
            archive =>
            {
                archive.Set("Schedules__RepairCorruptCopies", "*/2 * * * * *");
                ReviewSoon(archive);
            },
            ReviewSoon
        );
        var victim = name == "mountain" ? sites.Mountain : sites.Archive;
        var safe = new Dictionary<string, string>(StringComparer.Ordinal);
        await UploadAsync(sites, safe, 0, 8, stop);
        await sites.WaitUntilAcknowledgedAsync(safe.Keys, Failsafe, stop);

        await victim.KillAsync();
        var yesterday = Directory.CreateTempSubdirectory("librarian-yesterday-");
        try
        {
            Backup(victim, yesterday.FullName);
            await victim.StartAsync(stop);

            // Today: some are acknowledged everywhere, the last ones are on their way when the disaster comes.
            await UploadAsync(sites, safe, 8, 16, stop);
            await sites.WaitUntilAcknowledgedAsync(safe.Keys, Failsafe, stop);
            await UploadAsync(sites, safe, 16, 20, stop);
            await victim.KillAsync();
            if (name == "archive")
                await UploadAsync(sites, safe, 20, 22, stop);
            Restore(victim, yesterday.FullName, catalog, disk);
            await victim.StartAsync(stop);
        }
        finally
        {
            yesterday.Delete(recursive: true);
        }

        var before = safe.ToDictionary(StringComparer.Ordinal);
        await UploadAsync(sites, safe, 22, 26, stop);
        // What whoever has put a backup back is told to do: upload again, and have the copies read.
        await UploadAgainAsync(sites, before, stop);
        await ReadAsync(sites, safe.Keys, stop);

        using var client = sites.Client(victim);
        List<string> wrong = [];
        await Wait.UntilAsync(
            async () =>
            {
                wrong = await FindWrongAsync(sites, safe, stop);
                // The site finds out itself that it was restored, and says so.
                var errors = (await client.SearchErrorsAsync(new ErrorSearchRequest(MaxResults: 64), stop)).Value!;
                if (catalog && !errors.Any(e => e is { Caller: "catalog restored", Severity: ErrorSeverity.Critical }))
                    wrong.Add($"{name} does not know that its catalog was restored");
                return wrong.Count == 0;
            },
            () => $"{string.Join('\n', wrong)}\n== mountain\n{Tail(sites.Mountain)}\n== archive\n{Tail(sites.Archive)}",
            Failsafe,
            TwoSites.Pause
        );
    }

    private static void ReviewSoon(SiteProcess site)
    {
        site.Set("Site__IncomingReviewAge", "00:00:20");
        site.Set("Site__OutgoingReviewAge", "00:00:10");
    }

    private static async Task UploadAsync(TwoSites sites, Dictionary<string, string> safe, int from, int to, CancellationToken stop)
    {
        using var client = sites.Client(sites.Mountain, "observer", "watching");
        var upload = new Upload(client, TimeProvider.System);
        for (var i = from; i < to; i++)
        {
            var source = sites.MakeSource(i, Bytes + i);
            var outcome = await upload.RunAsync(source, $"night/obs{i}", cancellationToken: stop);
            Assert.True(outcome.Receipt is not null, outcome.Error?.ToString());
            safe[$"night/obs{i}"] = source;
        }
    }

    private static async Task UploadAgainAsync(TwoSites sites, Dictionary<string, string> safe, CancellationToken stop)
    {
        using var client = sites.Client(sites.Mountain, "observer", "watching");
        var upload = new Upload(client, TimeProvider.System);
        foreach (var (name, source) in safe)
            await upload.RunAsync(source, name, cancellationToken: stop);
    }

    private static async Task ReadAsync(TwoSites sites, IReadOnlyCollection<string> names, CancellationToken stop)
    {
        foreach (var site in new[] { sites.Mountain, sites.Archive })
        {
            using var client = sites.Client(site);
            foreach (var name in names)
                await client.ValidateFileAsync(new ValidateFileRequest(name), stop);
        }
    }

    /// <summary>What is believed and is not so, or is neither verified nor listed.</summary>
    private static async Task<List<string>> FindWrongAsync(TwoSites sites, Dictionary<string, string> safe, CancellationToken stop)
    {
        var wrong = new List<string>();
        using var mountain = sites.Client(sites.Mountain);
        using var archive = sites.Client(sites.Archive);
        foreach (var (name, source) in safe)
        {
            var expected = await ContentDigest.OfAsync(source, stop);
            var atMountain = await StateAsync(sites.Mountain, mountain, name, expected, stop);
            var atArchive = await StateAsync(sites.Archive, archive, name, expected, stop);
            if (atMountain.Problem is { } first)
                wrong.Add(first);
            if (atArchive.Problem is { } second)
                wrong.Add(second);
            if (atMountain.CountsOnArchive && !atArchive.Verified)
                wrong.Add($"mountain counts on {name} at archive, which is not there");
            if (atMountain is { Verified: true, CountsOnArchive: false })
                wrong.Add($"{name} is not acknowledged by archive");
        }

        return wrong;
    }

    private static async Task<(bool Verified, bool CountsOnArchive, string? Problem)> StateAsync(
        SiteProcess site,
        LibrarianClient client,
        string name,
        ContentDigest expected,
        CancellationToken stop
    )
    {
        var found = await client.SearchFilesAsync(new FileSearchRequest(Name: name), stop);
        if (!found.IsSuccess)
            return (false, false, $"{site.Name}: {found.Error}");
        var hit = found.Value.SingleOrDefault();
        var counts = hit?.RemoteInstances.Any(r => r.LibrarianName == "archive") ?? false;
        if (hit?.Instances.FirstOrDefault(i => i.Available) is not { } copy)
        {
            var errors = await client.SearchErrorsAsync(new ErrorSearchRequest(MaxResults: 64), stop);
            return (
                false,
                counts,
                errors is { IsSuccess: true, Value.Count: > 0 } ? null : $"{name} is missing at {site.Name} without a word"
            );
        }

        return Path.Exists(copy.Path) && await ContentDigest.OfAsync(copy.Path, stop) == expected
            ? (true, counts, null)
            : (false, counts, $"{site.Name} believes in its copy of {name}, which is gone or bad");
    }

    /// <summary>The site is down. A file of SQLite with its log is its state at that moment.</summary>
    private static void Backup(SiteProcess site, string to)
    {
        foreach (var file in Directory.EnumerateFiles(Path.Combine(site.Root, "data"), "catalog.db*"))
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        Copy(site.StorePath, Path.Combine(to, "store"));
    }

    private static void Restore(SiteProcess site, string from, bool catalog, bool disk)
    {
        if (catalog)
        {
            var data = Path.Combine(site.Root, "data");
            foreach (var file in Directory.EnumerateFiles(data, "catalog.db*").ToList())
                File.Delete(file);
            foreach (var file in Directory.EnumerateFiles(from, "catalog.db*"))
                File.Copy(file, Path.Combine(data, Path.GetFileName(file)));
        }

        if (!disk)
            return;
        Directory.Delete(site.StorePath, recursive: true);
        Copy(Path.Combine(from, "store"), site.StorePath);
    }

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var directory in Directory.EnumerateDirectories(from, "*", SearchOption.AllDirectories))
            Directory.CreateDirectory(Path.Combine(to, Path.GetRelativePath(from, directory)));
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
            File.Copy(file, Path.Combine(to, Path.GetRelativePath(from, file)));
    }

    private static string Tail(SiteProcess site) => site.Output.Length <= 8000 ? site.Output : site.Output[^8000..];
}
