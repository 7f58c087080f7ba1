using System.Text;
using Librarian.Domain.Drives;
using Librarian.Domain.Security;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Drives;

[Quick]
public class ReceiptTests
{
    private static readonly string Golden = Samples.Unwrap(
        """
        {"format":"librarian-receipt","version":1,"site":"archive","site_key":"ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
            "drive_id":"0e984725-c51c-4bf4-9960-e1c80e27aba0","drive":"d01","trip":1,"source":"mountain",
            "manifest_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","created":"2026-11-24T22:55:01.123456Z",
            "files":2}
        {"outgoing_transfer_id":17,"name":"obs/1.bin","checksum":"xxh3:::00","outcome":"stored","store_id":1}
        {"outgoing_transfer_id":18,"name":"obs/zén 🔭","checksum":"abc","outcome":"failed",
            "message":"The \"copy\" is damaged.\nAsk again."}
        {"end":"librarian-receipt","files":2,"sha256":"3041406254dae395792529d458f982bb3af60941111764a43ea4697dd6b89cf4",
            "signature":"HkiKoznUQa6f51AXwNJZJ4mPqqIEb18yO4AKkm/+siuV72kLZp4ngyB3h0Rp84qCX/ipPAzBypLXrCsFM6lZBA=="}

        """
    );

    private static readonly ReceiptHeader s_header = new()
    {
        Site = "archive",
        SiteKey = Samples.Key.PublicKey,
        DriveId = Samples.Header.DriveId,
        Drive = "d01",
        Trip = 1,
        Source = "mountain",
        ManifestSha256 = Samples.Sha256(""),
        Created = Samples.Time,
        Files = 2,
    };

    private static readonly ReceiptLine[] s_lines =
    [
        new()
        {
            OutgoingTransferId = 17,
            Name = "obs/1.bin",
            Checksum = "xxh3:::00",
            Outcome = ReceiptOutcome.Stored,
            StoreId = 1,
        },
        new()
        {
            OutgoingTransferId = 18,
            Name = "obs/zén 🔭",
            Checksum = "abc",
            Outcome = ReceiptOutcome.Failed,
            Message = "The \"copy\" is damaged.\nAsk again.",
        },
    ];

    [Fact]
    public async Task WriteAsync_TwoDecisions_GivesTheBytesOfVersion1() =>
        Assert.Equal(Golden, Encoding.UTF8.GetString(await WriteAsync(s_lines)));

    [Fact]
    public async Task CheckAsync_TwoDecisions_GivesHeaderAndDigestAndTheLinesInPages()
    {
        var bytes = await WriteAsync(s_lines);
        var check = await ReceiptReader.CheckAsync(new MemoryStream(bytes), default);
        Assert.True(check.Accepted);
        Assert.Equal(s_header, check.Header);
        Assert.Equal(new ReceiptSeal(Samples.Sha256(string.Concat(Samples.Lines(bytes).SkipLast(1))), 2), check.Seal);

        using var directory = new TemporaryDirectory();
        var path = directory.Write("r", bytes);
        Assert.True((await ReceiptReader.CheckAsync(path, default)).Accepted);
        await using var cursor = await ReceiptCursor.OpenAsync(path, default);
        Assert.Equal(s_header, cursor.Header);
        Assert.Equal(s_lines[0], await cursor.ReadLineAsync(default));
        var position = cursor.Position;
        Assert.Equal(s_lines[1], await cursor.ReadLineAsync(default));
        Assert.Null(await cursor.ReadLineAsync(default));
        Assert.Null(await cursor.ReadLineAsync(default));
        cursor.Seek(position);
        Assert.Equal(s_lines[1], await cursor.ReadLineAsync(default));
    }

    [Fact]
    public async Task CheckAsync_AnyByteChanged_IsRefused()
    {
        var bytes = await WriteAsync(s_lines);
        var codes = new HashSet<string>();
        foreach (var (damaged, at) in Samples.Damaged(bytes))
        {
            var refusal = (await ReceiptReader.CheckAsync(new MemoryStream(damaged), default)).Refusal;
            Assert.True(refusal is not null, $"Byte {at} changed from {bytes[at]} to {damaged[at]} was accepted.");
            codes.Add(refusal.Code);
        }

        Assert.Equal(
            ["receipt.edited", "receipt.format", "receipt.signature", "receipt.totals", "receipt.truncated", "receipt.version"],
            codes.Order(StringComparer.Ordinal)
        );
    }

