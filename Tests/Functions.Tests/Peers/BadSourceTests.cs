using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Orchestrations.Clone;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Peers;

public sealed class SqliteBadSourceTests(PostgresServer server) : BadSourceTests(server, DatabaseKind.Sqlite);

public sealed class PostgresBadSourceTests(PostgresServer server) : BadSourceTests(server, DatabaseKind.PostgreSql);

/// <summary>Copies that went bad at the source before they were sent.</summary>
public abstract class BadSourceTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private readonly DirectoryInfo _second = Directory.CreateTempSubdirectory("librarian-second-");
    private PeerFixture _fixture = null!;

    private string Kept => Path.Combine(_fixture.Site.StorePath, "obs/a");

    public async ValueTask InitializeAsync() =>
        _fixture = await PeerFixture.CreateAsync(
            kind,
            server,
            new Dictionary<string, string>
            {
                ["Site:Stores:1:Name"] = "second",
                ["Site:Stores:1:StagingPath"] = Path.Combine(_second.FullName, "staging"),
                ["Site:Stores:1:StorePath"] = Path.Combine(_second.FullName, "store"),
            }
        );

    public async ValueTask DisposeAsync()
    {
        await _fixture.DisposeAsync();
        _second.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Send_FlippedCopy_SendsNothingOfItListsItAndSendsTheRest()
    {
        await _fixture.KeepAsync("obs/a");
        await _fixture.KeepAsync("obs/b");
        await File.WriteAllTextAsync(Kept, "hello_world");
        await SendAsync();
        var rows = await _fixture.OutgoingAsync();
        Assert.Equal((TransferStatus.Failed, TransferStatus.Staged), (rows["obs/a"].Status, rows["obs/b"].Status));
        var there = _fixture.Peer.Incoming.Values.ToDictionary(t => t.Name, StringComparer.Ordinal);
        Assert.Equal((4, 2), (there["obs/a"].Status, there["obs/b"].Status));
        Assert.Contains("is corrupt", Assert.Single(_fixture.Peer.Bodies("clone/fail")), StringComparison.Ordinal);
        Assert.False(Path.Exists(there["obs/a"].Slot));
        Assert.Empty(Directory.EnumerateFiles(_fixture.Peer.Staging, ".part-*", SearchOption.AllDirectories));
        await using (var db = _fixture.Site.Catalog.Open())
        {
            var corrupt = await db.CorruptFiles.SingleAsync();
            Assert.Equal(("obs/a", 11L), (corrupt.FileName, corrupt.Size));
        }

        var error = Assert.Single(await _fixture.ErrorsAsync());
        Assert.Equal((ErrorSeverity.Critical, ErrorCategory.DataIntegrity), (error.Severity, error.Category));
        Assert.Contains("'obs/a'", error.Message, StringComparison.Ordinal);
        // Nothing is offered again, however much time passes.
        await LetRetryAsync();
        Assert.Null(await _fixture.BatchAsync());
    }

    [Fact]
    public async Task Send_AfterTheCopyWasRepaired_OffersItAgain()
    {
        await _fixture.KeepAsync("obs/a");
        await File.WriteAllTextAsync(Kept, "hello_world");
        await SendAsync();
        await LetRetryAsync();
        Assert.Null(await _fixture.BatchAsync());
        await File.WriteAllTextAsync(Kept, "hello world");
        await _fixture.Site.Services.GetRequiredService<CopyChecks>().CheckAsync("obs/a", force: true, CancellationToken.None);
        await SendAsync();
        Assert.Equal(TransferStatus.Staged, (await _fixture.OutgoingAsync())["obs/a"].Status);
        Assert.Equal("hello world", await File.ReadAllTextAsync(_fixture.Peer.Incoming.Values.MaxBy(t => t.Id)!.Slot!));
    }

    [Fact]
    public async Task Send_FlippedCopyBesideAnIntactOne_SendsTheIntactOne()
    {
        await _fixture.KeepAsync("obs/a");
        var other = Path.Combine(_second.FullName, "store/obs/a");
        Directory.CreateDirectory(Path.GetDirectoryName(other)!);
        await File.WriteAllTextAsync(other, "hello world");
        await using (var db = _fixture.Site.Catalog.Open())
        {
            db.Copies.Add(
                new FileCopy
                {
                    Path = "obs/a",
                    FileName = "obs/a",
                    StoreId = 2,
                    DeletionPolicy = DeletionPolicy.Disallowed,
                    CreatedTime = DateTime.UtcNow,
                    Available = true,
                }
            );
            await db.SaveChangesAsync();
        }

        await File.WriteAllTextAsync(Kept, "hello_world");
        await SendAsync();
        Assert.Equal(TransferStatus.Staged, (await _fixture.OutgoingAsync())["obs/a"].Status);
        Assert.Equal("hello world", await File.ReadAllTextAsync(Assert.Single(_fixture.Peer.Incoming.Values).Slot!));
        await using (var db = _fixture.Site.Catalog.Open())
            Assert.Equal(1, await db.CorruptFiles.CountAsync());
    }

    [Fact]
    public async Task Send_CopyThatIsKnownToBeCorrupt_IsNeverChosen()
    {
        await _fixture.KeepAsync("obs/a");
        await File.WriteAllTextAsync(Kept, "hello_world");
        await _fixture.Site.Services.GetRequiredService<CopyChecks>().CheckAsync("obs/a", force: true, CancellationToken.None);
        Assert.Null(await _fixture.BatchAsync());
    }

    [Fact]
    public async Task Send_TransferThatNamesNoCopy_FindsTheIntactOne()
    {
        await _fixture.KeepAsync("obs/a");
        var batch = await StagedAsync();
        await using (var db = _fixture.Site.Catalog.Open())
            await db.OutgoingTransfers.ExecuteUpdateAsync(s =>
                s.SetProperty(t => t.CopyId, (long?)null).SetProperty(t => t.SourcePath, "/nothing/here")
            );
        await _fixture.RunAsync<CopyBatch, SendCloneInput, BatchStep>(batch);
        Assert.Equal("hello world", await File.ReadAllTextAsync(Assert.Single(_fixture.Peer.Incoming.Values).Slot!));
    }

    /// <summary>
    /// Failing is all that a destination says when it has found other bytes than were declared: the next sending reads the own copy
    /// before anything arrives.
    /// </summary>
    [Fact]
    public async Task Send_AfterTheDestinationRefusedTheBytes_ReadsTheOwnCopyFirst()
    {
        await _fixture.KeepAsync("obs/a");
        await SendAsync();
        await File.WriteAllTextAsync(Kept, "hello_world");
        var first = Assert.Single(_fixture.Peer.Incoming.Values);
        await File.WriteAllTextAsync(first.Slot!, "hello");
        await _fixture.Peer.ReceiveCloneAsync();
        Assert.Equal(TransferStatus.Failed, (await _fixture.OutgoingAsync())["obs/a"].Status);
        await LetRetryAsync();
        await SendAsync();
        Assert.False(Path.Exists(_fixture.Peer.Incoming.Values.MaxBy(t => t.Id)!.Slot));
        await using var db = _fixture.Site.Catalog.Open();
        Assert.Equal(1, await db.CorruptFiles.CountAsync());
    }

    private async Task<SendCloneInput> StagedAsync()
    {
        var batch = (await _fixture.BatchAsync())!;
        await _fixture.StageAsync(batch);
        await _fixture.RunAsync<AnnounceOngoing, SendCloneInput, BatchStep>(batch);
        return batch;
    }

    private async Task SendAsync()
    {
        var batch = await StagedAsync();
        await _fixture.RunAsync<CopyBatch, SendCloneInput, BatchStep>(batch);
        await _fixture.RunAsync<AnnounceStaged, SendCloneInput, BatchStep>(batch);
    }

    private async Task LetRetryAsync()
    {
        await using var db = _fixture.Site.Catalog.Open();
        var past = DateTime.UtcNow.AddSeconds(-1);
        await db.OutgoingTransfers.Where(t => t.RetryAfter != null).ExecuteUpdateAsync(s => s.SetProperty(t => t.RetryAfter, past));
    }
}
