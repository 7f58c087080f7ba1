using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Tests.Domain.Catalog;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Domain.Transfers;

/// <summary>A catalog, a store, and transfers whose data lie in staging.</summary>
internal sealed class IngestRoundFixture : IDisposable
{
    internal const string Content = "hello world";
    private const string ContentSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private static readonly Caller Sender = new("sender", AuthLevel.ReadAppend);

    private readonly FakeTimeProvider _time = new(DateTimeOffset.UnixEpoch.AddYears(50));
    private readonly TestCatalog _catalog;
    private readonly TemporaryDirectory _place = new();
    private readonly SiteOptions _options;
    private readonly List<StagedFileIngest> _ingests = [];
    private long _theirs;

    private IngestRoundFixture(TestCatalog catalog, StatementCounter statements, Action<StoreOptions>? configure)
    {
        (_catalog, Statements) = (catalog, statements);
        var store = new StoreOptions
        {
            Name = "main",
            StagingPath = StagingPath = _place.MakeDirectory("staging"),
            StorePath = StorePath = _place.MakeDirectory("store"),
        };
        configure?.Invoke(store);
        _options = new SiteOptions
        {
            Name = "archive",
            DataDirectory = _place.MakeDirectory("data"),
            Stores = [store],
        };
    }

    internal CatalogDatabase Database => _catalog.Database;

    internal StatementCounter Statements { get; }

    internal string StagingPath { get; }

    internal string StorePath { get; }

    internal static async Task<IngestRoundFixture> CreateAsync(
        DatabaseKind kind,
        PostgresServer server,
        Action<StoreOptions>? configure = null
    )
    {
        var statements = new StatementCounter();
        return new IngestRoundFixture(await Databases.CreateAsync(kind, server, statements), statements, configure);
    }

    public void Dispose()
    {
        _ingests.ForEach(i => i.Dispose());
        _catalog.Dispose();
        _place.Dispose();
    }

    /// <summary>The ingest of one process of the site.</summary>
    internal async Task<StagedFileIngest> ProcessAsync(IStoreFaults? faults = null)
    {
        var (ingest, _) = await PartsAsync(faults);
        _ingests.Add(ingest);
        return ingest;
    }

    /// <summary>Transfers of files that a peer says are complete; each by its name, with the content that lies in staging.</summary>
    internal async Task<List<long>> StagedAsync(params (string Name, string Staged)[] files)
    {
        var (ingest, incoming) = await PartsAsync(null);
        ingest.Dispose();
        var staged = Assert.IsType<StageResult.Accepted>(
            await incoming.StageBatchAsync(
                [.. files.Select(f => new DeclaredTransfer(Content.Length, ContentSum, f.Name.Split('/')[^1], f.Name, ++_theirs))],
                (long)files.Length * Content.Length,
                "sender",
                Sender,
                TestContext.Current.CancellationToken
            )
        );
        var ids = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var slot in staged.Slots)
        {
            await File.WriteAllTextAsync(slot.StagingLocation, files.First(f => f.Name == slot.Destination.Value).Staged);
            ids[slot.Destination.Value] = slot.TransferId;
        }

        await using var db = Database.Open();
        await db
            .IncomingTransfers.Where(t => ids.Values.Contains(t.Id))
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged));
        return [.. files.Select(f => ids[f.Name])];
    }

    /// <summary>Transfers of good files.</summary>
    internal Task<List<long>> StagedAsync(IEnumerable<string> names) => StagedAsync([.. names.Select(n => (n, Content))]);

    internal static Task<IReadOnlyList<IngestResult?>> RoundAsync(StagedFileIngest ingest, IEnumerable<long> ids) =>
        ingest.RunRoundAsync(
            [.. ids.Select(id => new StagedTransfer(id, DeletionPolicy.Disallowed))],
            TestContext.Current.CancellationToken
        );

    /// <summary>What the workflows do: a round, then each transfer that it has left by itself.</summary>
    internal static async Task<List<IngestResult>> RoundAndRestAsync(StagedFileIngest ingest, IReadOnlyList<long> ids)
    {
        var results = new List<IngestResult>();
        foreach (var (id, result) in ids.Zip(await RoundAsync(ingest, ids)))
            results.Add(
                result is null or { Outcome: IngestOutcome.TryLater }
                    ? await ingest.RunAsync(id, DeletionPolicy.Disallowed, TestContext.Current.CancellationToken)
                    : result
            );
        return results;
    }

    /// <summary>Each of these is catalogued once and stored whole, and nothing else is.</summary>
    internal async Task AssertStoredAsync(IReadOnlyCollection<string> names)
    {
        await using var db = Database.Open();
        Assert.Equal(names.Order(StringComparer.Ordinal), (await db.Files.Select(f => f.Name).ToListAsync()).Order(StringComparer.Ordinal));
        var copies = await db.Copies.ToListAsync();
        Assert.Equal(names.Order(StringComparer.Ordinal), copies.Select(c => c.FileName).Order(StringComparer.Ordinal));
        Assert.All(copies, c => Assert.Equal((true, c.FileName), (c.Available && c.Fingerprint is not null, c.Path)));
        foreach (var name in names)
            Assert.Equal(Content, await File.ReadAllTextAsync(Path.Combine(StorePath, name)));
        Assert.Equal(
            names.Count,
            Directory
                .EnumerateFiles(StorePath, "*", SearchOption.AllDirectories)
                .Count(f => !f.Contains("/.librarian/", StringComparison.Ordinal))
        );
        Assert.Empty(Directory.EnumerateFileSystemEntries(StagingPath));
        Assert.False(await db.IncomingTransfers.AnyAsync(t => t.Committing || t.FlushBegun || t.Status == TransferStatus.Staged));
    }

    private async Task<(StagedFileIngest Ingest, IncomingTransfers Incoming)> PartsAsync(IStoreFaults? faults)
    {
        var options = Options.Create(_options);
        var stores = new SiteStores(Database, options, NullLogger<SiteStores>.Instance, faults: faults);
        await stores.SynchroniseAsync(default);
        var errors = new ErrorLog(Database, _time, NullLogger<ErrorLog>.Instance);
        var checks = new CopyChecks(Database, stores, errors, options, _time, NullLogger<CopyChecks>.Instance);
        var incoming = new IncomingTransfers(
            Database,
            stores,
            new CopyProbe(Database, checks, options, _time),
            errors,
            options,
            _time,
            NullLogger<IncomingTransfers>.Instance
        );
        return (new StagedFileIngest(Database, stores, incoming, errors, options, _time, NullLogger<StagedFileIngest>.Instance), incoming);
    }
}