    [Fact]
    public async Task CheckAsync_CutAnywhere_IsTruncated()
    {
        var bytes = await WriteAsync(s_lines);
        for (var length = 0; length < bytes.Length; length++)
            Assert.Equal("receipt.truncated", (await ReceiptReader.CheckAsync(new MemoryStream(bytes[..length]), default)).Refusal?.Code);
    }

    [Theory]
    [InlineData("\"stored\"", "\"STORED\"", "receipt.format")]
    [InlineData("\"stored\"", "0", "receipt.format")]
    [InlineData("\"outcome\":\"stored\",\"store_id\":1", "\"outcome\":\"stored\"", "receipt.format")]
    [InlineData("\"outcome\":\"stored\",\"store_id\":1", "\"outcome\":\"failed\"", "receipt.format")]
    [InlineData("\"outcome\":\"stored\",\"store_id\":1", "\"outcome\":\"failed\",\"store_id\":1,\"message\":\"\"", "receipt.format")]
    [InlineData("\"outgoing_transfer_id\":17", "\"outgoing_transfer_id\":-1", "receipt.format")]
    [InlineData("obs/1.bin", "../1.bin", "receipt.path")]
    [InlineData("\"files\":2}", "\"files\":3}", "receipt.totals")]
    [InlineData("\"files\":2,", "\"files\":1,", "receipt.totals")]
    [InlineData("\"manifest_sha256\":\"e3", "\"manifest_sha256\":\"E3", "receipt.format")]
    public async Task CheckAsync_SealedButWrong_IsRefused(string old, string changed, string code)
    {
        var text = Encoding.UTF8.GetString(await WriteAsync(s_lines));
        Assert.Contains(old, text, StringComparison.Ordinal);
        var bytes = Samples.Reseal(
            Samples.Lines(Encoding.UTF8.GetBytes(text.Replace(old, changed, StringComparison.Ordinal))),
            ReceiptHeader.FormatName
        );
        Assert.Equal(code, (await ReceiptReader.CheckAsync(new MemoryStream(bytes), default)).Refusal?.Code);
    }

    [Fact]
    public async Task CheckAsync_NoFile_IsMissing() =>
        Assert.Equal("receipt.missing", (await ReceiptReader.CheckAsync("/tmp/no/such.jsonl", default)).Refusal?.Code);

    /// <summary>Messages come from anywhere; a receipt must not fail for one.</summary>
    [Fact]
    public async Task WriteLineAsync_LongOrBrokenMessage_IsCut()
    {
        var message = "\ud800" + string.Concat(Enumerable.Repeat("🔭", 50_000));
        var bytes = await WriteAsync([s_lines[0], s_lines[1] with { Message = message }]);
        Assert.True((await ReceiptReader.CheckAsync(new MemoryStream(bytes), default)).Accepted);
        Assert.InRange(bytes.Length, 4000, 20_000);
    }

    [Fact]
    public async Task WriteAsync_ErrorsOfTheProgram_Throw()
    {
        await Assert.ThrowsAsync<InvalidOperationException>(() => WriteAsync(s_lines[..1]));
        await Assert.ThrowsAsync<InvalidOperationException>(() => WriteAsync([s_lines[0], s_lines[1] with { Message = null }]));
        await Assert.ThrowsAsync<InvalidOperationException>(() => WriteAsync(s_lines, Samples.OtherKey));
        await Assert.ThrowsAsync<InvalidOperationException>(async () =>
            await new ReceiptWriter(Stream.Null).WriteLineAsync(s_lines[0], default)
        );
    }

    private static async Task<byte[]> WriteAsync(ReceiptLine[] lines, SiteSigningKey? key = null)
    {
        using var stream = new MemoryStream();
        using var writer = new ReceiptWriter(stream);
        await writer.WriteHeaderAsync(s_header, default);
        foreach (var line in lines)
            await writer.WriteLineAsync(line, default);
        await writer.EndAsync(key ?? Samples.Key, default);
        return stream.ToArray();
    }
}
