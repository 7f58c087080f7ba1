using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Api;

/// <summary>What the site keeps for itself can be read by nobody else.</summary>
public sealed class DataDirectoryTests : IDisposable
{
    private const UnixFileMode Others =
        UnixFileMode.GroupRead
        | UnixFileMode.GroupWrite
        | UnixFileMode.GroupExecute
        | UnixFileMode.OtherRead
        | UnixFileMode.OtherWrite
        | UnixFileMode.OtherExecute;
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-modes-");

    [Fact]
    public async Task Start_WithoutUmask_MakesEverythingItsOwn()
    {
        await using var site = new SiteProcess("open", _directory.FullName) { Umask = "000" };
        await site.StartAsync(TestContext.Current.CancellationToken);
        var data = Path.Combine(site.Root, "data");

        Assert.Empty(OpenToOthers(data));
        var made = Directory.EnumerateFiles(data).Select(Path.GetFileName).ToList();
        Assert.Contains("catalog.db", made);
        Assert.Contains("catalog.db-wal", made);
        Assert.Contains("encryption.key", made);
        Assert.Contains("site.lock", made);
    }

    [Fact]
    public async Task Start_ModesThatAnOlderVersionLeft_AreTightenedWithOneLine()
    {
        await using var site = new SiteProcess("older", _directory.FullName) { Umask = "000" };
        await site.StartAsync(TestContext.Current.CancellationToken);
        await site.KillAsync();
        var data = new DirectoryInfo(Path.Combine(site.Root, "data"));
        data.CreateSubdirectory("drives");
        await File.WriteAllTextAsync(
            Path.Combine(data.FullName, "drives", "d1.manifest.jsonl"),
            "x",
            TestContext.Current.CancellationToken
        );
        await File.WriteAllTextAsync(Path.Combine(data.FullName, "notes.txt"), "an administrator's", TestContext.Current.CancellationToken);
        foreach (var entry in data.EnumerateFileSystemInfos("*", SearchOption.AllDirectories).Append(data))
            entry.UnixFileMode |= UnixFileMode.GroupRead | UnixFileMode.OtherRead;

        await site.StartAsync(TestContext.Current.CancellationToken);

        Assert.Equal([Path.Combine(data.FullName, "notes.txt")], OpenToOthers(data.FullName));
        await site.WaitForOutputAsync("could be read by other accounts");
        Assert.Single(site.Output.Split('\n'), l =>
            l.Contains("could be read by other accounts; they are the site's alone now", StringComparison.Ordinal)
        );
    }

    public void Dispose() => _directory.Delete(recursive: true);

    private static List<string> OpenToOthers(string directory) =>
        [
            .. new DirectoryInfo(directory)
                .EnumerateFileSystemInfos("*", SearchOption.AllDirectories)
                .Append(new DirectoryInfo(directory))
                .Where(e => (e.UnixFileMode & Others) != UnixFileMode.None)
                .Select(e => e.FullName),
        ];
}
