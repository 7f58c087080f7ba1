using System.Collections.Concurrent;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Librarian.Tests.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Domain.Stores;

/// <summary>What lies at the path of a store, and what a site makes of it.</summary>
public sealed class SiteStoresTests(PostgresServer server) : IDisposable
{
    private readonly TemporaryDirectory _place = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _place.Dispose();

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Synchronise_StoreMovedToAnotherPath_IsFoundAgainWithItsFiles(DatabaseKind kind)
    {
        using var site = await Site.CreateAsync(this, kind);
        await site.StartAsync(("main", "a"));
        _place.Write("a/obs/1.bin", "hello");
        await site.KeepAsync("obs/1.bin", "obs/1.bin");
        Directory.Move(_place["a"], _place["b"]);

        var stores = await site.StartAsync(("main", "b"));

        var main = Assert.Single(stores.Configured);
        Assert.True(main.IsMounted);
        Assert.Equal(_place["b/obs/1.bin"], stores.Locate(main.Id, "obs/1.bin"));
        var line = Assert.Single(site.Said);
        Assert.Equal(
            (
                LogLevel.Information,
                $"Store main has moved from {_place["a"]} and was found again at {_place["b"]} by its identity; "
                    + "all its files are where the catalog says"
            ),
            line
        );
    }

    [Fact]
    public async Task Synchronise_PathWithoutTheStore_NamesTheFixAndMakesNothing()
    {
        using var site = await Site.CreateAsync(this);
        await site.StartAsync(("main", "a"));
        Directory.Move(_place["a"], _place["away"]);

        var main = Assert.Single((await site.StartAsync(("main", "a"))).Configured);
        Assert.False(main.IsMounted);
        Assert.False(Directory.Exists(_place["a"]));
        Assert.Equal(
            $"Store 'main' is not mounted: {_place["a"]} does not exist. Nothing was lost, and nothing is read or written there. "
                + "Mount it; the site notices by itself. "
                + "If the store has moved, correct its StorePath in Site:Stores and restart the site: its files are found again.",
            site.OneLine(LogLevel.Error)
        );

        // An empty mount point.
        _place.MakeDirectory("a");
        Assert.False(main.IsMounted);
        Assert.False(main.IsMounted);
        Assert.Empty(Directory.GetFileSystemEntries(_place["a"]));
        Assert.StartsWith(
            $"Store 'main' is not mounted: {_place["a"]} has no identity (.librarian/store-id); "
                + "an empty mount point has none. Nothing was lost",
            site.OneLine(LogLevel.Error),
            StringComparison.Ordinal
        );

        Directory.Delete(_place["a"]);
        Directory.Move(_place["away"], _place["a"]);
        Assert.True(main.IsMounted);
        Assert.Equal((LogLevel.Information, $"Store main is mounted again at {_place["a"]}"), Assert.Single(site.Said));
    }

