using System.Diagnostics;
using System.Text;
using Librarian.Domain.Drives;
using Librarian.Tests.Domain.Stores;

namespace Librarian.Tests.Domain.Drives;

public class DrivePagesTests
{
    private static readonly Dictionary<string, string> s_data = new()
    {
        ["obs/1.bin"] = "hello world",
        ["obs/zén \"🔭\"\u2028\\dir/a\\b"] = "12345",
        ["obs/zén \"🔭\"\u2028\\dir/inner/two.bin"] = "678",
        ["obs/zén \"🔭\"\u2028\\dir/ä/empty"] = "",
    };

    [Fact]
    public async Task WriteAsync_SmallDrive_PassesSha256sumUntilSomethingIsDamaged()
    {
        using var root = await DriveAsync();
        Assert.Equal((0, ""), Run(root, "sha256sum --check --strict --quiet SHA256SUMS"));
        Assert.Equal(s_data.Count, File.ReadAllLines(root["SHA256SUMS"]).Length);
        root.Write("data/obs/zén \"🔭\"\u2028\\dir/a\\b", "12346");
        var (code, output) = Run(root, "sha256sum --check --strict --quiet SHA256SUMS");
        Assert.Equal(1, code);
        Assert.Contains("FAILED", output, StringComparison.Ordinal);
    }

    /// <summary>The escapes of the real program, for every name that needs some.</summary>
    [Fact]
    public void Line_NamesThatNeedEscapes_IsThatOfSha256sum()
    {
        using var root = new TemporaryDirectory();
        foreach (var name in (string[])["plain", "back\\slash", "line\nbreak", "\\n", "a b", "ä🔭", "-n", "*star"])
        {
            root.Write("data/" + name, name);
            var (_, output) = Run(root, "sha256sum data/*");
            Assert.Equal(ChecksumList.Line(Samples.Sha256(name), "data/" + name) + "\n", output);
            File.Delete(root["data/" + name]);
        }
    }

    [Fact]
    public void Escape_NameWithControlCharactersAndMarksOfDirection_ShowsThem() =>
        Assert.Equal(@"&lt;b&gt;\x1b[2J\x0a\u202egpj", HtmlPage.Escape("<b>\u001b[2J\n\u202egpj"));

    [Fact]
    public async Task WriteAsync_Twice_GivesTheSameBytesAndLeavesNothingElse()
    {
        using var root = await DriveAsync();
        string[] names = ["SHA256SUMS", "README.txt", "MANIFEST.html", "manifest.upstream.json"];
        var first = names.ToDictionary(name => name, name => File.ReadAllBytes(root[name]));
        root.Write("README.txt", "overwritten");
        root.Write("README.txt.0123.new", "left by a crash");
        await DrivePages.WriteAsync(root["MANIFEST.jsonl"], root, default);
        foreach (var name in names)
            Assert.Equal(first[name], File.ReadAllBytes(root[name]));
        Assert.Equal(
            [.. names, "MANIFEST.jsonl", "data"],
            Directory
                .GetFileSystemEntries(root)
                .Select(Path.GetFileName)
                .OrderBy(name => Array.IndexOf([.. names, "MANIFEST.jsonl", "data"], name))
        );
        Assert.Equal(3, (await UpstreamManifest.CheckAsync(root["manifest.upstream.json"], default)).Header?.Files);
    }

    /// <summary>The commands README.txt gives, as they stand there.</summary>
    [Fact]
    public async Task WriteAsync_Readme_ItsCommandsWork()
    {
        using var root = await DriveAsync();
        var readme = File.ReadAllText(root["README.txt"]);
        var seal = (await ManifestReader.CheckAsync(root["MANIFEST.jsonl"], default)).Seal!;
        Assert.Contains(seal.Sha256, readme, StringComparison.Ordinal);
        Assert.Contains(Samples.Key.PublicKey.Fingerprint, readme, StringComparison.Ordinal);
        Assert.Contains("\"mountain\"", readme, StringComparison.Ordinal);
        Assert.DoesNotContain(readme.Split('\n'), line => line.Length > 80 && !line.Contains(seal.Sha256, StringComparison.Ordinal));
        var commands = readme
            .Split('\n')
            .Where(line => line.StartsWith("    ", StringComparison.Ordinal))
            .Select(line => line.Trim())
            .ToList();
        Assert.Equal((0, ""), Run(root, commands.Single(c => c.StartsWith("sha256sum", StringComparison.Ordinal))));
        Assert.Equal((0, seal.Sha256 + "  -\n"), Run(root, commands.Single(c => c.StartsWith("head", StringComparison.Ordinal))));
    }

