using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteIngestTurnTests(PostgresServer server) : IngestLockTests(server, DatabaseKind.Sqlite);

public sealed class PostgresIngestTurnTests(PostgresServer server) : IngestLockTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// Several processes of one site, each with an ingest of its own, and one transfer: a stalled worker's activity and that of its successor.
/// </summary>
public abstract class IngestLockTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private TestSite _site = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _site = await TestSite.CreateAsync(kind, server);

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Run_WhileAnotherProcessHasTheTurn_ComesBackLaterAndMarksNothing()
    {
        var (id, staging) = await StagedAsync("obs/a");
        var (turn, refusal) = await _site.Services.GetRequiredService<SiteStores>().All[0].Store.TryLockCommitAsync(staging, Stop);
        Assert.Null(refusal);
        using var ingest = OfAnotherProcess();
        using (turn)
        {
            var waits = await ingest.RunAsync(id, DeletionPolicy.Disallowed, Stop);
            Assert.Equal(IngestOutcome.TryLater, waits.Outcome);
            Assert.Contains("Another process", waits.Message, StringComparison.Ordinal);
            await using var db = _site.Catalog.Open();
            Assert.False(await db.IncomingTransfers.Where(t => t.Id == id).Select(t => t.FlushBegun).SingleAsync(Stop));
        }

        Assert.Equal(IngestOutcome.Ingested, (await ingest.RunAsync(id, DeletionPolicy.Disallowed, Stop)).Outcome);
    }

    /// <summary>
    /// A second run that found the first one's mark would take the data away from the destination to write their entry anew, though
    /// they are catalogued by then.
    /// </summary>
    [Fact]
    public async Task Run_InThreeProcessesAtOnce_NeverMovesWhatIsCatalogued()
    {
        StagedFileIngest[] processes = [OfAnotherProcess(), OfAnotherProcess(), OfAnotherProcess()];
        for (var i = 0; i < 25; i++)
        {
            var (id, _) = await StagedAsync($"race/{i}");
            var stored = Path.Combine(_site.StorePath, $"race/{i}");
            var running = 9;
            var outcomes = await Task.WhenAll(
                Enumerable
                    .Range(0, 9)
                    .Select(run =>
                        Task.Run(
                            async () =>
                            {
                                var result = await processes[run % 3].RunAsync(id, DeletionPolicy.Disallowed, Stop);
                                Interlocked.Decrement(ref running);
                                while (result.Outcome == IngestOutcome.Ingested && Volatile.Read(ref running) > 0)
                                    Assert.True(File.Exists(stored), stored);
                                return result;
                            },
                            Stop
                        )
                    )
            );
            Assert.All(outcomes, o =>
                Assert.True(o.Outcome is IngestOutcome.Ingested or IngestOutcome.TryLater, $"{i}: {o.Outcome} {o.Message}")
            );
            Assert.Contains(outcomes, o => o.Outcome == IngestOutcome.Ingested);
            Assert.Equal("hello world", await File.ReadAllTextAsync(stored, Stop));
        }

        foreach (var process in processes)
            process.Dispose();
    }

    private StagedFileIngest OfAnotherProcess() => ActivatorUtilities.CreateInstance<StagedFileIngest>(_site.Services);

    private async Task<(long Id, Guid Staging)> StagedAsync(string name)
    {
        var (id, location, staging) = await _site.StageAsync(name, HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world", Stop);
        await using var db = _site.Catalog.Open();
        await db
            .IncomingTransfers.Where(t => t.Id == id)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged), Stop);
        return (id, Guid.Parse(staging));
    }
}