    [Fact]
    public async Task IsMounted_StoresOfThisSiteSwapped_NamesBoth()
    {
        using var site = await Site.CreateAsync(this);
        var stores = await site.StartAsync(("first", "a"), ("second", "b"));
        Directory.Move(_place["a"], _place["c"]);
        Directory.Move(_place["b"], _place["a"]);
        Directory.Move(_place["c"], _place["b"]);
        Assert.False(stores.Configured[0].IsMounted);
        var message = site.OneLine(LogLevel.Error);
        Assert.Contains(
            $"Store 'first' is not mounted: {_place["a"]} holds store 'second' of site 'here' (",
            message,
            StringComparison.Ordinal
        );
        Assert.Contains("Mount the disk of 'first' there, or correct the paths in Site:Stores", message, StringComparison.Ordinal);
        Assert.Null(stores.Find(stores.Configured[1].Id));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Synchronise_NewStoreWithTheDirectoryOfAnotherSite_IsRefusedAndNothingIsChanged(DatabaseKind kind)
    {
        using var site = await Site.CreateAsync(this, kind);
        using var other = await Site.CreateAsync(this, kind, "there");
        var owner = Assert.Single((await site.StartAsync(("main", "a"))).Configured);
        var before = await File.ReadAllBytesAsync(_place["a/.librarian/store-id"], Stop);

        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => other.StartAsync(("disk", "a")));

        Assert.StartsWith($"{_place["a"]} is store 'main' of site 'here' (", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(
            "Nothing was lost and nothing was changed. Two sites cannot share a store: give store 'disk' another directory in Site:Stores.",
            refusal.Message,
            StringComparison.Ordinal
        );
        Assert.Equal(before, await File.ReadAllBytesAsync(_place["a/.librarian/store-id"], Stop));
        Assert.True(owner.IsMounted);
        await using var db = other.Catalog.Open();
        Assert.Empty(await db.Stores.ToListAsync(Stop));
    }

    [Fact]
    public async Task IsMounted_StoreOfAnotherSiteInItsPlace_NamesThatSite()
    {
        using var site = await Site.CreateAsync(this);
        using var other = await Site.CreateAsync(this, DatabaseKind.Sqlite, "there");
        await other.StartAsync(("disk", "b"));
        var main = Assert.Single((await site.StartAsync(("main", "a"))).Configured);
        Directory.Move(_place["a"], _place["c"]);
        Directory.Move(_place["b"], _place["a"]);
        Assert.False(main.IsMounted);
        Assert.Contains($"{_place["a"]} holds store 'disk' of site 'there' (", site.OneLine(LogLevel.Error), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Synchronise_CatalogLost_TakesTheStoreOverByItsIdentity()
    {
        using var lost = await Site.CreateAsync(this);
        await lost.StartAsync(("main", "a"));
        var identity = await File.ReadAllBytesAsync(_place["a/.librarian/store-id"], Stop);
        using var site = await Site.CreateAsync(this);
        Assert.True(Assert.Single((await site.StartAsync(("main", "a"))).Configured).IsMounted);
        Assert.Equal(identity, await File.ReadAllBytesAsync(_place["a/.librarian/store-id"], Stop));
        Assert.StartsWith($"Store main at {_place["a"]} carries the identity", site.OneLine(LogLevel.Warning), StringComparison.Ordinal);
        // The catalog that was lost comes back: the store is its own as before.
        Assert.True(Assert.Single((await lost.StartAsync(("main", "a"))).Configured).IsMounted);
    }

    [Fact]
    public async Task Synchronise_StoreConfiguredUnderAnotherName_IsRefused()
    {
        using var site = await Site.CreateAsync(this);
        await site.StartAsync(("main", "a"));
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => site.StartAsync(("renamed", "a")));
        Assert.Contains("is this site's store 'main' (", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(
            "and is configured as 'renamed'. Nothing was lost and nothing was changed. A store keeps its name",
            refusal.Message,
            StringComparison.Ordinal
        );
        Assert.True(Assert.Single((await site.StartAsync(("main", "a"))).Configured).IsMounted);
    }

    [Theory]
    [InlineData("ln -s a b", "b")]
    [InlineData("mkdir -p a/inner; ln -s a/inner b", "b")]
    public async Task Synchronise_TwoStoresInOneDirectory_IsRefused(string script, string second)
    {
        using var site = await Site.CreateAsync(this);
        await site.StartAsync(("main", "a"));
        _place.Shell(script);
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => site.StartAsync(("main", "a"), ("second", second)));
        Assert.Contains("'main'", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("Site:Stores", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Synchronise_IdentityOfTheFirstFormat_IsCompleted()
    {
        using var site = await Site.CreateAsync(this);
        var id = Assert.Single((await site.StartAsync(("main", "a"))).Configured).Store.Options.Identity!.StoreId;
        var whole = await File.ReadAllTextAsync(_place["a/.librarian/store-id"], Stop);
        _place.Write("a/.librarian/store-id", id.ToString("D"));
        Assert.True(Assert.Single((await site.StartAsync(("main", "a"))).Configured).IsMounted);
        Assert.Equal(whole, await File.ReadAllTextAsync(_place["a/.librarian/store-id"], Stop));
        Assert.Empty(site.Said);
        Assert.Equal([_place["a/.librarian/store-id"]], Directory.GetFiles(_place["a/.librarian"]));
    }

    [Theory]
    [InlineData("printf '{\"format\":\"librarian-store\",' > store-id", "it is damaged, or no identity of a store")]
    [InlineData(
        "printf '{\"format\":\"librarian-store\",\"version\":2}' > store-id",
        "its format has version 2, and this program reads version 1"
    )]
    [InlineData("head -c 5000 /dev/zero > store-id", "it is longer than 4096 bytes")]
    [InlineData("mv store-id elsewhere; ln -s elsewhere store-id", "it is a link, or no file at all")]
    [InlineData("rm store-id; mkfifo store-id", "it is a link, or no file at all")]
    [InlineData("rm store-id; mkdir store-id", "it is a link, or no file at all")]
    [InlineData("mv ../.librarian ../other; ln -s other ../.librarian", "it cannot be read: ")]
    public async Task IsMounted_UnusableIdentityFile_SaysWhatIsWrongWithItAndHowToPutItBack(string script, string problem)
    {
        using var site = await Site.CreateAsync(this);
        var main = Assert.Single((await site.StartAsync(("main", "a"))).Configured);
        _place.Shell($"cd a/.librarian; {script}");
        Assert.False(main.IsMounted);
        var message = site.OneLine(LogLevel.Error);
        Assert.StartsWith(
            $"Store 'main' is not used: {_place["a"]}/.librarian/store-id does not say which store this is: {problem}",
            message,
            StringComparison.Ordinal
        );
        // As the message says.
        _place.Shell($"cd a; rm -rf .librarian; mkdir .librarian; echo {main.Store.Options.Identity!.StoreId} > .librarian/store-id");
        Assert.True(main.IsMounted);
    }

    [Fact]
    public async Task Synchronise_NewStoreWithAnUnusableIdentity_IsRefused()
    {
        _place.Write("a/.librarian/store-id", "what?");
        using var site = await Site.CreateAsync(this);
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => site.StartAsync(("main", "a")));
        Assert.Contains(
            "/a/.librarian/store-id does not say which store this is: it is damaged, or no identity of a store. "
                + "Nothing was lost and nothing was changed.",
            refusal.Message,
            StringComparison.Ordinal
        );
        Assert.Equal("what?", await File.ReadAllTextAsync(_place["a/.librarian/store-id"], Stop));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Synchronise_PathsOutsideTheStore_AreNamedAndResolvedWithTheStorePathOfThen(DatabaseKind kind)
    {
        using var site = await Site.CreateAsync(this, kind);
        await site.StartAsync(("main", "new"));
        await site.KeepAsync("obs/🔭", _place["old"] + "/obs/🔭");
        await site.KeepAsync("obs/2", "/elsewhere/obs/2");

        await site.StartAsync(("main", "new"));
        var message = site.OneLine(LogLevel.Warning);
        Assert.StartsWith(
            $"2 copies are catalogued on store main by paths that do not lie below its StorePath {_place["new"]}, "
                + "the first of them /elsewhere/obs/2",
            message,
            StringComparison.Ordinal
        );

        _place.Shell("ln -s new old");
        var stores = await site.StartAsync(("main", "old"));
        await using var db = site.Catalog.Open();
        Assert.Equal(["/elsewhere/obs/2", "obs/🔭"], await db.Copies.OrderBy(i => i.Path).Select(i => i.Path).ToListAsync(Stop));
        Assert.Equal(_place["old"] + "/obs/🔭", stores.Locate(1, "obs/🔭"));
        Assert.Equal("/elsewhere/obs/2", stores.Locate(1, "/elsewhere/obs/2"));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task IsMounted_AnotherCatalogOfTheSameSiteWorksThere_TheSecondGivesWay(DatabaseKind kind)
    {
        var running = new HashSet<string> { "host|1|u|b|n|5", "host|2|u|b|n|6" };
        using var site = await Site.CreateAsync(this, kind);
        using var copy = await Site.CreateAsync(this, kind);
        var first = Assert.Single((await site.StartAsync(UserOf("host|1|u|b|n|5"), ("main", "a"))).Configured);

        var second = Assert.Single((await copy.StartAsync(UserOf("host|2|u|b|n|6"), ("main", "a"))).Configured);
        Assert.False(second.IsMounted);
        Assert.True(first.IsMounted);
        Assert.StartsWith(
            $"Store 'main' is not used: a site with another catalog works on {_place["a"]} (process 1 on host). Nothing was lost",
            copy.Said[^1].Line,
            StringComparison.Ordinal
        );

        // A process of the same site on the same database is no other; on SQLite only the restarted site is.
        if (kind == DatabaseKind.Sqlite)
            running.Remove("host|1|u|b|n|5");
        var again = Assert.Single((await site.StartAsync(UserOf("host|3|u|b|n|7"), ("main", "a"))).Configured);
        Assert.True(again.IsMounted);
        if (kind == DatabaseKind.PostgreSql)
            Assert.True(first.IsMounted);

        running.Clear();
        Assert.True(second.IsMounted);
        StoreUser UserOf(string name) => new(name, running.Contains, n => !running.Contains(n));
    }

    [Fact]
    public async Task IsMounted_AnotherCatalogOnAnotherMachineTakesTheStore_TheFirstFindsThatOut()
    {
        using var site = await Site.CreateAsync(this);
        using var copy = await Site.CreateAsync(this);
        var first = Assert.Single((await site.StartAsync(UserOf("near|1"), ("main", "a"))).Configured);
        var second = Assert.Single((await copy.StartAsync(UserOf("far|1"), ("main", "a"))).Configured);
        Assert.True(second.IsMounted);
        Assert.False(first.IsMounted);
        Assert.StartsWith(
            $"Store 'main' is not used: a site with another catalog works on {_place["a"]} (process 1 on far).",
            site.OneLine(LogLevel.Error),
            StringComparison.Ordinal
        );

        static StoreUser UserOf(string name) => new(name, _ => false, _ => false);
    }

    /// <summary>A catalog, the stores configured for it, and what was said about them since the last question.</summary>
    private sealed class Site : ILogger<SiteStores>, IDisposable
    {
        private readonly ConcurrentQueue<(LogLevel Level, string Line)> _said = new();
        private readonly TestCatalog _catalog;
        private readonly SiteStoresTests _test;
        private readonly string _name;

        private Site(SiteStoresTests test, TestCatalog catalog, string name)
        {
            (_test, _catalog, _name) = (test, catalog, name);
        }

        public CatalogDatabase Catalog => _catalog.Database;

        public (LogLevel Level, string Line)[] Said
        {
            get
            {
                var said = _said.ToArray();
                _said.Clear();
                return said;
            }
        }

        public static async Task<Site> CreateAsync(SiteStoresTests test, DatabaseKind kind = DatabaseKind.Sqlite, string name = "here") =>
            new(test, await Databases.CreateAsync(kind, test._server), name);

        public Task<SiteStores> StartAsync(params (string Name, string Directory)[] stores) => StartAsync(null, stores);

        public async Task<SiteStores> StartAsync(StoreUser? user, params (string Name, string Directory)[] stores)
        {
            var options = new SiteOptions
            {
                Name = _name,
                Stores =
                [
                    .. stores.Select(s => new StoreOptions
                    {
                        Name = s.Name,
                        StorePath = _test._place[s.Directory],
                        StagingPath = _test._place["staging-" + _name + "-" + s.Name],
                    }),
                ],
            };
            var made = new SiteStores(Catalog, Options.Create(options), this, new FakeTimeProvider(), user: user);
            await made.SynchroniseAsync(Stop);
            return made;
        }

        public async Task KeepAsync(string name, string path)
        {
            await using var db = Catalog.Open();
            db.Files.Add(
                new FileRecord
                {
                    Name = name,
                    CreateTime = DateTime.UtcNow,
                    Size = 5,
                    Checksum = "xxh3:::00",
                    Uploader = "u",
                    Source = "s",
                }
            );
            db.Copies.Add(
                new FileCopy
                {
                    Path = path,
                    FileName = name,
                    StoreId = 1,
                    DeletionPolicy = DeletionPolicy.Disallowed,
                    CreatedTime = DateTime.UtcNow,
                    Available = true,
                }
            );
            await db.SaveChangesAsync(Stop);
        }

        public string OneLine(LogLevel level)
        {
            var (found, line) = Assert.Single(Said);
            Assert.Equal(level, found);
            return line;
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter
        ) => _said.Enqueue((logLevel, formatter(state, exception)));

        public void Dispose() => _catalog.Dispose();
    }

    private readonly PostgresServer _server = server;
}
