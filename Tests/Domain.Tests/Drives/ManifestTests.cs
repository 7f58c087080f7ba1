using System.Text;
using CsCheck;
using Librarian.Domain.Drives;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Drives;

[Quick]
public class ManifestTests
{
    /// <summary>The bytes of version 1. A change of them makes manifests in drawers unreadable: it is a new version.</summary>
    private static readonly string Golden = Samples.Unwrap(
        """
        {"format":"librarian-manifest","version":1,"site":"mountain","site_key":"ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
            "drive_id":"0e984725-c51c-4bf4-9960-e1c80e27aba0","drive":"d01","trip":1,"destination":"archive",
            "created":"2026-11-24T22:55:01.123456Z","files":3,"members":4,"bytes":19}
        {"name":"obs/1.bin","size":11,"checksum":"xxh3:::0123456789abcdef0123456789abcdef",
            "sha256":"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9","create_time":"2026-11-24T22:55:01.123456Z",
            "uploader":"observer","source":"observer","deletion_policy":0,"outgoing_transfer_id":17}
        {"name":"obs/zén \"🔭\"<U+2028>\\dir","size":8,"checksum":"xxh3:::0123456789abcdef0123456789abcdef","members":3,
            "create_time":"2026-11-24T22:55:01.123456Z","uploader":"observer","source":"observer","deletion_policy":0,
            "outgoing_transfer_id":17}
        {"path":"a\\b","size":5,"sha256":"5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"}
        {"path":"inner/two.bin","size":3,"sha256":"cebe3d9d614ba5c19f633566104315854a11353a333bf96f16b5afa0e90abdc4"}
        {"path":"ä/empty","size":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
        {"name":"obs/void","size":0,"checksum":"xxh3:::0123456789abcdef0123456789abcdef","members":0,
            "create_time":"2026-11-24T22:55:01.123456Z","uploader":"line\nbreak\u0001","source":"observer","deletion_policy":1,
            "outgoing_transfer_id":-1}
        {"end":"librarian-manifest","files":3,"members":4,"bytes":19,
            "sha256":"17d586c2ffca7284d17e9fd9441f1b23aa2e6d85b4262dc35f19e70df2a07c4b",
            "signature":"W0IZ6x8iIhFMTRzcVK1tWwz03E9HSV+1lNDGvzCoQCO1BTPKkeO0mGwWG+GW+RYZM8aaDmMwEU7nRYhfRRqICQ=="}

        """
    );

    private static readonly string[] s_codes =
    [
        "manifest.format",
        "manifest.version",
        "manifest.truncated",
        "manifest.edited",
        "manifest.signature",
        "manifest.totals",
    ];

    [Fact]
    public async Task WriteAsync_SmallDrive_GivesTheBytesOfVersion1() =>
        Assert.Equal(
            Golden.Replace("<U+2028>", "\u2028", StringComparison.Ordinal),
            Encoding.UTF8.GetString(await Samples.ManifestAsync())
        );

    [Fact]
    public async Task CheckAsync_SmallDrive_GivesHeaderDigestAndTotals()
    {
        var bytes = await Samples.ManifestAsync();
        var check = await ManifestReader.CheckAsync(new MemoryStream(bytes), default);
        Assert.True(check.Accepted);
        Assert.Equal(Samples.Header, check.Header);
        Assert.Equal(new ManifestTotals(3, 4, 19), check.Seal.Totals);
        Assert.Equal(Samples.Sha256(string.Concat(Samples.Lines(bytes).SkipLast(1))), check.Seal.Sha256);
    }

