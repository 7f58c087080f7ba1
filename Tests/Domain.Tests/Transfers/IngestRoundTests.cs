using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using static Librarian.Tests.Domain.Transfers.IngestRoundFixture;

namespace Librarian.Tests.Domain.Transfers;

public sealed class SqliteIngestRoundTests(PostgresServer server) : IngestRoundTests(server, DatabaseKind.Sqlite);

public sealed class PostgresIngestRoundTests(PostgresServer server) : IngestRoundTests(server, DatabaseKind.PostgreSql);

/// <summary>Small files are ingested in rounds, and yet each is judged by itself and survives a crash at any step.</summary>
public abstract class IngestRoundTests(PostgresServer server, DatabaseKind kind)
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task RunRound_AnyNumberOfFiles_TakesTheSameStatements()
    {
        using var fixture = await CreateAsync(kind, server);
        var ingest = await fixture.ProcessAsync();
        List<string> names = [];
        List<int> statements = [];
        foreach (var count in new[] { 2, 2, 20, StagedFileIngest.MostInRound })
        {
            List<string> more = [.. Enumerable.Range(0, count).Select(i => $"r{statements.Count}/{i % 7}/{i}")];
            names.AddRange(more);
            var ids = await fixture.StagedAsync(more);
            fixture.Statements.Reset();
            Assert.All(await RoundAsync(ingest, ids), r => Assert.Equal(IngestOutcome.Ingested, r!.Outcome));
            statements.Add(fixture.Statements.Reset());
        }

        Assert.Equal(statements[1], statements[2]);
        Assert.Equal(statements[1], statements[3]);
        await fixture.AssertStoredAsync(names);
        await using var db = fixture.Database.Open();
        Assert.False(await db.IncomingTransfers.AnyAsync(t => t.CallbackTries != 0, Stop));
    }

    [Fact]
    public async Task RunRound_OneCorruptFileAmongHundred_EndsThatOneAlone()
    {
        using var fixture = await CreateAsync(kind, server);
        List<string> names = [.. Enumerable.Range(0, 100).Select(i => $"a/{i % 9}/{i}")];
        var ids = await fixture.StagedAsync([.. names.Select((n, i) => (n, i == 42 ? "hello wOrld" : Content))]);
        var results = await RoundAsync(await fixture.ProcessAsync(), ids);
        Assert.Equal(IngestOutcome.Mismatch, results[42]!.Outcome);
        Assert.Contains("Declared 11 bytes", results[42]!.Message, StringComparison.Ordinal);
        Assert.All(results.Where((_, i) => i != 42), r => Assert.Equal(IngestOutcome.Ingested, r!.Outcome));
        await fixture.AssertStoredAsync([.. names.Where((_, i) => i != 42)]);
        await using var db = fixture.Database.Open();
        var failed = await db.IncomingTransfers.SingleAsync(t => t.Status == TransferStatus.Failed, Stop);
        Assert.Equal((ids[42], results[42]!.Message, (int?)0), (failed.Id, failed.FailureReason, failed.CallbackTries));
        Assert.Contains(names[42], Assert.Single(await db.Errors.ToListAsync(Stop)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RunRound_NameIsTakenInTheCatalogOrOnTheDisk_EndsThoseAlone()
    {
        using var fixture = await CreateAsync(kind, server);
        var ingest = await fixture.ProcessAsync();
        var ids = await fixture.StagedAsync(["a", "catalogued", "other", "same", "b"]);
        await using (var db = fixture.Database.Open())
        {
            db.Files.Add(
                new FileRecord
                {
                    Name = "catalogued",
                    CreateTime = DateTime.UtcNow,
                    Size = 1,
                    Checksum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7",
                    Uploader = "u",
                    Source = "s",
                }
            );
            await db.SaveChangesAsync(Stop);
        }

        await File.WriteAllTextAsync(Path.Combine(fixture.StorePath, "other"), "something else", Stop);
        await File.WriteAllTextAsync(Path.Combine(fixture.StorePath, "same"), Content, Stop);
        var results = await RoundAsync(ingest, ids);
        Assert.Equal(
            [IngestOutcome.Ingested, IngestOutcome.NameTaken, IngestOutcome.NameTaken, IngestOutcome.Ingested, IngestOutcome.Ingested],
            results.Select(r => r!.Outcome)
        );
        Assert.Contains("catalogued here already", results[1]!.Message, StringComparison.Ordinal);
        Assert.Equal("something else", await File.ReadAllTextAsync(Path.Combine(fixture.StorePath, "other"), Stop));
        await using var after = fixture.Database.Open();
        Assert.Equal(["a", "b", "same"], await after.Copies.Select(c => c.FileName).Order().ToListAsync(Stop));
        Assert.Empty(Directory.EnumerateFileSystemEntries(fixture.StagingPath));
    }

    [Fact]
    public async Task RunRound_NamesThatAreNestedInEachOther_StoresTheFirst()
    {
        using var fixture = await CreateAsync(kind, server);
        var ids = await fixture.StagedAsync(["n/1", "n/1/inside", "n/2", "m/3/inside", "m/3"]);
        var results = await RoundAsync(await fixture.ProcessAsync(), ids);
        Assert.Equal(
            [IngestOutcome.Ingested, IngestOutcome.NameTaken, IngestOutcome.Ingested, IngestOutcome.Ingested, IngestOutcome.NameTaken],
            results.Select(r => r!.Outcome)
        );
        await fixture.AssertStoredAsync(["n/1", "n/2", "m/3/inside"]);
    }

    [Fact]
    public async Task RunRound_LargeFileOrDirectoryOrInterruptedOne_IsLeftToItsOwnRun()
    {
        using var fixture = await CreateAsync(kind, server);
        var ingest = await fixture.ProcessAsync();
        var ids = await fixture.StagedAsync(["directory", "flushing", "large", "small"]);
        await using (var db = fixture.Database.Open())
        {
            await db.IncomingTransfers.Where(t => t.Id == ids[1]).ExecuteUpdateAsync(s => s.SetProperty(t => t.FlushBegun, true), Stop);
            var large = LocalStore.LargestInRound + 1;
            await db.IncomingTransfers.Where(t => t.Id == ids[2]).ExecuteUpdateAsync(s => s.SetProperty(t => t.TransferSize, large), Stop);
            var staging = await db.IncomingTransfers.Where(t => t.Id == ids[0]).Select(t => t.StagingPath).SingleAsync(Stop);
            var data = Path.Combine(fixture.StagingPath, staging!, "directory");
            File.Delete(data);
            Directory.CreateDirectory(data);
            await File.WriteAllTextAsync(Path.Combine(data, "member"), Content, Stop);
        }

        var results = await RoundAsync(ingest, [.. ids, 999]);
        Assert.Equal([null, null, null, IngestOutcome.Ingested, IngestOutcome.NotExpected], results.Select(r => r?.Outcome));
        await using var after = fixture.Database.Open();
        var left = await after.IncomingTransfers.Where(t => t.Status == TransferStatus.Staged).OrderBy(t => t.Id).ToListAsync(Stop);
        Assert.Equal([(ids[0], false), (ids[1], true), (ids[2], false)], left.Select(t => (t.Id, t.FlushBegun)));
        Assert.Equal(IngestOutcome.Ingested, (await ingest.RunAsync(ids[1], DeletionPolicy.Disallowed, Stop)).Outcome);
    }

    [Fact]
    public async Task RunRound_WithTheSameTransfersAtOnceInTwoProcesses_StoresEachOnce()
    {
        using var fixture = await CreateAsync(kind, server);
        StagedFileIngest[] processes = [await fixture.ProcessAsync(), await fixture.ProcessAsync()];
        for (var i = 0; i < 5; i++)
        {
            List<string> names = [.. Enumerable.Range(0, 60).Select(f => $"o{i}/{f}")];
            var ids = await fixture.StagedAsync(names);
            var rounds = await Task.WhenAll(
                Enumerable
                    .Range(0, 6)
                    .Select(r => Task.Run(() => RoundAsync(processes[r % 2], r < 4 ? ids : ids.Skip(10 * r).Concat(ids.Take(20))), Stop))
            );
            Assert.All(rounds.SelectMany(r => r), r =>
                Assert.True(r is null or { Outcome: IngestOutcome.Ingested or IngestOutcome.TryLater }, r?.Message)
            );
            Assert.All(await RoundAndRestAsync(processes[0], ids), r => Assert.Equal(IngestOutcome.Ingested, r.Outcome));
        }

        await fixture.AssertStoredAsync([.. Enumerable.Range(0, 5).SelectMany(i => Enumerable.Range(0, 60).Select(f => $"o{i}/{f}"))]);
    }

    [Fact]
    public async Task RunRound_WhileSingleRunsHaveSomeOfThem_HoldsUpNobody()
    {
        using var fixture = await CreateAsync(kind, server);
        var ingest = await fixture.ProcessAsync();
        List<string> names = [.. Enumerable.Range(0, 80).Select(f => $"s/{f}")];
        var ids = await fixture.StagedAsync(names);
        var round = Task.Run(() => RoundAsync(ingest, ids), Stop);
        var singles = await Task.WhenAll(
            ids.Where((_, i) => i % 4 == 0).Select(id => ingest.RunAsync(id, DeletionPolicy.Disallowed, Stop))
        );
        Assert.All(singles, r => Assert.Equal(IngestOutcome.Ingested, r.Outcome));
        Assert.All(await round, r => Assert.True(r is null or { Outcome: IngestOutcome.Ingested }, r?.Message));
        Assert.All(await RoundAndRestAsync(ingest, ids), r => Assert.Equal(IngestOutcome.Ingested, r.Outcome));
        await fixture.AssertStoredAsync(names);
    }

    [
        Theory,
        InlineData("round.opened", 1),
        InlineData("round.read", 1),
        InlineData("place.before-parents", 1),
        InlineData("round.before-renames", 1),
        InlineData("place.before-rename", 7),
        InlineData("place.after-rename", 7),
        InlineData("round.renamed", 1),
        InlineData("round.targets-synced", 1),
        InlineData("round.modes-set", 1),
        InlineData("round.staging-synced", 1),
        InlineData("round.before-removal", 1)
    ]
    public async Task RunRound_CrashAtAnyStep_StoresEachFileOnceAfterwards(string point, int occurrence)
    {
        using var fixture = await CreateAsync(kind, server);
        List<string> names = [.. Enumerable.Range(0, 20).Select(f => $"c/{f % 3}/{f}")];
        var ids = await fixture.StagedAsync(names);
        var dying = await fixture.ProcessAsync(new Fault(point, occurrence, () => throw new SimulatedCrashException(point)));
        await Assert.ThrowsAsync<SimulatedCrashException>(() => RoundAsync(dying, ids));
        var next = await fixture.ProcessAsync();
        Assert.All(await RoundAndRestAsync(next, ids), r => Assert.Equal(IngestOutcome.Ingested, r.Outcome));
        await fixture.AssertStoredAsync(names);
        Assert.All(await RoundAsync(next, ids), r => Assert.Equal(IngestOutcome.Ingested, r!.Outcome));
    }

    /// <summary>What was swapped or written after it was read is not stored, whoever else is in the round.</summary>
    [Theory, InlineData("round.read"), InlineData("place.before-rename"), InlineData("place.after-rename")]
    public async Task RunRound_FileIsWrittenAfterItWasRead_StoresOnlyVerifiedData(string point)
    {
        using var fixture = await CreateAsync(kind, server);
        var ids = await fixture.StagedAsync(["w/0", "w/1", "w/2"]);
        string staging;
        await using (var db = fixture.Database.Open())
            staging = (await db.IncomingTransfers.SingleAsync(t => t.Id == ids[0], Stop)).StagingPath!;
        var ingest = await fixture.ProcessAsync(
            new Fault(point, 1, () =>
                File.WriteAllText(
                    point == "place.after-rename"
                        ? Path.Combine(fixture.StorePath, "w/0")
                        : Path.Combine(fixture.StagingPath, staging, "0"),
                    "hello wOrld"
                )
            )
        );
        var results = await RoundAsync(ingest, ids);
        Assert.Equal([IngestOutcome.Mismatch, IngestOutcome.Ingested, IngestOutcome.Ingested], results.Select(r => r!.Outcome));
        await fixture.AssertStoredAsync(["w/1", "w/2"]);
    }

    [Fact]
    public async Task RunRound_Cancelled_LeavesNoMarkAndNothingBehind()
    {
        using var fixture = await CreateAsync(kind, server);
        List<string> names = [.. Enumerable.Range(0, 12).Select(f => $"x/{f}")];
        var ids = await fixture.StagedAsync(names);
        using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var ingest = await fixture.ProcessAsync(new Fault("round.read", 1, cancellation.Cancel));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            ingest.RunRoundAsync([.. ids.Select(id => new StagedTransfer(id, DeletionPolicy.Disallowed))], cancellation.Token)
        );
        await using (var db = fixture.Database.Open())
            Assert.False(await db.IncomingTransfers.AnyAsync(t => t.FlushBegun || t.Committing, Stop));
        Assert.All(await RoundAsync(ingest, ids), r => Assert.Equal(IngestOutcome.Ingested, r!.Outcome));
        await fixture.AssertStoredAsync(names);
    }

    [Fact]
    public async Task RunRound_StoreThatMustOwnItsData_CopiesThem()
    {
        using var fixture = await CreateAsync(kind, server, store => (store.OwnAfterCommit, store.ReadOnlyAfterCommit) = (true, true));
        List<string> names = [.. Enumerable.Range(0, 12).Select(f => $"y/{f}")];
        var ids = await fixture.StagedAsync(names);
        Assert.All(await RoundAsync(await fixture.ProcessAsync(), ids), r => Assert.Equal(IngestOutcome.Ingested, r!.Outcome));
        await fixture.AssertStoredAsync(names);
        Assert.All(names, n => Assert.Equal((UnixFileMode)0x124, File.GetUnixFileMode(Path.Combine(fixture.StorePath, n))));
    }

    /// <summary>Does something when a point is reached for the nth time.</summary>
    private sealed class Fault(string point, int occurrence, Action action) : IStoreFaults
    {
        private int _seen;

        public void Reach(string reached)
        {
            if (reached == point && Interlocked.Increment(ref _seen) == occurrence)
                action();
        }
    }
}
