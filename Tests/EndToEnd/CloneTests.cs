using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;

[assembly: AssemblyFixture(typeof(PostgresServer))]

// Sites that start or wait leave half of the machine free.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.All, MaxThreads = 3)]

namespace Librarian.Tests.EndToEnd;

public class CloneTests(PostgresServer server)
{
    /// <summary>After which a wait is a hang.</summary>
    private static readonly TimeSpan s_failsafe = TimeSpan.FromMinutes(5);

    [Theory, InlineData(false), InlineData(true)]
    public async Task Upload_FilesAndDirectories_AreVerifiedAtTheArchiveAndAcknowledged(bool postgres)
    {
        var stop = TestContext.Current.CancellationToken;
        await using var sites = await TwoSites.StartAsync(postgres ? server : null, stop);
        var sources = new Dictionary<string, string>();
        using (var client = sites.Client(sites.Mountain, "observer", "watching"))
        {
            var upload = new Upload(client, TimeProvider.System);
            for (var i = 0; i < 40; i++)
            {
                var name = $"2026/night{i % 3}/obs{i}";
                sources[name] = sites.MakeSource(i, 1 + (i * 997));
                var outcome = await upload.RunAsync(sources[name], name, cancellationToken: stop);
                Assert.True(outcome.Receipt is not null, outcome.Error?.ToString());
            }
        }

        await sites.WaitUntilAcknowledgedAsync(sources.Keys, s_failsafe, stop);
        await sites.VerifyEverywhereAsync(sources, stop);
        await sites.WaitUntilStagingIsEmptyAsync(s_failsafe);
        Assert.Equal(TwoSites.StoredFiles(sites.Mountain), TwoSites.StoredFiles(sites.Archive));
    }

    [Fact]
    public async Task Clone_ArchiveDownForAWhile_ArrivesWhenItIsBack()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var sites = await TwoSites.StartAsync(null, stop);
        await sites.Archive.KillAsync();
        var source = sites.MakeSource(1, 5000);
        using (var client = sites.Client(sites.Mountain, "observer", "watching"))
        {
            Assert.NotNull((await new Upload(client, TimeProvider.System).RunAsync(source, "late/one", cancellationToken: stop)).Receipt);
        }

