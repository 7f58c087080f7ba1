using System.Net;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Librarian.Orchestrations.PeerUpkeep;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Peers;

public sealed class SqliteRestoredCatalogTests(PostgresServer server) : RestoredCatalogTests(server, DatabaseKind.Sqlite);

public sealed class PostgresRestoredCatalogTests(PostgresServer server) : RestoredCatalogTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// Two sites of ours tell each other their catalogs (docs/adr/0005-restored-catalogs.md): who has gone back in time is noticed by both.
/// </summary>
public abstract class RestoredCatalogTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string Lost = "00000000-0000-4000-8000-000000000001";
    private TestSite _mountain = null!;
    private TestSite _archive = null!;

    public async ValueTask InitializeAsync()
    {
        _mountain = await TestSite.CreateAsync(
            kind,
            server,
            settings: new Dictionary<string, string> { ["Site:Name"] = "mountain" },
            listen: true
        );
        _archive = await TestSite.CreateAsync(
            kind,
            server,
            settings: new Dictionary<string, string> { ["Site:Name"] = "archive" },
            listen: true
        );
        await IntroduceAsync(_mountain, "archive", 2, _archive, "mountain");
        await IntroduceAsync(_archive, "mountain", 3, _mountain, "archive");
    }

    public async ValueTask DisposeAsync()
    {
        await _mountain.DisposeAsync();
        await _archive.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Greeting_OfTwoSites_EachRemembersTheOthersCatalog()
    {
        await GreetAsync(_mountain);
        await GreetAsync(_archive);
        await GreetAsync(_mountain);
        Assert.Equal(CatalogOf(_archive), await KnownAsync(_mountain));
        // The call is counted on, its answer is what the other side has.
        Assert.Equal(CatalogOf(_mountain), await KnownAsync(_archive));
        Assert.Empty(await ErrorsAsync(_mountain));
        Assert.Empty(await ErrorsAsync(_archive));
    }

    [Fact]
    public async Task Seen_ThatThisCatalogDoesNotKnow_GivesItANewIdAndMovesItsNumbersAhead()
    {
        var before = CatalogOf(_archive);
        var (status, answered, _) = await CallAsync(new CatalogVersion(Lost, Lost, 1), before with { Incarnation = Lost, Counter = 4 });
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.NotEqual(before.Catalog, answered!.Catalog);
        var error = Assert.Single(await ErrorsAsync(_archive));
        Assert.Equal((ErrorSeverity.Critical, "catalog restored"), (error.Severity, error.Caller));
        Assert.Contains("'mountain'", error.Message, StringComparison.Ordinal);
        // Said again, and in the name of the former id: nothing new.
        Assert.Equal(answered, (await CallAsync(null, before with { Incarnation = Lost, Counter = 9 })).Catalog);
        var staged = await _archive.StageAsync("f", PeerFixture.HelloSum, 11);
        Assert.InRange(staged.Id, SiteCatalog.Stride + 1, SiteCatalog.Stride + 100);
        await using var db = _archive.Catalog.Open();
        db.Files.Add(
            new FileRecord
            {
                Name = "out",
                CreateTime = DateTime.UtcNow,
                Size = 11,
                Checksum = PeerFixture.HelloSum,
                Uploader = "u",
                Source = "u",
            }
        );
        var transfer = new OutgoingTransfer
        {
            Status = TransferStatus.Initiated,
            Destination = "mountain",
            TransferSize = 11,
            TransferChecksum = PeerFixture.HelloSum,
            StartTime = DateTime.UtcNow,
            FileName = "out",
        };
        db.OutgoingTransfers.Add(transfer);
        await db.SaveChangesAsync();
        Assert.InRange(transfer.Id, SiteCatalog.Stride + 1, SiteCatalog.Stride + 100);
    }

    /// <summary>An operator who restores one backup after the other; and an account that claims nonsense, which ends after some.</summary>
    [Fact]
    public async Task Seen_UnknownAgainAndAgain_IsNoticedEachTimeUpToALimit()
    {
        var ids = new List<string> { CatalogOf(_archive).Catalog };
        for (var i = 0; i < 20; i++)
        {
            var seen = CatalogOf(_archive) with { Incarnation = $"00000000-0000-4000-8000-0000000001{i:d2}", Counter = 1 };
            var (_, answered, _) = await CallAsync(null, seen);
            if (answered!.Catalog != ids[^1])
                ids.Add(answered.Catalog);
        }

        Assert.Equal(9, ids.Distinct().Count());
        Assert.Equal(8, (await ErrorsAsync(_archive)).Count(e => e.Caller == "catalog restored"));
    }

    /// <summary>Recorded while the clock was a year ahead.</summary>
    [Fact]
    public async Task Doubt_CopyRecordedInTheFuture_IsInDoubtToo()
    {
        await KeepAsync(_mountain, "f", "archive");
        await using var db = _mountain.Catalog.Open();
        await db.RemoteCopies.ExecuteUpdateAsync(s => s.SetProperty(r => r.CopyTime, DateTime.UtcNow.AddYears(1)));
        Assert.Equal(
            1,
            await _mountain.Services.GetRequiredService<PeerCatalogs>().DoubtAsync("archive", "a test.", CancellationToken.None)
        );
    }

    [Fact]
    public async Task Seen_CounterAboveTheRecordedOne_IsOfALaterTime()
    {
        var before = CatalogOf(_archive);
        Assert.Equal(before.Catalog, (await CallAsync(null, before)).Catalog!.Catalog);
        Assert.NotEqual(before.Catalog, (await CallAsync(null, before with { Counter = before.Counter + 1000 })).Catalog!.Catalog);
    }

    [Theory]
    [InlineData("id=x")]
    [InlineData("id=00000000-0000-4000-8000-000000000001, incarnation=00000000-0000-4000-8000-000000000001, counter=-1")]
    [InlineData("id=00000000-0000-4000-8000-000000000001, incarnation=00000000-0000-4000-8000-000000000001, counter=9999999999999999999")]
    [InlineData("ID=00000000-0000-4000-8000-000000000001, incarnation=00000000-0000-4000-8000-000000000001, counter=1")]
    public async Task Header_Garbage_IsIgnored(string text)
    {
        using var request = Request("ping/logged", "mountain");
        request.Headers.TryAddWithoutValidation(CatalogVersion.Header, text);
        request.Headers.TryAddWithoutValidation(CatalogVersion.SeenHeader, text);
        using var response = await _archive.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Empty(await ErrorsAsync(_archive));
        Assert.Null(await KnownAsync(_archive));
    }

    [Theory]
    [InlineData("ping/", "mountain")]
    [InlineData("ping/logged", "uploader")]
    [InlineData("ping/logged", "reader")]
    public async Task Header_OfSomebodyWhoIsNoVerifiedPeer_IsNotListenedTo(string path, string user)
    {
        var before = CatalogOf(_archive);
        using var request = Request(path, user);
        request.Headers.TryAddWithoutValidation(CatalogVersion.Header, new CatalogVersion(Lost, Lost, 1).ToString());
        request.Headers.TryAddWithoutValidation(CatalogVersion.SeenHeader, new CatalogVersion(Lost, Lost, 1).ToString());
        using var response = await _archive.Http.SendAsync(request);
        Assert.False(response.Headers.Contains(CatalogVersion.Header));
        Assert.Equal(before, CatalogOf(_archive));
        Assert.Empty(await ErrorsAsync(_archive));
    }

    [Fact]
    public async Task Archive_RestoredFromABackup_MountainDoubtsAsksAndOffersAgainWhatIsGone()
    {
        await GreetAsync(_mountain);
        await GreetAsync(_archive);
        foreach (var name in new[] { "there", "gone", "other", "hidden", "claimed" })
            await KeepAsync(_mountain, name, "archive");
        await KeepAsync(_archive, "there");
        await File.WriteAllTextAsync(Path.Combine(_archive.StorePath, "there"), "hello world");
        // The catalog says so, the disk does not have it.
        await KeepAsync(_archive, "claimed");
        await KeepAsync(_archive, "other", size: 12);
        await KeepAsync(_archive, "hidden", available: false);
        // What the mountain has heard stands in the counter; the backup is older.
        await RestoreAsync(_archive);
        // Nothing is sent: the greeting finds it.
        await GreetAsync(_mountain);
        await GreetAsync(_mountain);
        Assert.Single(await ErrorsAsync(_archive), e => e.Caller == "catalog restored");
        Assert.Contains(await ErrorsAsync(_mountain), e => e.Caller == "copies at archive");
        await UntilAsync(async () => !await AnyDoubtAsync(_mountain));
        await using var read = _mountain.Catalog.Open();
        Assert.Equal(["there"], await read.RemoteCopies.Select(r => r.FileName).ToListAsync());
        var errors = await ErrorsAsync(_mountain);
        Assert.Contains(errors, e =>
            e.Caller == "copies gone at archive" && e.Message.Contains("'gone'", StringComparison.Ordinal) && !e.Cleared
        );
        await UntilAsync(async () => (await ErrorsAsync(_mountain)).Single(e => e.Caller == "copies at archive").Cleared);
    }

    /// <summary>It names its new incarnation before anybody could tell it of the one that it has lost.</summary>
    [Fact]
    public async Task Mountain_RestoredAndFirstToCall_IsToldOfTheIncarnationThatItLost()
    {
        await GreetAsync(_mountain);
        await RestoreAsync(_mountain);
        await GreetAsync(_mountain);
        Assert.Single(await ErrorsAsync(_mountain), e => e.Caller == "catalog restored");
    }

    /// <summary>The answer to its first call was lost, and it was restored once more.</summary>
    [Fact]
    public async Task Mountain_CallsWithoutHearingTheAnswers_IsToldOfEachIncarnation()
    {
        var first = CatalogOf(_mountain);
        var lost = first with { Incarnation = Lost, Counter = 3 };
        await CallAsync(first, null);
        await CallAsync(lost, null);
        await CallAsync(first, null);
        var (_, _, seen) = await CallAsync(first, null);
        Assert.Equal([first, lost], seen);
        // The mountain answers a call that told it of the other one.
        await GreetAsync(_archive);
        Assert.Single(await ErrorsAsync(_mountain), e => e.Caller == "catalog restored");
        Assert.Equal(CatalogOf(_mountain), await KnownAsync(_archive));
    }

    [Fact]
    public async Task Incarnation_ThatALaterOneWasToldOf_IsForgotten()
    {
        await GreetAsync(_mountain);
        await _mountain.Services.GetRequiredService<SiteCatalog>().StartAsync(CancellationToken.None);
        await GreetAsync(_mountain);
        await using (var db = _archive.Catalog.Open())
            Assert.Equal(2, SeenCatalogs.TryParse((await db.Peers.SingleAsync()).CatalogSeen)!.Count);
        await GreetAsync(_archive);
        Assert.Equal(CatalogOf(_mountain), await KnownAsync(_archive));
        Assert.Empty(await ErrorsAsync(_mountain));
    }

    [Fact]
    public async Task CopiesInDoubt_AreNotShownAsCopiesAndStayInDoubtWhileThePeerIsAway()
    {
        await GreetAsync(_mountain);
        await KeepAsync(_mountain, "f", "archive");
        await _mountain.Services.GetRequiredService<PeerCatalogs>().DoubtAsync("archive", "a test.", CancellationToken.None);
        await using (var db = _mountain.Catalog.Open())
            await db.Peers.ExecuteUpdateAsync(s => s.SetProperty(l => l.Port, 9));
        var (_, hits) = await _mountain.PostAsync("search/file", """{"name":"f"}""", "reader");
        Assert.Empty(hits[0].GetProperty("remote_instances").EnumerateArray());
        var (_, copies) = await _mountain.PostAsync("search/instance_remote", """{"file_name":"f"}""");
        Assert.True(copies[0].TryGetProperty("unconfirmed_since", out _));
        await GreetAsync(_mountain);
        Assert.True(await AnyDoubtAsync(_mountain));
        // Neither is it sent again on a mere suspicion.
        var policy = new Librarian.Domain.Configuration.PeerOptions { Name = "archive", Send = true };
        await using var write = _mountain.Catalog.Open();
        await using var transaction = await write.Database.BeginTransactionAsync();
        Assert.Null(
            await _mountain
                .Services.GetRequiredService<Librarian.Domain.Transfers.OutgoingTransfers>()
                .CreateBatchAsync(write, policy, id => $"x{id}", CancellationToken.None)
        );
    }

    [Fact]
    public async Task Counter_AfterAnUncertainCommit_GoesOnAndIsNoRestore()
    {
        var catalog = _archive.Services.GetRequiredService<SiteCatalog>();
        await catalog.AdvanceAsync(CancellationToken.None);
        var before = catalog.Current!;
        await using (var db = _archive.Catalog.Open())
            await db
                .CatalogIncarnations.Where(c => c.Id == before.Incarnation)
                .ExecuteUpdateAsync(s => s.SetProperty(c => c.Counter, before.Counter + 1));
        await catalog.AdvanceAsync(CancellationToken.None);
        Assert.Equal(before with { Counter = before.Counter + 2 }, catalog.Current);
        Assert.Empty(await ErrorsAsync(_archive));
    }

    private static async Task IntroduceAsync(TestSite site, string peer, int level, TestSite other, string self)
    {
        var (created, _) = await site.PostAsync(
            "users/create",
            $$"""{"username":"{{peer}}","password":"{{peer}}pw","permission":{{level}}}"""
        );
        Assert.Equal(HttpStatusCode.Created, created);
        var (_, added) = await site.PostAsync(
            "admin/librarians/add",
            $$"""
            {"librarian_name":"{{peer}}","url":"http://127.0.0.1","port":{{other.Address.Port}},
             "authenticator":"{{self}}:{{self}}pw","check_connection":false}
            """
        );
        Assert.True(added.GetProperty("success").GetBoolean());
    }

    /// <summary>Back to before the first start.</summary>
    private static async Task RestoreAsync(TestSite site)
    {
        await using (var db = site.Catalog.Open())
            await db.CatalogIncarnations.ExecuteDeleteAsync();
        await site.Services.GetRequiredService<SiteCatalog>().StartAsync(CancellationToken.None);
    }

    private static Task GreetAsync(TestSite site) =>
        site.Services.GetRequiredService<PeerCatalogCheck>().GreetAsync(CancellationToken.None);

    private static CatalogVersion CatalogOf(TestSite site) => site.Services.GetRequiredService<SiteCatalog>().Current!;

    private static async Task<CatalogVersion?> KnownAsync(TestSite site)
    {
        await using var db = site.Catalog.Open();
        var row = await db.Peers.AsNoTracking().SingleAsync();
        return SeenCatalogs.TryParse(row.CatalogSeen) is { } seen ? Assert.Single(seen) : null;
    }

    private static async Task<List<ErrorRecord>> ErrorsAsync(TestSite site)
    {
        await using var db = site.Catalog.Open();
        return await db.Errors.AsNoTracking().ToListAsync();
    }

    private static async Task<bool> AnyDoubtAsync(TestSite site)
    {
        await using var db = site.Catalog.Open();
        return await db.RemoteCopies.AnyAsync(r => r.UnconfirmedSince != null);
    }

    /// <summary>A file in the catalog, here or known to be at a peer.</summary>
    private static async Task KeepAsync(TestSite site, string name, string? at = null, long size = 11, bool available = true)
    {
        await using var db = site.Catalog.Open();
        var now = DateTime.UtcNow;
        db.Files.Add(
            new FileRecord
            {
                Name = name,
                CreateTime = now,
                Size = size,
                Checksum = PeerFixture.HelloSum,
                Uploader = "u",
                Source = "u",
            }
        );
        db.Copies.Add(
            new FileCopy
            {
                Path = name,
                FileName = name,
                StoreId = 1,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = now,
                Available = available,
            }
        );
        if (at is not null)
            db.RemoteCopies.Add(
                new RemoteCopy
                {
                    FileName = name,
                    StoreId = 1,
                    PeerId = (await db.Peers.SingleAsync(l => l.Name == at)).Id,
                    CopyTime = now,
                    Sender = "mountain",
                }
            );
        await db.SaveChangesAsync();
    }

    private static Task UntilAsync(Func<Task<bool>> isSo, [CallerArgumentExpression(nameof(isSo))] string what = "") =>
        Wait.UntilAsync(isSo, what);

    private static HttpRequestMessage Request(string path, string user)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/api/v2/" + path)
        {
            Content = new StringContent("{}", Encoding.UTF8, "application/json"),
        };
        request.Headers.Authorization = AuthenticationHeaderValue.Parse(TestSite.Basic(user, TestSite.Password(user)));
        return request;
    }

    /// <summary>The mountain speaks to the archive.</summary>
    private async Task<(HttpStatusCode Status, CatalogVersion? Catalog, SeenCatalogs? Seen)> CallAsync(
        CatalogVersion? own,
        CatalogVersion? seen
    )
    {
        using var request = Request("ping/logged", "mountain");
        request.Headers.TryAddWithoutValidation(CatalogVersion.Header, (own ?? CatalogOf(_mountain)).ToString());
        if (seen is not null)
            request.Headers.TryAddWithoutValidation(CatalogVersion.SeenHeader, seen.ToString());
        using var response = await _archive.Http.SendAsync(request);
        return (
            response.StatusCode,
            CatalogVersion.TryParse(Of(CatalogVersion.Header)),
            SeenCatalogs.TryParse(Of(CatalogVersion.SeenHeader))
        );

        string? Of(string header) => response.Headers.TryGetValues(header, out var values) ? values.Single() : null;
    }
}
