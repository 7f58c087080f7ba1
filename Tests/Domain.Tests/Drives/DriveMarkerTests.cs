using Librarian.Domain.Formats;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Drives;

[Quick]
public class DriveMarkerTests
{
    private static readonly DriveMarker Marker = new()
    {
        DriveId = Samples.Header.DriveId,
        Name = "d01",
        Site = "mountain",
        SiteKey = Samples.Key.PublicKey,
        Destination = "archive",
        Trip = 1,
        Initialised = Samples.Time,
    };

    [Fact]
    public async Task WriteAsync_Marker_IsTheFormatAndComesBack()
    {
        using var root = new TemporaryDirectory();
        await Marker.WriteAsync(root, default);
        Assert.Equal(
            """
            {
              "format": "librarian-drive",
              "version": 1,
              "drive_id": "0e984725-c51c-4bf4-9960-e1c80e27aba0",
              "name": "d01",
              "site": "mountain",
              "site_key": "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
              "destination": "archive",
              "trip": 1,
              "initialised": "2026-11-24T22:55:01.123456Z"
            }

            """,
            File.ReadAllText(root[DriveMarker.FileName])
        );
        Assert.Equal(Marker, await DriveMarker.TryReadAsync(root, default));
        await (Marker with { Trip = 2 }).WriteAsync(root, default);
        Assert.Equal(Marker with { Trip = 2 }, await DriveMarker.TryReadAsync(root, default));
        Assert.Equal([root[DriveMarker.FileName]], Directory.GetFileSystemEntries(root));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("not json")]
    [InlineData("{\"format\":\"librarian-manifest\",\"version\":1}")]
    [InlineData("{\"format\":\"librarian-drive\",\"version\":1}")]
    public async Task TryReadAsync_Garbage_IsNoDrive(string content)
    {
        using var root = new TemporaryDirectory();
        root.Write(DriveMarker.FileName, content);
        Assert.Null(await DriveMarker.TryReadAsync(root, default));
    }

    [Theory]
    [InlineData("\"version\": 1", "\"version\": 2")]
    [InlineData("librarian-drive", "other")]
    [InlineData("\"trip\": 1", "\"trip\": 0")]
    [InlineData("\"d01\"", "\"\"")]
    [InlineData("\"d01\"", "\"a\\u001bb\"")]
    [InlineData("\"d01\"", "\"\\ud800\"")]
    [InlineData("ed25519:A6", "ed25519:A")]
    [InlineData(".123456Z", "")]
    [InlineData("\"trip\"", "\"name\": \"x\", \"trip\"")]
    public async Task TryReadAsync_ChangedMarker_IsNoDrive(string old, string changed)
    {
        using var root = new TemporaryDirectory();
        await Marker.WriteAsync(root, default);
        var text = File.ReadAllText(root[DriveMarker.FileName]);
        Assert.Contains(old, text, StringComparison.Ordinal);
        root.Write(DriveMarker.FileName, text.Replace(old, changed, StringComparison.Ordinal));
        Assert.Null(await DriveMarker.TryReadAsync(root, default));
    }

    [Fact]
    public async Task TryReadAsync_LaterAdditions_AreIgnoredUpToTheLimit()
    {
        using var root = new TemporaryDirectory();
        await Marker.WriteAsync(root, default);
        var text = File.ReadAllText(root[DriveMarker.FileName]).TrimEnd();
        root.Write(DriveMarker.FileName, text.Replace("\"trip\"", "\"colour\": [\"red\"], \"trip\"", StringComparison.Ordinal));
        Assert.Equal(Marker, await DriveMarker.TryReadAsync(root, default));
        root.Write(DriveMarker.FileName, text.PadRight(64 * 1024));
        Assert.Equal(Marker, await DriveMarker.TryReadAsync(root, default));
        root.Write(DriveMarker.FileName, text.PadRight((64 * 1024) + 1));
        Assert.Null(await DriveMarker.TryReadAsync(root, default));
    }

    [Fact]
    public async Task TryReadAsync_NoRegularFile_IsNoDrive()
    {
        using var root = new TemporaryDirectory();
        Assert.Null(await DriveMarker.TryReadAsync(root["absent"], default));
        Assert.Null(await DriveMarker.TryReadAsync(root, default));
        root.Shell(
            $"mkdir real pipe link folder; mkfifo pipe/{DriveMarker.FileName}; ln -s ../real/{DriveMarker.FileName} link; "
                + $"mkdir folder/{DriveMarker.FileName}"
        );
        await Marker.WriteAsync(root["real"], default);
        Assert.NotNull(await DriveMarker.TryReadAsync(root["real"], default));
        Assert.Null(await DriveMarker.TryReadAsync(root["pipe"], default));
        Assert.Null(await DriveMarker.TryReadAsync(root["link"], default));
        Assert.Null(await DriveMarker.TryReadAsync(root["folder"], default));
    }

    [Fact]
    public async Task WriteAsync_WhatNobodyWouldRead_Throws()
    {
        using var root = new TemporaryDirectory();
        await Assert.ThrowsAsync<InvalidOperationException>(() => (Marker with { Name = "" }).WriteAsync(root, default));
        Assert.Empty(Directory.GetFileSystemEntries(root));
    }
}

[Quick]
public class DriveFileTests
{
    [Fact]
    public async Task DisposeAsync_WithoutCommit_LeavesTheOldFile()
    {
        using var root = new TemporaryDirectory();
        root.Write("a", "old");
        await using (var file = DriveFile.Create(root, "a"))
            file.Stream.Write("new"u8);
        Assert.Equal("old", File.ReadAllText(root["a"]));
        Assert.Equal([root["a"]], Directory.GetFileSystemEntries(root));
    }

    /// <summary>What a drive from elsewhere could have prepared, and what a crash may have left.</summary>
    [Theory]
    [InlineData("ln -s ../outside a.1.new; ln -s ../outside a")]
    [InlineData("printf rubbish > a.1.new; printf old > a")]
    public async Task CommitAsync_NamesThatExist_AreReplacedNeverFollowed(string prepare)
    {
        using var directory = new TemporaryDirectory();
        var outside = directory.Write("outside", "outside");
        var root = directory.MakeDirectory("root");
        directory.Shell("cd root; " + prepare);
        await using (var file = DriveFile.Create(root, "a"))
        {
            file.Stream.Write("new"u8);
            await file.CommitAsync(default);
        }

        Assert.Equal("outside", File.ReadAllText(outside));
        Assert.Equal("new", File.ReadAllText(Path.Combine(root, "a")));
        Assert.Equal([Path.Combine(root, "a")], Directory.GetFileSystemEntries(root));
        using var read = DriveFile.TryOpenRead(root, "a");
        Assert.NotNull(read);
    }
}
