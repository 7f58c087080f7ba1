using Librarian.Client.DataBatches;
using Librarian.Client.Uploads;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.EndToEnd;

public sealed class KillOnSqlite() : KillTests(null)
{
    [Fact]
    public Task IngestAndClone_EitherSiteKilledAtRandom_ConvergesWithEveryByteVerified() => KillAsync(12);

    [Fact]
    public Task IngestAndClone_OverHttpEitherSiteKilledAtRandom_ConvergesWithEveryByteVerified() => KillAsync(12, overHttp: true);
}

public sealed class KillOnPostgres(PostgresServer server) : KillTests(server)
{
    [Fact]
    public Task IngestAndClone_EitherSiteKilledAtRandom_ConvergesWithEveryByteVerified() => KillAsync(12);
}

/// <summary>
/// Either site is killed with -9 again and again while files are uploaded and cloned; at the end every byte is right.
/// </summary>
public abstract class KillTests(PostgresServer? server)
{
    private static readonly bool Long = Environment.GetEnvironmentVariable("LIBRARIAN_TEST_LONG") == "1";

    protected async Task KillAsync(int kills, bool overHttp = false)
    {
        var stop = TestContext.Current.CancellationToken;
        if (Long)
            kills *= 20;
        var seed = Random.Shared.Next();
        TestContext.Current.SendDiagnosticMessage($"seed {seed}");
        var random = new Random(seed);
        await using var sites = await TwoSites.StartAsync(server, stop, HideFileSystem, HideFileSystem);
        sites.Mountain.Set("Site__IncomingReviewAge", "00:00:20");
        sites.Mountain.Set("Site__OutgoingReviewAge", "00:00:10");
        sites.Archive.Set("Site__IncomingReviewAge", "00:00:20");
        sites.Archive.Set("Site__OutgoingReviewAge", "00:00:10");
        var sources = new Dictionary<string, string>();
        using var done = new CancellationTokenSource();
        var uploads = UploadAsync(sites, sources, done.Token, stop);

        for (var i = 0; i < kills; i++)
        {
            var victim = random.Next(2) == 0 ? sites.Mountain : sites.Archive;
            // The kill comes at any moment.
            await Task.Delay(random.Next(10, 900), stop);
            await victim.KillAsync();
            victim.Start();
            // Sometimes the next kill hits a site that is still starting.
            if (random.Next(3) > 0)
                await victim.WaitUntilReadyAsync(stop);
        }

        await done.CancelAsync();
        await sites.Mountain.WaitUntilReadyAsync(stop);
        await sites.Archive.WaitUntilReadyAsync(stop);
        await uploads;
        Assert.NotEmpty(sources);
        await sites.WaitUntilAcknowledgedAsync(sources.Keys, TimeSpan.FromMinutes(4), stop);
        await sites.VerifyEverywhereAsync(sources, stop);
        await sites.WaitUntilStagingIsEmptyAsync(TimeSpan.FromMinutes(3));
        Assert.Equal(TwoSites.StoredFiles(sites.Mountain), TwoSites.StoredFiles(sites.Archive));
        TestContext.Current.TestOutputHelper!.WriteLine($"{kills} kills, {sources.Count} files, seed {seed}");

        void HideFileSystem(SiteProcess site)
        {
            // No host has this name, so the bytes go over HTTP.
            if (overHttp)
                site.Set("Site__LocalHostnames__0", site.Name + ".invalid");
        }
    }

    /// <summary>As an instrument would: the same upload again until it is known to be safe.</summary>
    /// <remarks>Paced, so that the load spans all kills and the final reading of every byte stays short.</remarks>
    private static async Task UploadAsync(
        TwoSites sites,
        Dictionary<string, string> sources,
        CancellationToken done,
        CancellationToken stop
    )
    {
        for (var i = 0; !done.IsCancellationRequested; i++)
        {
            var name = $"kill/{i % 7}/obs{i}";
            var source = sites.MakeSource(i, 1 + (i * 613 % 300_000));
            sources[name] = source;
            await Task.Delay(300, stop);
            while (true)
            {
                using var client = sites.Client(sites.Mountain, "observer", "watching");
                var outcome = await new Upload(client, TimeProvider.System).RunAsync(
                    source,
                    name,
                    new UploadOptions
                    {
                        LostAnswerQuestions = 1,
                        Batch = new BatchOptions { ProgressTimeout = TimeSpan.FromSeconds(5) },
                    },
                    cancellationToken: stop
                );
                if (outcome.Receipt is not null)
                    break;
                Assert.True(
                    outcome.Error!.Code
                        is UploadErrors.Unreachable
                            or UploadErrors.AnswerLost
                            or UploadErrors.Refused
                            or UploadErrors.CopyFailed
                            or UploadErrors.Interrupted,
                    outcome.Error.ToString()
                );
                // As an instrument waits before it tries again.
                await Task.Delay(50, stop);
            }
        }
    }
}
