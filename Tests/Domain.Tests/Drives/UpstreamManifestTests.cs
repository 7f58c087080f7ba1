using System.Text;
using Librarian.Domain.Drives;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Drives;

[Quick]
public class UpstreamManifestTests
{
    /// <summary>As the Python Librarian answers admin/stores/manifest (docs/spec/wire.md#store-manifest).</summary>
    private const string Sample =
        """{"librarian_name":"lat","store_name":"drive7","store_files":["""
        + """{"name":"obs/2026/a.g3","create_time":"2026-01-02T03:04:05.000100","size":1048576"""
        + ""","checksum":"xxh3:::99aa06d3014798d86001c324468d497f","uploader":"daq","source":"daq","instance_path":"/mnt/d7/store/"""
        + """obs/2026/a.g3","deletion_policy":0,"instance_create_time":"2026-01-02T03:05:00","instance_available":true"""
        + ""","outgoing_transfer_id":41},"""
        + """{"name":"obs/2026/b","create_time":"2026-01-02T03:04:05","size":5"""
        + ""","checksum":"900150983cd24fb0d6963f7d28e17f72","uploader":"daq","source":"lat","instance_path":"/mnt/d7/store/"""
        + """obs/2026/b","deletion_policy":1,"instance_create_time":"2026-01-02T03:05:00","instance_available":true"""
        + ""","outgoing_transfer_id":-1}]}""";

    /// <summary>The same with the keys in another order, blanks, escapes, a byte order mark and keys of a later version.</summary>
    private const string Reordered =
        "\ufeff \n"
        + """{ "later" : {"deep":[1,{"store_files":[]}]}, "store_files" : ["""
        + "\n"
        + """  { "outgoing_transfer_id": 41, "later": [[], {}], "instance_available": true, "deletion_policy": 0, "source": "daq","""
        + """ "uploader": "d\u0061q","""
        + "\n"
        + """    "checksum": "xxh3:::99aa06d3014798d86001c324468d497f", "size": 1048576,"""
        + """ "create_time": "2026-01-02T03:04:05.000100", "name": "obs\/2026/a.g3" } ,"""
        + "\n"
        + """  {"size":5,"name":"obs/2026/b","create_time":"2026-01-02T05:04:05+02:00","checksum":"900150983cd24fb0d6963f7d28e17f72","""
        + "\"uploader\":\"daq\",\"source\":\"lat\",\n"
        + """    "deletion_policy":1,"outgoing_transfer_id":-1}"""
        + "\n"
        + """] , "count": 2, "store_name": "drive7", "done": null, "librarian_name": "lat" }"""
        + "\n";

