using System.Net;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteAdoptionTests(PostgresServer server) : AdoptionTests(server, DatabaseKind.Sqlite);

public sealed class PostgresAdoptionTests(PostgresServer server) : AdoptionTests(server, DatabaseKind.PostgreSql);

/// <summary>Bytes that lie at a file's place and that the catalog does not know: it is older than the disk.</summary>
public abstract class AdoptionTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private TestSite _site = null!;

    private string Stored => Path.Combine(_site.StorePath, "obs/a");

    private LocalStore Store => _site.Services.GetRequiredService<SiteStores>().All[0].Store;

    public async ValueTask InitializeAsync() => _site = await TestSite.CreateAsync(kind, server);

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Commit_IdenticalBytesLieThereUncatalogued_AdoptsThem()
    {
        var lying = Lie("hello world");
        var (status, _) = await UploadAsync();
        Assert.Equal(HttpStatusCode.OK, status);
        await IsCataloguedAsync();
        // The very file that lay there, not the one that came.
        Assert.Equal(lying, Inode(Stored));
        Assert.False(Directory.Exists(Path.Combine(_site.StorePath, ".librarian/aside")));
    }

    [Fact]
    public async Task Commit_OtherBytesLieThere_Is409ThatSaysWhatAndWhatToDo()
    {
        Lie("hello_world");
        File.SetLastWriteTimeUtc(Stored, new DateTime(2026, 3, 4, 5, 6, 7, DateTimeKind.Utc));
        var (status, body) = await UploadAsync();
        Assert.Equal(HttpStatusCode.Conflict, status);
        var remedy = body.GetProperty("suggested_remedy").GetString()!;
        foreach (
            var part in new[]
            {
                "'obs/a'",
                "the catalog does not know",
                "11 bytes with xxh3:::",
                "2026-03-04 05:06:07 UTC",
                "left as they are",
                "admin/add_file",
            }
        )
            Assert.Contains(part, remedy, StringComparison.Ordinal);
        Assert.Equal("hello_world", await File.ReadAllTextAsync(Stored));
        await IsNotCataloguedAsync();
    }

    [Fact]
    public async Task Clone_IdenticalBytesLieThereUncatalogued_AdoptsThemAndTellsTheSource()
    {
        Lie("hello world");
        var (status, body) = await _site.PostAsync(
            "clone/batch_stage",
            $$"""
            {"uploads":[{"upload_size":11,"upload_checksum":"{{HelloSum}}","upload_name":"obs/a",
               "destination_location":"obs/a","uploader":"x","source_transfer_id":4}],"source":"uploader","total_size":11}
            """,
            "uploader"
        );
        Assert.Equal(HttpStatusCode.Created, status);
        var place = body.GetProperty("uploads")[0];
        await File.WriteAllTextAsync(place.GetProperty("staging_location").GetString()!, "hello world");
        await using (var db = _site.Catalog.Open())
            await db.IncomingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged));
        Assert.Equal(IngestOutcome.Ingested, (await IngestAsync(place.GetProperty("destination_transfer_id").GetInt64())).Outcome);
        await IsCataloguedAsync();
        await using var after = _site.Catalog.Open();
        Assert.NotNull((await after.IncomingTransfers.SingleAsync()).CallbackTries);
    }

    /// <summary>What a crash leaves after the name was reserved, and after the bytes were examined: nothing has moved.</summary>
    [Fact]
    public async Task Adoption_CrashedBeforeItsTransaction_IsFinishedByTheNextRun()
    {
        var (id, _) = await ArrivedAsync();
        Lie("hello world");
        await ReservedAsync(id);
        Assert.Equal(IngestOutcome.Ingested, (await IngestAsync(id)).Outcome);
        await IsCataloguedAsync();
        // And once more, as a second delivery would.
        Assert.Equal(IngestOutcome.Ingested, (await IngestAsync(id)).Outcome);
        await IsCataloguedAsync();
    }

    /// <summary>
    /// Identical bytes in other hands make way for the staged ones; what a crash leaves after each step is finished by the next run.
    /// </summary>
    [Theory, InlineData("none"), InlineData("reserved"), InlineData("quarantined"), InlineData("placed")]
    public async Task Adoption_OfBytesWithAnotherLink_TakesTheStagedOnesWhereverItWasCutOff(string step)
    {
        var (id, staging) = await ArrivedAsync();
        var lying = Lie("hello world");
        var outside = Path.Combine(_site.StagingPath, "outside");
        Link(Stored, outside);
        if (step != "none")
            await ReservedAsync(id);
        if (step is "quarantined" or "placed")
            Assert.Equal(QuarantineStatus.Moved, (await Store.QuarantineAsync(Name("obs/a"), staging)).Status);
        if (step is "placed")
            File.Move(Path.Combine(_site.StagingPath, staging.ToString("D"), "a"), Stored);

        Assert.Equal(IngestOutcome.Ingested, (await IngestAsync(id)).Outcome);
        await IsCataloguedAsync();
        Assert.NotEqual(lying, Inode(Stored));
        Assert.Equal(lying, Inode(Path.Combine(_site.StorePath, ".librarian/aside", staging.ToString("D"), "data")));
        await File.WriteAllTextAsync(outside, "changed!!!!");
        Assert.Equal("hello world", await File.ReadAllTextAsync(Stored));
        File.Delete(outside);
    }

    [Fact]
    public async Task Adoption_StagedDataVanishAfterTheQuarantine_PutsTheBytesBack()
    {
        var (id, staging) = await ArrivedAsync();
        var lying = Lie("hello world");
        await ReservedAsync(id);
        await Store.QuarantineAsync(Name("obs/a"), staging);
        Directory.Delete(Path.Combine(_site.StagingPath, staging.ToString("D")), recursive: true);
        Assert.Equal(IngestOutcome.Missing, (await IngestAsync(id)).Outcome);
        Assert.Equal(lying, Inode(Stored));
        await IsNotCataloguedAsync();
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Adoption_OfAFilesDataUnderAnotherName_IsRefused(bool interrupted)
    {
        Lie("hello world");
        var (added, _) = await _site.PostAsync(
            "admin/add_file",
            $$"""
            {"name":"other","create_time":"2026-01-01T00:00:00","size":11,"checksum":"{{HelloSum}}",
             "uploader":"u","source":"s","path":"{{Stored}}","store_name":"main"}
            """
        );
        Assert.Equal(HttpStatusCode.OK, added);
        var (id, _) = await ArrivedAsync();
        if (interrupted)
            await ReservedAsync(id);
        var result = await IngestAsync(id);
        Assert.Equal(IngestOutcome.NameTaken, result.Outcome);
        Assert.Contains("'other'", result.Message, StringComparison.Ordinal);
        await using var db = _site.Catalog.Open();
        Assert.Equal("other", (await db.Copies.SingleAsync()).FileName);
    }

    /// <summary>The run that reserved the name died before it looked at the names above.</summary>
    [Fact]
    public async Task Adoption_InsideACataloguedDirectory_IsRefusedAlsoAfterACrash()
    {
        var (id, _) = await ArrivedAsync();
        Lie("hello world");
        await using (var db = _site.Catalog.Open())
        {
            db.Files.Add(
                new FileRecord
                {
                    Name = "obs",
                    CreateTime = DateTime.UtcNow,
                    Size = 11,
                    Checksum = HelloSum,
                    Uploader = "u",
                    Source = "s",
                }
            );
            await db.SaveChangesAsync();
        }

        await ReservedAsync(id);
        Assert.Equal(IngestOutcome.NameTaken, (await IngestAsync(id)).Outcome);
        await using var after = _site.Catalog.Open();
        Assert.Equal(0, await after.Copies.CountAsync());
    }

    [Fact]
    public async Task Adoption_OfANameThatAnotherTransferIsPlacing_IsRefused()
    {
        var (first, _) = await ArrivedAsync("other");
        await ReservedAsync(first);
        // The other transfer's rename is done, its transaction is not.
        Lie("hello world");
        var (second, _) = await ArrivedAsync("uploader");
        var result = await IngestAsync(second);
        Assert.Equal(IngestOutcome.NameTaken, result.Outcome);
        Assert.Contains("Another transfer", result.Message, StringComparison.Ordinal);
        await IsNotCataloguedAsync();
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Adoption_OfADirectory_AsksForTheSameMembers(bool same)
    {
        Directory.CreateDirectory(Stored);
        await File.WriteAllTextAsync(Path.Combine(Stored, "x"), same ? "one" : "two");
        await File.WriteAllTextAsync(Path.Combine(Stored, "y"), same ? "two" : "one");
        Own(Stored);
        var digest = await Store.DigestAsync(Name("obs/a"), [ChecksumAlgorithm.Xxh3]);
        var (id, location, _) = await _site.StageAsync("obs/a", digest.Checksums[ChecksumAlgorithm.Xxh3].Text, 6);
        Directory.CreateDirectory(location);
        await File.WriteAllTextAsync(Path.Combine(location, "x"), "one");
        await File.WriteAllTextAsync(Path.Combine(location, "y"), "two");
        var (status, body) = await _site.CommitAsync(id, "obs/a");
        Assert.Equal(same ? HttpStatusCode.OK : HttpStatusCode.Conflict, status);
        if (!same)
            Assert.Contains("other members", body.GetProperty("suggested_remedy").GetString(), StringComparison.Ordinal);
        Assert.Equal(same ? "one" : "two", await File.ReadAllTextAsync(Path.Combine(Stored, "x")));
    }

    /// <summary>The replacement of a bad copy finds that somebody has put the good one back meanwhile.</summary>
    [Fact]
    public async Task Replacement_GoodBytesWerePutBackByHand_AdoptsThem()
    {
        Assert.Equal(HttpStatusCode.OK, (await UploadAsync()).Status);
        await File.WriteAllTextAsync(Stored, "hello_world");
        await _site.PostAsync("validate/file", """{"file_name":"obs/a"}""");
        await using (var db = _site.Catalog.Open())
            await db.CorruptFiles.ExecuteUpdateAsync(s => s.SetProperty(c => c.ReplacementRequested, true));
        var (_, body) = await _site.PostAsync(
            "clone/batch_stage",
            $$"""
            {"uploads":[{"upload_size":11,"upload_checksum":"{{HelloSum}}","upload_name":"obs/a",
               "destination_location":"obs/a","uploader":"x","source_transfer_id":4}],"source":"uploader","total_size":11}
            """,
            "uploader"
        );
        var place = body.GetProperty("uploads")[0];
        await File.WriteAllTextAsync(place.GetProperty("staging_location").GetString()!, "hello world");
        var id = place.GetProperty("destination_transfer_id").GetInt64();
        await using (var db = _site.Catalog.Open())
            await db.IncomingTransfers.Where(t => t.Id == id).ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged));
        await ReservedAsync(id);
        await Store.QuarantineAsync(Name("obs/a"), Guid.Parse(place.GetProperty("staging_name").GetString()!));
        Lie("hello world");
        Assert.Equal(IngestOutcome.Ingested, (await IngestAsync(id)).Outcome);
        await using var after = _site.Catalog.Open();
        Assert.Equal(0, await after.CorruptFiles.CountAsync());
        Assert.Equal("hello world", await File.ReadAllTextAsync(Stored));
    }

    [Fact]
    public async Task AddFile_DirectoryWithALinkThatLeavesIt_IsRefused()
    {
        Directory.CreateDirectory(Stored);
        await File.WriteAllTextAsync(Path.Combine(_site.StorePath, "outside"), "hello world");
        File.CreateSymbolicLink(Path.Combine(Stored, "link"), Path.Combine(_site.StorePath, "outside"));
        var digest = await Store.DigestAsync(Name("obs/a"), [ChecksumAlgorithm.Xxh3]);
        Assert.True(digest.IsComplete);
        var (status, _) = await _site.PostAsync(
            "admin/add_file",
            $$"""
            {"name":"obs/a","create_time":"2026-01-01T00:00:00","size":11,"checksum":"{{digest.Checksums[ChecksumAlgorithm.Xxh3]}}",
             "uploader":"u","source":"s","path":"{{Stored}}","store_name":"main"}
            """
        );
        Assert.NotEqual(HttpStatusCode.OK, status);
        await IsNotCataloguedAsync();
    }

    private static FileName Name(string text) =>
        FileName.TryParse(text, out var path, out _) ? path : throw new InvalidOperationException(text);

    private static string Inode(string path) => Run("stat", "-c", "%i", path);

    private static void Link(string path, string other) => Run("ln", path, other);

    /// <summary>As a store keeps it: nobody else may write it, whatever umask the tests run under.</summary>
    private static void Own(string path) => Run("chmod", "-R", "go-w", path);

    private static string Run(string program, params string[] arguments)
    {
        using var process = System.Diagnostics.Process.Start(
            new System.Diagnostics.ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, UseShellExecute = false }
        )!;
        var output = process.StandardOutput.ReadToEnd().Trim();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        return output;
    }

    /// <summary>Puts bytes at the file's place behind the catalog's back; returns their inode.</summary>
    private string Lie(string content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Stored)!);
        File.WriteAllText(Stored, content);
        Own(Stored);
        return Inode(Stored);
    }

    /// <summary>An upload whose data are in staging and committed by its client.</summary>
    private async Task<(long Id, Guid Staging)> ArrivedAsync(string user = "uploader")
    {
        var (id, location, staging) = await _site.StageAsync("obs/a", HelloSum, 11, user);
        await File.WriteAllTextAsync(location, "hello world");
        await using var db = _site.Catalog.Open();
        await db.IncomingTransfers.Where(t => t.Id == id).ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged));
        return (id, Guid.Parse(staging));
    }

    private async Task ReservedAsync(long id)
    {
        await using var db = _site.Catalog.Open();
        await db.IncomingTransfers.Where(t => t.Id == id).ExecuteUpdateAsync(s => s.SetProperty(t => t.Committing, true));
    }

    private async Task<(HttpStatusCode Status, JsonElement Body)> UploadAsync()
    {
        var (id, location, _) = await _site.StageAsync("obs/a", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        return await _site.CommitAsync(id, "obs/a");
    }

    private Task<IngestResult> IngestAsync(long id) =>
        _site.Services.GetRequiredService<StagedFileIngest>().RunAsync(id, DeletionPolicy.Disallowed, CancellationToken.None);

    private async Task IsCataloguedAsync()
    {
        Assert.Equal("hello world", await File.ReadAllTextAsync(Stored));
        await using var db = _site.Catalog.Open();
        Assert.Equal((HelloSum, 11L), await db.Files.Select(f => new ValueTuple<string, long>(f.Checksum, f.Size)).SingleAsync());
        Assert.True((await db.Copies.SingleAsync()).Available);
        Assert.Equal(TransferStatus.Completed, (await db.IncomingTransfers.OrderBy(t => t.Id).LastAsync()).Status);
        Assert.Empty(Directory.EnumerateDirectories(_site.StagingPath));
    }

    private async Task IsNotCataloguedAsync()
    {
        await using var db = _site.Catalog.Open();
        Assert.Equal((0, 0), (await db.Files.CountAsync(), await db.Copies.CountAsync()));
    }
}