    [Fact]
    public async Task CheckAsync_AnyByteChanged_IsRefused()
    {
        var bytes = await Samples.ManifestAsync();
        var lastLine = bytes.AsSpan(..^1).LastIndexOf((byte)'\n') + 1;
        var firstLine = Array.IndexOf(bytes, (byte)'\n');
        var seen = new SortedSet<string>(StringComparer.Ordinal);
        var count = 0;
        foreach (var (damaged, at) in Samples.Damaged(bytes))
        {
            var refusal = await Samples.CheckManifestAsync(damaged);
            Assert.True(refusal is not null, $"Byte {at} changed from {bytes[at]} to {damaged[at]} was accepted.");
            // What was sealed has been edited; only the very first words may look like something else, and the end of a line can look
            // like the end.
            if (at > firstLine && at < lastLine - 1 && damaged[at] != '\n')
                Assert.Equal("manifest.edited", refusal.Code);
            seen.Add(refusal.Code);
            count++;
        }

        Assert.Subset(s_codes.ToHashSet(), seen.ToHashSet());
        Assert.Superset(
            new HashSet<string>
            {
                "manifest.format",
                "manifest.version",
                "manifest.truncated",
                "manifest.edited",
                "manifest.signature",
                "manifest.totals",
            },
            seen.ToHashSet()
        );
        Assert.InRange(count, bytes.Length * 10, bytes.Length * 15);
    }

    [Fact]
    public async Task CheckAsync_CutAnywhere_IsTruncated()
    {
        var bytes = await Samples.ManifestAsync();
        for (var length = 0; length < bytes.Length; length++)
            Assert.Equal("manifest.truncated", (await Samples.CheckManifestAsync(bytes[..length]))?.Code);
    }

    [Fact]
    public async Task CheckAsync_LinesSwappedDroppedOrDoubled_IsRefused()
    {
        var lines = Samples.Lines(await Samples.ManifestAsync());
        for (var i = 0; i < lines.Count; i++)
        {
            for (var j = i + 1; j < lines.Count; j++)
            {
                var swapped = lines.ToArray();
                (swapped[i], swapped[j]) = (swapped[j], swapped[i]);
                await ExpectAsync(swapped, i == 0 ? "manifest.format" : "manifest.edited");
            }

            var last = i == lines.Count - 1;
            await ExpectAsync(
                [.. lines[..i], .. lines[(i + 1)..]],
                i == 0 ? "manifest.format"
                    : last ? "manifest.truncated"
                    : "manifest.edited"
            );
            await ExpectAsync([.. lines[..(i + 1)], .. lines[i..]], "manifest.edited");
        }

        static async Task ExpectAsync(IEnumerable<string> lines, string code) =>
            Assert.Equal(code, (await Samples.CheckManifestAsync(Samples.Join(lines)))?.Code);
    }