    [Fact]
    public async Task WriteAsync_HostileNames_AreTextInTheHtml()
    {
        using var root = new TemporaryDirectory();
        const string Hostile = "<script>alert(1)<\\script>&amp;\"'";
        var content = (Samples.File(Hostile, "x") with { Checksum = "</td><img src=x onerror=alert(1)>" }, Array.Empty<ManifestMember>());
        var header = Samples.Header with { Site = "</title><b>", Files = 1, Members = 1, Bytes = 1 };
        root.Write("MANIFEST.jsonl", await Samples.ManifestAsync(header, [content]));
        await DrivePages.WriteAsync(root["MANIFEST.jsonl"], root, default);
        var html = File.ReadAllText(root["MANIFEST.html"]);
        Assert.Contains("&lt;script&gt;alert(1)&lt;\\script&gt;&amp;amp;&quot;&#39;", html, StringComparison.Ordinal);
        foreach (var tag in (string[])["<script", "<img", "</title><b>"])
            Assert.DoesNotContain(tag, html, StringComparison.Ordinal);
        Assert.DoesNotContain("http:", html, StringComparison.Ordinal);
        Assert.DoesNotContain("src=", html.Replace("&lt;img src=x", "", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    [Fact]
    public async Task WriteAsync_MoreFilesThanAPageHolds_SaysWhereTheRestIs()
    {
        using var root = new TemporaryDirectory();
        const int Count = 20_003;
        var content = Enumerable.Range(0, Count).Select(i => (Samples.File($"f{i}", "x"), Array.Empty<ManifestMember>()));
        root.Write(
            "MANIFEST.jsonl",
            await Samples.ManifestAsync(Samples.Header with { Files = Count, Members = Count, Bytes = Count }, content)
        );
        await DrivePages.WriteAsync(root["MANIFEST.jsonl"], root, default);
        var html = File.ReadAllText(root["MANIFEST.html"]);
        Assert.Contains("the first 20,000 of 20,003 entries. The other 3 are in MANIFEST.jsonl", html, StringComparison.Ordinal);
        Assert.Equal(20_000, html.Split("<tr><td>").Length - 1);
        Assert.Equal(Count, File.ReadLines(root["SHA256SUMS"]).Count());
    }

    [Fact]
    public async Task WriteAsync_FullDrive_LeavesTheOldFilesAndNothingElse()
    {
        using var directory = new TemporaryDirectory();
        var content = Enumerable.Range(0, 2000).Select(i => (Samples.File($"f{i}", "x"), Array.Empty<ManifestMember>()));
        var manifest = directory.Write(
            "m.jsonl",
            await Samples.ManifestAsync(Samples.Header with { Files = 2000, Members = 2000, Bytes = 2000 }, content)
        );
        directory.MakeDirectory("drive");
        directory.Shell("mount -t tmpfs -o size=128k none drive; printf old > drive/README.txt");
        try
        {
            await Assert.ThrowsAsync<IOException>(() => DrivePages.WriteAsync(manifest, directory["drive"], default));
            Assert.Equal([directory["drive/README.txt"]], Directory.GetFileSystemEntries(directory["drive"]));
            Assert.Equal("old", File.ReadAllText(directory["drive/README.txt"]));
        }
        finally
        {
            directory.Shell("umount drive");
        }
    }

    [Theory]
    [InlineData(0, "0 bytes")]
    [InlineData(1, "1 byte")]
    [InlineData(999, "999 bytes")]
    [InlineData(1000, "1.00 kB")]
    [InlineData(9994, "9.99 kB")]
    [InlineData(9995, "10.0 kB")]
    [InlineData(99_949, "99.9 kB")]
    [InlineData(99_950, "100 kB")]
    [InlineData(999_499, "999 kB")]
    [InlineData(999_500, "1.00 MB")]
    [InlineData(17_900_000_000_000, "17.9 TB")]
    [InlineData(long.MaxValue, "9.22 EB")]
    public void Bytes_AnyNumber_IsThreeDigits(long bytes, string expected) => Assert.Equal(expected, Amounts.Bytes(bytes));

    private static async Task<TemporaryDirectory> DriveAsync()
    {
        var root = new TemporaryDirectory();
        foreach (var (name, content) in s_data)
            root.Write("data/" + name, content);
        root.Write("MANIFEST.jsonl", await Samples.ManifestAsync());
        await DrivePages.WriteAsync(root["MANIFEST.jsonl"], root, default);
        return root;
    }

    private static (int Code, string Output) Run(string directory, string command)
    {
        var start = new ProcessStartInfo("/bin/sh", ["-c", command + " 2>&1"])
        {
            WorkingDirectory = directory,
            UseShellExecute = false,
            RedirectStandardOutput = true,
            StandardOutputEncoding = Encoding.UTF8,
        };
        start.Environment["LC_ALL"] = "C.UTF-8";
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output);
    }
}
