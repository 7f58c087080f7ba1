using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Librarian.Domain.Drives;
using Librarian.Domain.Security;

namespace Librarian.Tests.Domain.Drives;

/// <summary>A small drive with everything that a manifest can hold, and ways to damage and to forge one.</summary>
internal static class Samples
{
    internal static readonly SiteSigningKey Key = SiteSigningKey.FromSeed(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray());
    internal static readonly SiteSigningKey OtherKey = SiteSigningKey.FromSeed(Enumerable.Range(1, 32).Select(i => (byte)i).ToArray());
    internal static readonly DateTime Time = new DateTime(2026, 11, 24, 22, 55, 1, DateTimeKind.Utc).AddMicroseconds(123456);

    internal static readonly ManifestHeader Header = new()
    {
        Site = "mountain",
        SiteKey = Key.PublicKey,
        DriveId = Guid.Parse("0e984725-c51c-4bf4-9960-e1c80e27aba0"),
        Drive = "d01",
        Trip = 1,
        Destination = "archive",
        Created = Time,
        Files = 3,
        Members = 4,
        Bytes = 19,
    };

    internal static readonly (ManifestFile File, ManifestMember[] Members)[] Content =
    [
        (File("obs/1.bin", "hello world"), []),
        (Directory("obs/zén \"🔭\"\u2028\\dir", 8, 3), [Member("a\\b", "12345"), Member("inner/two.bin", "678"), Member("ä/empty", "")]),
        (
            Directory("obs/void", 0, 0) with
            {
                DeletionPolicy = DeletionPolicy.Allowed,
                OutgoingTransferId = -1,
                Uploader = "line\nbreak\u0001",
            },
            []
        ),
    ];

    internal static ManifestFile File(string name, string content) =>
        new()
        {
            Name = name,
            Size = Encoding.UTF8.GetByteCount(content),
            Checksum = "xxh3:::0123456789abcdef0123456789abcdef",
            Sha256 = Sha256(content),
            CreateTime = Time,
            Uploader = "observer",
            Source = "observer",
            DeletionPolicy = DeletionPolicy.Disallowed,
            OutgoingTransferId = 17,
        };

    internal static ManifestFile Directory(string name, long size, long members) =>
        File(name, "") with
        {
            Size = size,
            Sha256 = null,
            Members = members,
        };

    internal static ManifestMember Member(string path, string content) => new(path, Encoding.UTF8.GetByteCount(content), Sha256(content));

    internal static string Sha256(string content) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(content)));

    internal static Task<byte[]> ManifestAsync() => ManifestAsync(Header, Content);

    internal static async Task<byte[]> ManifestAsync(
        ManifestHeader header,
        IEnumerable<(ManifestFile File, ManifestMember[] Members)> content
    )
    {
        using var stream = new MemoryStream();
        using var writer = new ManifestWriter(stream);
        await writer.WriteHeaderAsync(header, default);
        foreach (var (file, members) in content)
        {
            await writer.WriteFileAsync(file, default);
            foreach (var member in members)
                await writer.WriteMemberAsync(member, default);
        }

        await writer.EndAsync(Key, default);
        return stream.ToArray();
    }

    internal static async Task<DriveRefusal?> CheckManifestAsync(byte[] bytes) =>
        (await ManifestReader.CheckAsync(new MemoryStream(bytes), default)).Refusal;

    /// <summary>Every single bit changed, and every byte replaced by each of a few that mean something in JSON.</summary>
    internal static IEnumerable<(byte[] Bytes, int At)> Damaged(byte[] bytes)
    {
        for (var at = 0; at < bytes.Length; at++)
        {
            var values = Enumerable.Range(0, 8).Select(bit => (byte)(bytes[at] ^ (1 << bit))).Concat("\n\" 0,}x"u8.ToArray());
            foreach (var value in values.Distinct().Where(value => value != bytes[at]))
            {
                var copy = (byte[])bytes.Clone();
                copy[at] = value;
                yield return (copy, at);
            }
        }
    }

    /// <summary>The lines with their ends.</summary>
    internal static List<string> Lines(byte[] bytes) =>
        [.. Encoding.UTF8.GetString(bytes).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line + "\n")];

    internal static byte[] Join(IEnumerable<string> lines) => Encoding.UTF8.GetBytes(string.Concat(lines));

    /// <summary>Joins lines that were broken because they are long: one that begins with four spaces goes on with the one before.</summary>
    internal static string Unwrap(string text) => text.Replace("\n    ", "", StringComparison.Ordinal);

    /// <summary>
    /// What a site with a faulty or hostile program would seal: any lines, with a last line whose digest and signature are right.
    /// </summary>
    internal static byte[] Reseal(IReadOnlyList<string> lines, string format)
    {
        var body = string.Concat(lines.SkipLast(1));
        var digest = Sha256(body);
        var signature = Convert.ToBase64String(Key.Sign(Encoding.ASCII.GetBytes($"{format}-v1\n{digest}")));
        var end = Regex.Replace(
            lines[^1],
            "\"sha256\":.*",
            $"\"sha256\":\"{digest}\",\"signature\":\"{signature}\"}}\n",
            RegexOptions.Singleline,
            TimeSpan.FromSeconds(1)
        );
        return Encoding.UTF8.GetBytes(body + end);
    }
}
