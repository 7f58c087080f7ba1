using System.Text;
using CsCheck;
using Librarian.Domain.Stores;

namespace Librarian.Tests.Domain.Stores;

/// <summary>Reading committed data as docs/spec/data.md says.</summary>
public sealed class StoredContentTests : IDisposable
{
    private readonly StoreFixture _fixture = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public async Task Members_OfADirectory_ComeInTheOrderOfTheirBytes()
    {
        Write("obs/b", "2");
        Write("obs/a/z", "1");
        Write("obs/a.txt", "0");
        Write("obs/é", "3");
        Directory.CreateDirectory(Path.Combine(_fixture.StorePath, "obs/empty"));
        File.CreateSymbolicLink(Path.Combine(_fixture.StorePath, "obs/link"), "b");
        using var content = await OpenAsync("obs");
        Assert.Equal(
            ["Directory a", "File a/z 1", "File a.txt 1", "File b 1", "Directory empty", "Link link b", "File é 1"],
            content.Members().Select(m => $"{m.Type} {m.Path} {m.Target ?? (m.Type == MemberType.File ? $"{m.Size}" : "")}".TrimEnd())
        );
        Assert.Equal("1023", await ReadAsync(content.Stream));
    }

    [Fact]
    public async Task Stream_FromAnyPosition_ContinuesTheConcatenation()
    {
        var sizes = Gen.Int[0, 9].Array[0, 12];
        var i = 0;
        await Gen.Select(sizes, Gen.Int[0, 120], Gen.Int[1, 7])
            .SampleAsync(
                async (files, from, step) =>
                {
                    var name = $"p{Interlocked.Increment(ref i)}";
                    Directory.CreateDirectory(Path.Combine(_fixture.StorePath, name));
                    var all = new StringBuilder();
                    for (var f = 0; f < files.Length; f++)
                    {
                        var text = new string((char)('a' + f), files[f]);
                        Write($"{name}/{f / 3:d2}/{f:d2}", text);
                        all.Append(text);
                    }

                    using var content = await OpenAsync(name);
                    Assert.Equal(all.Length, content.Size);
                    content.Stream.Position = from;
                    Assert.Equal(from >= all.Length ? "" : all.ToString()[from..], await ReadAsync(content.Stream, step));
                    // Back again, on the same stream.
                    content.Stream.Position = 0;
                    Assert.Equal(all.ToString(), await ReadAsync(content.Stream, step));
                },
                iter: 60
            );
    }

    [Fact]
    public async Task Stream_MemberBecameShorter_ThrowsBeforeTheEnd()
    {
        Write("obs/a", "12345");
        Write("obs/b", "67890");
        using var content = await OpenAsync("obs");
        Write("obs/a", "12");
        await Assert.ThrowsAsync<IOException>(() => ReadAsync(content.Stream));
        Assert.True(content.Stream.Position < content.Size);
    }

    [Fact]
    public async Task Stream_FileIsDeletedMeanwhile_IsReadToItsEnd()
    {
        Write("a", "hello world");
        using var content = await OpenAsync("a");
        File.Delete(Path.Combine(_fixture.StorePath, "a"));
        Assert.Equal("hello world", await ReadAsync(content.Stream));
        Assert.Equal(new ContentMember(MemberType.File, "", 11, IsExecutable: false), Assert.Single(content.Members()));
    }

    [Fact]
    public async Task Open_LinkInThePath_IsRefused()
    {
        Write("real/a", "x");
        File.CreateSymbolicLink(Path.Combine(_fixture.StorePath, "via"), "real");
        File.CreateSymbolicLink(Path.Combine(_fixture.StorePath, "b"), "real/a");
        await Assert.ThrowsAnyAsync<IOException>(() => _fixture.Store.OpenContentAsync(StoreFixture.Name("via/a"), Stop));
        await Assert.ThrowsAnyAsync<IOException>(() => _fixture.Store.OpenContentAsync(StoreFixture.Name("b"), Stop));
        Assert.Null(await _fixture.Store.OpenContentAsync(StoreFixture.Name("none"), Stop));
    }

    private async Task<StoredContent> OpenAsync(string name)
    {
        var content = await _fixture.Store.OpenContentAsync(StoreFixture.Name(name), Stop);
        Assert.NotNull(content);
        return content;
    }

    private void Write(string name, string text)
    {
        var path = Path.Combine(_fixture.StorePath, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }

    private static async Task<string> ReadAsync(Stream stream, int step = 3)
    {
        var text = new StringBuilder();
        var buffer = new byte[step];
        int read;
        while ((read = await stream.ReadAsync(buffer, Stop)) > 0)
            text.Append(Encoding.UTF8.GetString(buffer, 0, read));
        return text.ToString();
    }
}