    /// <summary>Sealed with the right key, and still not acceptable: a faulty or hostile source.</summary>
    [Theory]
    [InlineData("\"obs/1.bin\"", "\"../1.bin\"", "manifest.path")]
    [InlineData("\"obs/1.bin\"", "\"/obs/1.bin\"", "manifest.path")]
    [InlineData("\"obs/1.bin\"", "\"obs//1.bin\"", "manifest.path")]
    [InlineData("\"obs/1.bin\"", "\".librarian/1.bin\"", "manifest.path")]
    [InlineData("\"obs/1.bin\"", "\"obs/\\u0000\"", "manifest.path")]
    [InlineData("\"obs/1.bin\"", "\"obs/\\ud800\"", "manifest.format")]
    [InlineData("\"obs/1.bin\"", "\"obs/void\"", "manifest.duplicate")]
    [InlineData("\"inner/two.bin\"", "\"../two.bin\"", "manifest.path")]
    [InlineData("\"inner/two.bin\"", "\"/two.bin\"", "manifest.path")]
    [InlineData("\"inner/two.bin\"", "\"inner/./two.bin\"", "manifest.path")]
    [InlineData("\"inner/two.bin\"", "\"\"", "manifest.path")]
    [InlineData("\"inner/two.bin\"", "\"inner/two\\u0000\"", "manifest.path")]
    [InlineData("\"inner/two.bin\"", "\"a\\\\b\"", "manifest.format")]
    [InlineData("\"inner/two.bin\"", "\"z\"", "manifest.format", "\"path\":\"ä", "\"path\":\"x")]
    [InlineData("\"members\":3", "\"members\":2", "manifest.format")]
    [InlineData("\"members\":3", "\"members\":4", "manifest.format")]
    [InlineData("\"members\":3", "\"members\":-1", "manifest.format")]
    [InlineData("\"members\":3,", "", "manifest.format")]
    [InlineData("\"size\":8", "\"size\":9", "manifest.totals")]
    [InlineData("\"size\":11", "\"size\":12", "manifest.totals")]
    [InlineData("\"size\":11", "\"size\":-11", "manifest.format")]
    [InlineData("\"size\":11", "\"size\":11.0", "manifest.format")]
    [InlineData("\"size\":11", "\"size\":9223372036854775807", "manifest.totals")]
    [InlineData("\"size\":11", "\"size\":11,\"size\":11", "manifest.format")]
    [InlineData("\"checksum\":\"xxh3:::0123456789abcdef0123456789abcdef\"", "\"checksum\":\"\"", "manifest.format")]
    [InlineData("\"checksum\":\"xxh3:::0123456789abcdef0123456789abcdef\"", "\"checksum\":null", "manifest.format")]
    [InlineData("b94d27b9934d3e08", "B94D27B9934D3E08", "manifest.format")]
    [InlineData("b94d27b9934d3e08", "b94d27b9934d3e0", "manifest.format")]
    [InlineData("\"deletion_policy\":1", "\"deletion_policy\":2", "manifest.format")]
    [InlineData("\"outgoing_transfer_id\":-1", "\"outgoing_transfer_id\":-2", "manifest.format")]
    [InlineData("22:55:01.123456Z\",\"uploader\"", "22:55:01.12345Z\",\"uploader\"", "manifest.format")]
    [InlineData("22:55:01.123456Z\",\"uploader\"", "22:55:01.123456+00:00\",\"uploader\"", "manifest.format")]
    [InlineData("\"trip\":1", "\"trip\":0", "manifest.format")]
    [InlineData("\"site\":\"mountain\"", "\"site\":\"\"", "manifest.format")]
    [InlineData("\"site\":\"mountain\"", "\"site\":\"\\u001b[31m\"", "manifest.format")]
    [InlineData("\"site\":\"mountain\",", "", "manifest.format")]
    [InlineData("ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "ed25519:AAAA", "manifest.format")]
    [InlineData(
        "\"files\":3,\"members\":4,\"bytes\":19}\n{\"name\"",
        "\"files\":4,\"members\":4,\"bytes\":19}\n{\"name\"",
        "manifest.totals"
    )]
    [InlineData(
        "\"files\":3,\"members\":4,\"bytes\":19}\n{\"name\"",
        "\"files\":3,\"members\":3,\"bytes\":19}\n{\"name\"",
        "manifest.totals"
    )]
    [InlineData(
        "\"files\":3,\"members\":4,\"bytes\":19}\n{\"name\"",
        "\"files\":3,\"members\":4,\"bytes\":-19}\n{\"name\"",
        "manifest.totals"
    )]
    [InlineData("\"bytes\":19,\"sha256\"", "\"bytes\":20,\"sha256\"", "manifest.totals")]
    [InlineData("\"end\":\"librarian-manifest\"", "\"end\":\"librarian-receipt\"", "manifest.truncated")]
    public async Task CheckAsync_SealedButWrong_IsRefused(
        string old,
        string changed,
        string code,
        string alsoOld = "\n",
        string alsoChanged = "\n"
    )
    {
        var text = Encoding.UTF8.GetString(await Samples.ManifestAsync());
        Assert.Contains(old, text, StringComparison.Ordinal);
        var at = text.IndexOf(old, StringComparison.Ordinal);
        text = (text[..at] + changed + text[(at + old.Length)..]).Replace(alsoOld, alsoChanged, StringComparison.Ordinal);
        var refusal = await Samples.CheckManifestAsync(
            Samples.Reseal(Samples.Lines(Encoding.UTF8.GetBytes(text)), ManifestHeader.FormatName)
        );
        Assert.Equal(code, refusal?.Code);
        Assert.Contains("Nothing was taken", refusal!.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(refusal.Message, char.IsControl);
    }

    [Fact]
    public async Task CheckAsync_LaterAdditions_AreIgnored()
    {
        var text = Encoding
            .UTF8.GetString(await Samples.ManifestAsync())
            .Replace("\"size\":", "\"colour\":{\"of\":[1]},\"size\":", StringComparison.Ordinal);
        Assert.Null(
            await Samples.CheckManifestAsync(Samples.Reseal(Samples.Lines(Encoding.UTF8.GetBytes(text)), ManifestHeader.FormatName))
        );
    }

    [Fact]
    public async Task CheckAsync_OtherVersion_IsRefusedBeforeAnythingElse()
    {
        var refusal = await Samples.CheckManifestAsync(
            "{\"format\":\"librarian-manifest\",\"version\":2,\"nothing\":\"else\"}\nwhatever"u8.ToArray()
        );
        Assert.Equal("manifest.version", refusal?.Code);
        Assert.Contains("version 2", refusal!.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<html>\n")]
    [InlineData("{}\n")]
    [InlineData("{\"format\":\"librarian-receipt\",\"version\":1}\n")]
    [InlineData("no line end and no manifest")]
    [InlineData("\ufeff{\"format\":\"librarian-manifest\",\"version\":1}\n")]
    public async Task CheckAsync_SomethingElse_IsNoManifest(string content) =>
        Assert.Equal("manifest.format", (await Samples.CheckManifestAsync(Encoding.UTF8.GetBytes(content)))?.Code);

    [Fact]
    public async Task CheckAsync_KeyOfAnotherSite_IsNoSignature()
    {
        var text = Encoding
            .UTF8.GetString(await Samples.ManifestAsync())
            .Replace(Samples.Key.PublicKey.ToString(), Samples.OtherKey.PublicKey.ToString(), StringComparison.Ordinal);
        var refusal = await Samples.CheckManifestAsync(
            Samples.Reseal(Samples.Lines(Encoding.UTF8.GetBytes(text)), ManifestHeader.FormatName)
        );
        Assert.Equal("manifest.signature", refusal?.Code);
        Assert.Contains(Samples.OtherKey.PublicKey.Fingerprint, refusal!.Message, StringComparison.Ordinal);
    }

    /// <summary>A receipt's signature must not do for a manifest.</summary>
    [Fact]
    public async Task CheckAsync_SignatureOfAnotherFormat_IsNoSignature() =>
        Assert.Equal(
            "manifest.signature",
            (await Samples.CheckManifestAsync(Samples.Reseal(Samples.Lines(await Samples.ManifestAsync()), ReceiptHeader.FormatName)))?.Code
        );

    [Theory]
    [InlineData(65_536, null)]
    [InlineData(65_537, "manifest.format")]
    [InlineData(400_000, "manifest.format")]
    public async Task CheckAsync_LongLine_IsRefusedAboveTheLimit(int length, string? code)
    {
        var lines = Samples.Lines(await Samples.ManifestAsync());
        lines[1] = lines[1]
            .Replace(
                "\"size\"",
                "\"x\":\"" + new string('x', length - Encoding.UTF8.GetByteCount(lines[1]) - 7) + "\",\"size\"",
                StringComparison.Ordinal
            );
        Assert.Equal(length, Encoding.UTF8.GetByteCount(lines[1]));
        Assert.Equal(code, (await Samples.CheckManifestAsync(Samples.Reseal(lines, ManifestHeader.FormatName)))?.Code);
    }

    [Fact]
    public async Task CheckAsync_NoFile_IsMissing()
    {
        using var directory = new TemporaryDirectory();
        directory.Shell("mkdir d.jsonl; mkfifo p.jsonl; ln -s /etc/passwd l.jsonl");
        foreach (var name in (string[])["none.jsonl", "d.jsonl", "p.jsonl", "l.jsonl", "no/where.jsonl"])
            Assert.Equal("manifest.missing", (await ManifestReader.CheckAsync(directory[name], default)).Refusal?.Code);
    }

    [Fact]
    public async Task CheckAsync_StreamThatFails_IsUnreadable()
    {
        using var directory = new TemporaryDirectory();
        var path = directory.Write("m.jsonl", await Samples.ManifestAsync());
        Assert.True((await ManifestReader.CheckAsync(path, default)).Accepted);
        // /proc/self/mem is a regular file whose first page cannot be read: EIO, as a dying disk says it.
        var refusal = (await ManifestReader.CheckAsync("/proc/self/mem", default)).Refusal;
        Assert.Equal("manifest.unreadable", refusal?.Code);
    }

    [Fact]
    public async Task WriteAndCheck_AnyDrive_ComesBackEqual() =>
        await Drives.SampleAsync(
            async content =>
            {
                var header = Samples.Header with
                {
                    Files = content.Count,
                    Members = content.Sum(entry => entry.File.Members ?? 1),
                    Bytes = content.Sum(entry => entry.File.Size),
                };
                var bytes = await Samples.ManifestAsync(header, content);
                Assert.Null(await Samples.CheckManifestAsync(bytes));
                Assert.Equal(bytes, await Samples.ManifestAsync(header, content));

                using var directory = new TemporaryDirectory();
                await using var cursor = await ManifestCursor.OpenAsync(directory.Write("m", bytes), default);
                Assert.Equal(header, cursor.Header);
                foreach (var (file, members) in content)
                {
                    Assert.Equal(file, await cursor.ReadFileAsync(default));
                    foreach (var member in members)
                        Assert.Equal(member, await cursor.ReadMemberAsync(default));
                    Assert.Null(await cursor.ReadMemberAsync(default));
                }

                Assert.Null(await cursor.ReadFileAsync(default));
            },
            iter: 300
        );

    /// <summary>A page may end anywhere: between files, before a directory's members or among them.</summary>
    [Fact]
    public async Task ReadFileAsync_FromAnyRememberedPosition_GoesOnWithTheNextFile()
    {
        using var directory = new TemporaryDirectory();
        var path = directory.Write("m", await Samples.ManifestAsync());
        var names = Samples.Content.Select(entry => entry.File.Name).ToArray();
        var positions = new List<(long Position, int Next)>();
        await using (var cursor = await ManifestCursor.OpenAsync(path, default))
        {
            for (var next = 0; next <= names.Length; next++)
            {
                positions.Add((cursor.Position, next));
                if (await cursor.ReadFileAsync(default) is null)
                    break;
                positions.Add((cursor.Position, next + 1));
                while (await cursor.ReadMemberAsync(default) is not null)
                    positions.Add((cursor.Position, next + 1));
            }

            Assert.Null(await cursor.ReadFileAsync(default));
            Assert.Equal(new ManifestTotals(3, 4, 19), cursor.ReadSeal().Totals);
            foreach (var (position, next) in positions.AsEnumerable().Reverse().Concat(positions))
            {
                cursor.Seek(position);
                Assert.Equal(position, cursor.Position);
                await ExpectAsync(cursor, next);
            }
        }

        foreach (var (position, next) in positions)
        {
            await using var cursor = await ManifestCursor.OpenAsync(path, default);
            cursor.Seek(position);
            await ExpectAsync(cursor, next);
        }

        async Task ExpectAsync(ManifestCursor cursor, int next)
        {
            Assert.Null(await cursor.ReadMemberAsync(default));
            foreach (var name in names[next..])
                Assert.Equal(name, (await cursor.ReadFileAsync(default))?.Name);
            Assert.Null(await cursor.ReadFileAsync(default));
        }
    }

    /// <summary>More than one buffer, so that seeking leaves it.</summary>
    [Fact]
    public async Task Seek_LongManifest_FindsEveryPosition()
    {
        using var directory = new TemporaryDirectory();
        var content = Enumerable.Range(0, 3000).Select(i => (Samples.File($"f/{i:D6}", "x"), Array.Empty<ManifestMember>()));
        var path = directory.Write(
            "m",
            await Samples.ManifestAsync(Samples.Header with { Files = 3000, Members = 3000, Bytes = 3000 }, content)
        );
        await using var cursor = await ManifestCursor.OpenAsync(path, default);
        var positions = new List<long>();
        do positions.Add(cursor.Position);
        while (await cursor.ReadFileAsync(default) is not null);
        Assert.Equal(3001, positions.Count);
        for (var i = 0; i < 3000; i++)
        {
            var index = i * 1171 % 3000;
            cursor.Seek(positions[index]);
            Assert.Equal($"f/{index:D6}", (await cursor.ReadFileAsync(default))?.Name);
        }
    }

    [Fact]
    public async Task ReadFileAsync_ChangedSinceTheCheck_Throws()
    {
        using var directory = new TemporaryDirectory();
        var bytes = await Samples.ManifestAsync();
        await using var cut = await ManifestCursor.OpenAsync(directory.Write("cut", bytes[..^200]), default);
        await Assert.ThrowsAsync<InvalidDataException>(async () =>
        {
            while (await cut.ReadFileAsync(default) is not null) { }
        });
        await using var cursor = await ManifestCursor.OpenAsync(directory.Write("m", bytes), default);
        cursor.Seek(cursor.Position + 1);
        await Assert.ThrowsAsync<InvalidDataException>(async () => await cursor.ReadFileAsync(default));
        await Assert.ThrowsAsync<InvalidDataException>(() => ManifestCursor.OpenAsync(directory["absent"], default));
        await Assert.ThrowsAsync<InvalidDataException>(() => ManifestCursor.OpenAsync(directory.Write("empty", ""), default));
    }

    [Fact]
    public async Task WriteAsync_ErrorsOfTheProgram_Throw()
    {
        var (single, folder) = (Samples.File("a", "x"), Samples.Directory("d", 3, 2));
        ManifestMember a = new("a", 1, Samples.Sha256("1")),
            b = new("b", 2, Samples.Sha256("22"));
        var header = Samples.Header with { Files = 1, Members = 2, Bytes = 3 };
        await ThrowsAsync(header, w => w.WriteHeaderAsync(header, default));
        await ThrowsAsync(header, w => w.WriteMemberAsync(a, default).AsTask());
        await ThrowsAsync(header, w => w.WriteFileAsync(folder, default).AsTask(), w => w.WriteFileAsync(single, default).AsTask());
        await ThrowsAsync(
            header,
            w => w.WriteFileAsync(folder, default).AsTask(),
            w => w.WriteMemberAsync(b, default).AsTask(),
            w => w.WriteMemberAsync(a, default).AsTask()
        );
        await ThrowsAsync(
            header,
            w => w.WriteFileAsync(folder, default).AsTask(),
            w => w.WriteMemberAsync(a, default).AsTask(),
            w => w.WriteMemberAsync(a, default).AsTask()
        );
        await ThrowsAsync(
            header,
            w => w.WriteFileAsync(folder, default).AsTask(),
            w => w.WriteMemberAsync(a, default).AsTask(),
            w => w.EndAsync(Samples.Key, default)
        );
        await ThrowsAsync(header, [.. Whole(), w => w.WriteMemberAsync(new("c", 0, Samples.Sha256("")), default).AsTask()]);
        await ThrowsAsync(header, [.. Whole(), w => w.EndAsync(Samples.OtherKey, default)]);
        await ThrowsAsync(header with { Bytes = 4 }, [.. Whole(), w => w.EndAsync(Samples.Key, default)]);
        await ThrowsAsync(header with { Files = 2 }, [.. Whole(), w => w.EndAsync(Samples.Key, default)]);
        await ThrowsAsync(header with { Members = 1 }, [.. Whole(), w => w.EndAsync(Samples.Key, default)]);
        await ThrowsAsync(header, [.. Whole(), w => w.EndAsync(Samples.Key, default), w => w.EndAsync(Samples.Key, default)]);
        await ThrowsAsync(header, w => w.WriteFileAsync(single with { Name = "../a" }, default).AsTask());
        await ThrowsAsync(header, w => w.WriteFileAsync(single with { Sha256 = null }, default).AsTask());
        await ThrowsAsync(header, w => w.WriteFileAsync(single with { Uploader = "\ud800" }, default).AsTask());
        await ThrowsAsync(header, w => w.WriteFileAsync(single with { Uploader = new string('x', 70_000) }, default).AsTask());
        await Assert.ThrowsAsync<InvalidOperationException>(() =>
            new ManifestWriter(Stream.Null).WriteHeaderAsync(header with { Site = "" }, default)
        );
        await Assert.ThrowsAsync<InvalidOperationException>(async () =>
            await new ManifestWriter(Stream.Null).WriteFileAsync(single, default)
        );

        Func<ManifestWriter, Task>[] Whole() =>
            [
                w => w.WriteFileAsync(folder, default).AsTask(),
                w => w.WriteMemberAsync(a, default).AsTask(),
                w => w.WriteMemberAsync(b, default).AsTask(),
            ];

        static async Task ThrowsAsync(ManifestHeader header, params Func<ManifestWriter, Task>[] steps)
        {
            using var writer = new ManifestWriter(Stream.Null);
            await writer.WriteHeaderAsync(header, default);
            foreach (var step in steps[..^1])
                await step(writer);
            await Assert.ThrowsAsync<InvalidOperationException>(() => steps[^1](writer));
        }
    }

    private static Gen<List<(ManifestFile File, ManifestMember[] Members)>> Drives
    {
        get
        {
            var text = Gen.OneOf(Gen.String, Gen.Char["ab/.\\ \"ä🔭\u2028<&\u007f"].Array[1, 12].Select(c => new string(c)));
            var size = Gen.Long[0, 1L << 40];
            var member = Gen.Select(text, size);
            var entry = Gen.Select(
                text,
                size,
                Gen.Bool,
                member.Array[0, 8],
                text,
                Gen.Long[-1, long.MaxValue],
                Gen.Long[0, DateTime.MaxValue.Ticks / 10]
            );
            return entry
                .Array[0, 12]
                .Select(entries =>
                    entries
                        .Where(e => FileName.TryParse(e.Item1, out var path, out _) && path.Value == e.Item1)
                        .DistinctBy(e => e.Item1)
                        .Select(e =>
                        {
                            var members = e
                                .Item4.Where(m => IsMemberPath(m.Item1))
                                .DistinctBy(m => m.Item1)
                                .Select(m => new ManifestMember(m.Item1, m.Item2, Samples.Sha256(m.Item1)))
                                .OrderBy(m => Convert.ToHexString(Encoding.UTF8.GetBytes(m.Path)), StringComparer.Ordinal)
                                .ToArray();
                            var file = e.Item3
                                ? Samples.File(e.Item1, "") with
                                {
                                    Size = e.Item2,
                                }
                                : Samples.Directory(e.Item1, members.Sum(m => m.Size), members.Length);
                            var valid = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(e.Item5));
                            file = file with
                            {
                                Uploader = valid,
                                Checksum = "x" + valid,
                                OutgoingTransferId = e.Item6,
                                CreateTime = new DateTime(e.Item7 * 10, DateTimeKind.Utc),
                                DeletionPolicy = e.Item3 ? DeletionPolicy.Allowed : DeletionPolicy.Disallowed,
                            };
                            return (file, e.Item3 ? [] : members);
                        })
                        .ToList()
                );
        }
    }

    private static bool IsMemberPath(string path) =>
        path.Length > 0
        && !path.Contains('\0', StringComparison.Ordinal)
        && Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(path)) == path
        && path.Split('/').All(part => part is not ("" or "." or ".."));
}