    private static readonly ManifestFile[] s_files =
    [
        new()
        {
            Name = "obs/2026/a.g3",
            Size = 1048576,
            Checksum = "xxh3:::99aa06d3014798d86001c324468d497f",
            CreateTime = new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc).AddMicroseconds(100),
            Uploader = "daq",
            Source = "daq",
            DeletionPolicy = DeletionPolicy.Disallowed,
            OutgoingTransferId = 41,
        },
        new()
        {
            Name = "obs/2026/b",
            Size = 5,
            Checksum = "900150983cd24fb0d6963f7d28e17f72",
            CreateTime = new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc),
            Uploader = "daq",
            Source = "lat",
            DeletionPolicy = DeletionPolicy.Allowed,
            OutgoingTransferId = -1,
        },
    ];

    [Theory]
    [InlineData(Sample)]
    [InlineData(Reordered)]
    public async Task CheckAsync_UpstreamsShape_GivesHeaderAndFilesInPages(string text)
    {
        using var directory = new TemporaryDirectory();
        var path = directory.Write("m.json", Encoding.UTF8.GetBytes(text));
        var check = await UpstreamManifest.CheckAsync(path, default);
        Assert.Null(check.Refusal);
        Assert.Equal(new UpstreamHeader("lat", "drive7", 2, 1048581, Samples.Sha256(text)), check.Header);

        await using var cursor = await UpstreamCursor.OpenAsync(path, default);
        var positions = new List<long> { cursor.Position };
        foreach (var file in s_files)
        {
            Assert.Equal(file, await cursor.ReadFileAsync(default));
            positions.Add(cursor.Position);
        }

        Assert.Null(await cursor.ReadFileAsync(default));
        Assert.Null(await cursor.ReadFileAsync(default));
        for (var i = positions.Count - 1; i >= 0; i--)
        {
            cursor.Seek(positions[i]);
            foreach (var file in s_files[i..])
                Assert.Equal(file, await cursor.ReadFileAsync(default));
            Assert.Null(await cursor.ReadFileAsync(default));
        }
    }

    [Fact]
    public async Task CheckAsync_NoFiles_IsAccepted()
    {
        const string Text = """{"librarian_name":"lat","store_name":"d","store_files":[ ]}""";
        using var directory = new TemporaryDirectory();
        Assert.Equal(0, (await UpstreamManifest.CheckAsync(new MemoryStream(Encoding.UTF8.GetBytes(Text)), default)).Header?.Files);
        await using var cursor = await UpstreamCursor.OpenAsync(directory.Write("m.json", Text), default);
        Assert.Null(await cursor.ReadFileAsync(default));
    }

    [Theory]
    [InlineData("\"lat\",\"store_name\"", "7,\"store_name\"", "manifest.format")]
    [InlineData("\"librarian_name\":\"lat\",", "", "manifest.format")]
    [InlineData("\"store_name\":\"drive7\",", "", "manifest.format")]
    [InlineData("store_files", "files", "manifest.format")]
    [InlineData("\"store_files\":[", "\"store_files\":[],\"store_files\":[", "manifest.format")]
    [InlineData("\"store_files\":[", "\"store_files\":[,", "manifest.format")]
    [InlineData("}]}", "},]}", "manifest.format")]
    [InlineData("}]}", "}]}x", "manifest.format")]
    [InlineData("}]}", "}],}", "manifest.format")]
    [InlineData("},{", "}{", "manifest.format")]
    [InlineData("\"size\":5", "\"size\":NaN", "manifest.format")]
    [InlineData("\"name\":\"obs/2026/", "\"name\":\"/obs/2026/", "manifest.format")]
    public async Task CheckAsync_Wrong_IsRefused(string old, string changed, string code)
    {
        Assert.Contains(old, Sample, StringComparison.Ordinal);
        var refusal = await RefusalAsync(Encoding.UTF8.GetBytes(Sample.Replace(old, changed, StringComparison.Ordinal)));
        Assert.Equal(code, refusal?.Code);
        Assert.Contains("Nothing was taken", refusal!.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"name\":\"obs/2026/b\",", "", "lacks something")]
    [InlineData("\"name\":\"obs/2026/b\"", "\"name\":7", "lacks something")]
    [InlineData("\"size\":5", "\"size\":-5", "negative")]
    [InlineData("\"size\":5", "\"size\":9223372036854775807", "of no file")]
    [InlineData("2026-01-02T03:04:05\",", "yesterday\",", "lacks something")]
    [InlineData("\"name\":\"obs/2026/b\"", "\"name\":\"../b\"", "'..'")]
    [InlineData("\"name\":\"obs/2026/b\"", "\"name\":\"/etc/passwd\"", "absolute")]
    [InlineData("\"name\":\"obs/2026/b\"", "\"name\":\"b\\u0000\"", "zero character")]
    public async Task CheckAsync_OneBadEntry_IsLeftOutAndTheRestIsRead(string old, string changed, string problem)
    {
        Assert.Contains(old, Sample, StringComparison.Ordinal);
        using var directory = new TemporaryDirectory();
        var path = directory.Write("m.json", Sample.Replace(old, changed, StringComparison.Ordinal));

        var check = await UpstreamManifest.CheckAsync(path, default);

        Assert.Equal((2, 1), (check.Header?.Files, check.Header?.Unusable));
        await using var cursor = await UpstreamCursor.OpenAsync(path, default);
        var files = new[] { await cursor.ReadFileAsync(default), await cursor.ReadFileAsync(default) };
        Assert.Null(await cursor.ReadFileAsync(default));
        var bad = Assert.Single(files, file => file!.Problem is not null)!;
        Assert.Contains(problem, bad.Problem, StringComparison.Ordinal);
        Assert.StartsWith("entry at byte ", bad.Name, StringComparison.Ordinal);
        Assert.DoesNotContain(bad.Name + bad.Problem, char.IsControl);
        Assert.Equal(
            s_files.Single(file => file.Name == files.Single(f => f!.Problem is null)!.Name),
            files.Single(f => f!.Problem is null)
        );
    }

    [Fact]
    public async Task CheckAsync_CutAnywhere_IsTruncated()
    {
        foreach (var text in (string[])[Sample, Reordered.TrimEnd()])
        {
            var bytes = Encoding.UTF8.GetBytes(text);
            for (var length = text[0] == '{' ? 0 : 3; length < bytes.Length; length++)
                Assert.Equal("manifest.truncated", (await RefusalAsync(bytes[..length]))?.Code);
        }
    }

    [Fact]
    public async Task CheckAsync_EntryAboveTheLimit_IsRefused() =>
        Assert.Equal(
            "manifest.format",
            (
                await RefusalAsync(
                    Encoding.UTF8.GetBytes(Sample.Replace("\"lat\"", "\"" + new string('x', 200_000) + "\"", StringComparison.Ordinal))
                )
            )?.Code
        );

    [Fact]
    public async Task CheckAsync_NoFile_IsMissing() =>
        Assert.Equal("manifest.missing", (await UpstreamManifest.CheckAsync("/tmp/no/such.json", default)).Refusal?.Code);

    [Fact]
    public async Task OpenAsync_SomethingElse_Throws()
    {
        using var directory = new TemporaryDirectory();
        foreach (var text in (string[])["", "[]", "{}", "{\"a\":1}", "{\"store_files\":7}"])
            await Assert.ThrowsAsync<InvalidDataException>(() => UpstreamCursor.OpenAsync(directory.Write("m.json", text), default));
        await Assert.ThrowsAsync<InvalidDataException>(() => UpstreamCursor.OpenAsync(directory["absent"], default));
    }

    /// <summary>Entries of every length, so that they straddle the ends of the buffer in every way.</summary>
    [Fact]
    public async Task ReadFileAsync_ManyEntries_GivesEachFromAnyPosition()
    {
        using var directory = new TemporaryDirectory();
        var content = Enumerable
            .Range(0, 2000)
            .Select(i =>
                (
                    Samples.File($"f/{i:D6}", "x") with
                    {
                        Uploader = new string('ä', i % 257),
                        Source = new string('s', 1 + (i % 251)),
                    },
                    Array.Empty<ManifestMember>()
                )
            );
        var manifest = directory.Write(
            "m.jsonl",
            await Samples.ManifestAsync(Samples.Header with { Files = 2000, Members = 2000, Bytes = 2000 }, content)
        );
        var path = directory["m.json"];
        await using (var cursor = await ManifestCursor.OpenAsync(manifest, default))
        await using (var stream = File.Create(path))
            await UpstreamManifest.WriteAsync(cursor, stream, default);

        Assert.Equal(2000, (await UpstreamManifest.CheckAsync(path, default)).Header?.Files);
        await using var reading = await UpstreamCursor.OpenAsync(path, default);
        var positions = new List<long>();
        do positions.Add(reading.Position);
        while (await reading.ReadFileAsync(default) is not null);
        Assert.Equal(2001, positions.Count);
        for (var i = 0; i < 2000; i += 7)
        {
            reading.Seek(positions[i]);
            Assert.Equal($"f/{i:D6}", (await reading.ReadFileAsync(default))?.Name);
        }
    }

    [Fact]
    public async Task WriteAsync_SmallDrive_GivesWhatPythonReads()
    {
        using var directory = new TemporaryDirectory();
        await using var cursor = await ManifestCursor.OpenAsync(directory.Write("m.jsonl", await Samples.ManifestAsync()), default);
        using var stream = new MemoryStream();
        await UpstreamManifest.WriteAsync(cursor, stream, default);
        var expected = Samples.Unwrap(
            """
            {"librarian_name":"mountain","store_name":"d01","store_files":[
            {"name":"obs/1.bin","create_time":"2026-11-24T22:55:01.123456","size":11,"checksum":"xxh3:::0123456789abcdef0123456789abcdef",
                "uploader":"observer","source":"mountain","instance_path":"data/obs/1.bin","deletion_policy":0,
                "instance_create_time":"2026-11-24T22:55:01.123456","instance_available":true,"outgoing_transfer_id":17},
            {"name":"obs/zén \"🔭\"<U+2028>\\dir","create_time":"2026-11-24T22:55:01.123456","size":8,
                "checksum":"xxh3:::0123456789abcdef0123456789abcdef","uploader":"observer","source":"mountain",
                "instance_path":"data/obs/zén \"🔭\"<U+2028>\\dir","deletion_policy":0,
                "instance_create_time":"2026-11-24T22:55:01.123456","instance_available":true,"outgoing_transfer_id":17},
            {"name":"obs/void","create_time":"2026-11-24T22:55:01.123456","size":0,"checksum":"xxh3:::0123456789abcdef0123456789abcdef",
                "uploader":"line\nbreak\u0001","source":"mountain","instance_path":"data/obs/void","deletion_policy":1,
                "instance_create_time":"2026-11-24T22:55:01.123456","instance_available":true,"outgoing_transfer_id":-1}
            ]}

            """
        );
        Assert.Equal(expected.Replace("<U+2028>", "\u2028", StringComparison.Ordinal), Encoding.UTF8.GetString(stream.ToArray()));
    }

    private static async Task<DriveRefusal?> RefusalAsync(byte[] bytes) =>
        (await UpstreamManifest.CheckAsync(new MemoryStream(bytes), default)).Refusal;
}