        await sites.Mountain.WaitForOutputAsync("waits:");
        await sites.Archive.StartAsync(stop);
        await sites.WaitUntilAcknowledgedAsync(["late/one"], s_failsafe, stop);
        await sites.VerifyEverywhereAsync(new Dictionary<string, string> { ["late/one"] = source }, stop);
    }

    [Fact]
    public async Task Clone_ArchiveHasAnotherFileOfTheName_KeepsBothAndSendsTheRest()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var sites = await TwoSites.StartAsync(null, stop);
        var (ours, theirs, other) = (sites.MakeSource(1, 4000), sites.MakeSource(2, 4000), sites.MakeSource(3, 4000));
        using (var client = sites.Client(sites.Archive))
        {
            Assert.NotNull((await new Upload(client, TimeProvider.System).RunAsync(theirs, "same", cancellationToken: stop)).Receipt);
        }

        using (var client = sites.Client(sites.Mountain))
        {
            var upload = new Upload(client, TimeProvider.System);
            Assert.NotNull((await upload.RunAsync(ours, "same", cancellationToken: stop)).Receipt);
            Assert.NotNull((await upload.RunAsync(other, "other", cancellationToken: stop)).Receipt);
        }

        await sites.WaitUntilAcknowledgedAsync(["other"], s_failsafe, stop);
        Assert.Equal(
            await ContentDigest.OfAsync(theirs, stop),
            await ContentDigest.OfAsync(Path.Combine(sites.Archive.StorePath, "same"), stop)
        );
        Assert.Equal(
            await ContentDigest.OfAsync(ours, stop),
            await ContentDigest.OfAsync(Path.Combine(sites.Mountain.StorePath, "same"), stop)
        );
        using var mountain = sites.Client(sites.Mountain);
        Assert.Empty((await mountain.SearchFilesAsync(new FileSearchRequest(Name: "same"), stop)).Value![0].RemoteInstances);
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Repair_CorruptCopiesAtTheArchive_AreReplacedFromTheMountainAndTheBadDataKeptAside(bool postgres)
    {
        var stop = TestContext.Current.CancellationToken;
        await using var sites = await TwoSites.StartAsync(postgres ? server : null, stop, archive =>
            archive.Set("Schedules__RepairCorruptCopies", "* * * * * *")
        );
        // Number 4 is a directory.
        var sources = new Dictionary<string, string> { ["obs/file"] = sites.MakeSource(1, 5000), ["obs/book"] = sites.MakeSource(4, 5000) };
        using (var client = sites.Client(sites.Mountain))
        {
            foreach (var (name, source) in sources)
                Assert.NotNull((await new Upload(client, TimeProvider.System).RunAsync(source, name, cancellationToken: stop)).Receipt);
        }

        await sites.WaitUntilAcknowledgedAsync(sources.Keys, s_failsafe, stop);
        await File.WriteAllTextAsync(Path.Combine(sites.Archive.StorePath, "obs/file"), "rot", stop);
        await File.WriteAllTextAsync(Path.Combine(sites.Archive.StorePath, "obs/book/inner/two.bin"), "rot", stop);
        using var archive = sites.Client(sites.Archive);
        foreach (var name in sources.Keys)
            Assert.False(Assert.Single((await archive.ValidateFileAsync(new ValidateFileRequest(name), stop)).Value!).ComputedSameChecksum);

        await Wait.UntilAsync(
            async () =>
            {
                var good = 0;
                foreach (var name in sources.Keys)
                    good += (await archive.ValidateFileAsync(new ValidateFileRequest(name), stop)).Value!.Count(c =>
                        c.ComputedSameChecksum
                    );
                return good == sources.Count;
            },
            () => $"the repair:\n== mountain\n{sites.Mountain.Output}\n== archive\n{sites.Archive.Output}",
            pause: TwoSites.Pause
        );

        await sites.WaitUntilAcknowledgedAsync(sources.Keys, s_failsafe, stop);
        await sites.VerifyEverywhereAsync(sources, stop);
        await sites.WaitUntilStagingIsEmptyAsync(s_failsafe);
        var quarantine = Directory
            .EnumerateFiles(Path.Combine(sites.Archive.StorePath, ".librarian/aside"), "*", SearchOption.AllDirectories)
            .ToList();
        Assert.Equal(2, quarantine.Count(f => File.ReadAllText(f) == "rot"));
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Clone_FileThatWentBadBeforeItWasSent_IsWithheldListedAndSentWhenItIsRepaired(bool postgres)
    {
        var stop = TestContext.Current.CancellationToken;
        await using var sites = await TwoSites.StartAsync(postgres ? server : null, stop, configureMountain: mountain =>
            mountain.Set("Schedules__RepairCorruptCopies", "* * * * * *")
        );
        await sites.Archive.KillAsync();
        // Number 4 is a directory.
        var sources = new Dictionary<string, string>
        {
            ["obs/file"] = sites.MakeSource(1, 5000),
            ["obs/book"] = sites.MakeSource(4, 5000),
            ["obs/good"] = sites.MakeSource(2, 5000),
        };
        using var mountain = sites.Client(sites.Mountain);
        foreach (var (name, source) in sources)
            Assert.NotNull((await new Upload(mountain, TimeProvider.System).RunAsync(source, name, cancellationToken: stop)).Receipt);
        string[] bad =
        [
            Path.Combine(sites.Mountain.StorePath, "obs/file"),
            Path.Combine(sites.Mountain.StorePath, "obs/book/inner/two.bin"),
        ];
        foreach (var path in bad)
            await FlipAsync(path, stop);
        await sites.Archive.StartAsync(stop);
        await sites.WaitUntilAcknowledgedAsync(["obs/good"], s_failsafe, stop);
        await sites.Mountain.WaitForOutputAsync("of obs/file to archive ended without anything being sent");
        await sites.Mountain.WaitForOutputAsync("of obs/book to archive ended without anything being sent");
        var errors = await mountain.SearchErrorsAsync(new ErrorSearchRequest(), stop);
        Assert.True(errors.IsSuccess, errors.Error?.ToString());
        foreach (var name in new[] { "'obs/file'", "'obs/book'" })
            Assert.Contains(errors.Value, e =>
                e is { Severity: ErrorSeverity.Critical, Category: ErrorCategory.DataIntegrity }
                && e.Message.Contains(name, StringComparison.Ordinal)
            );
        // More work passes meanwhile, and nothing of the bad ones gets to the archive or is tried again.
        sources["obs/later"] = sites.MakeSource(3, 5000);
        Assert.NotNull(
            (await new Upload(mountain, TimeProvider.System).RunAsync(sources["obs/later"], "obs/later", cancellationToken: stop)).Receipt
        );
        await sites.WaitUntilAcknowledgedAsync(["obs/later"], s_failsafe, stop);
        Assert.Equal(["obs/good", "obs/later"], TwoSites.StoredFiles(sites.Archive));
        Assert.Equal(2, sites.Mountain.Output.Split("ended without anything being sent").Length - 1);

        foreach (var path in bad)
            await FlipAsync(path, stop);
        await sites.WaitUntilAcknowledgedAsync(sources.Keys, s_failsafe, stop);
        await sites.VerifyEverywhereAsync(sources, stop);
        await sites.WaitUntilStagingIsEmptyAsync(s_failsafe);
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Clone_TheArchiveHasLostItsRowsAndKeptItsDisk_IsAdoptedWithoutAnotherCopy(bool postgres)
    {
        var stop = TestContext.Current.CancellationToken;
        await using var sites = await TwoSites.StartAsync(postgres ? server : null, stop);
        var sources = new Dictionary<string, string> { ["obs/file"] = sites.MakeSource(1, 5000), ["obs/book"] = sites.MakeSource(4, 5000) };
        // Another file lies at the name of a third.
        sources["obs/other"] = sites.MakeSource(2, 5000);
        foreach (var (name, source) in sources)
        {
            var place = Path.Combine(sites.Archive.StorePath, name);
            Directory.CreateDirectory(Path.GetDirectoryName(place)!);
            await ProcessRunner.RunAsync("cp", ["-r", "--preserve=timestamps", name == "obs/other" ? sources["obs/file"] : source, place]);
        }

        using (var mountain = sites.Client(sites.Mountain))
        {
            foreach (var (name, source) in sources)
                Assert.NotNull((await new Upload(mountain, TimeProvider.System).RunAsync(source, name, cancellationToken: stop)).Receipt);
        }

        await sites.WaitUntilAcknowledgedAsync(["obs/file", "obs/book"], s_failsafe, stop);
        await sites.Archive.WaitForOutputAsync("At 'obs/other' lie data that the catalog does not know");
        Assert.Equal(
            await ContentDigest.OfAsync(sources["obs/file"], stop),
            await ContentDigest.OfAsync(Path.Combine(sites.Archive.StorePath, "obs/other"), stop)
        );
        sources.Remove("obs/other");
        await sites.VerifyEverywhereAsync(sources, stop);
    }

    private static async Task FlipAsync(string path, CancellationToken cancellationToken)
    {
        var bytes = await File.ReadAllBytesAsync(path, cancellationToken);
        bytes[7] ^= 1;
        await File.WriteAllBytesAsync(path, bytes, cancellationToken);
    }
}
