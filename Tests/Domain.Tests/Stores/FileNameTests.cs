using CsCheck;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Stores;

[Quick]
public class FileNameTests
{
    [Theory]
    [InlineData("a\nb/\u001b[2J\u007f\u0085", "a\nb/\u001b[2J\u007f\u0085")]
    [InlineData("\u202ea\u2028", "\u202ea\u2028")]
    [InlineData("\uFFFD", "\uFFFD")]
    [InlineData("a", "a")]
    [InlineData("a/b", "a/b")]
    [InlineData("a//b///c", "a/b/c")]
    [InlineData("./a/./b/.", "a/b")]
    [InlineData("a/", "a")]
    [InlineData("a/..b/c..", "a/..b/c..")]
    [InlineData("...", "...")]
    [InlineData("a\\b c", "a\\b c")]
    [InlineData("2459861/zen.héra.uvh5", "2459861/zen.héra.uvh5")]
    [InlineData("a/.librarian", "a/.librarian")]
    [InlineData(".librarian2", ".librarian2")]
    public void TryParse_AcceptablePath_IsNormalised(string text, string expected)
    {
        Assert.True(FileName.TryParse(text, out var path, out var refusal));
        Assert.Equal(expected, path.Value);
        Assert.Equal(FileNameRefusal.None, refusal);
    }

    [Theory]
    [InlineData(null, FileNameRefusal.Empty)]
    [InlineData("", FileNameRefusal.Empty)]
    [InlineData(".", FileNameRefusal.Empty)]
    [InlineData("././", FileNameRefusal.Empty)]
    [InlineData("/", FileNameRefusal.Absolute)]
    [InlineData("/etc/passwd", FileNameRefusal.Absolute)]
    [InlineData("//a", FileNameRefusal.Absolute)]
    [InlineData("..", FileNameRefusal.ParentReference)]
    [InlineData("a/../b", FileNameRefusal.ParentReference)]
    [InlineData("a/..", FileNameRefusal.ParentReference)]
    [InlineData("./../a", FileNameRefusal.ParentReference)]
    [InlineData("a\0b", FileNameRefusal.ZeroCharacter)]
    [InlineData(".librarian", FileNameRefusal.Reserved)]
    [InlineData("./.librarian/incoming/x", FileNameRefusal.Reserved)]
    public void TryParse_UnacceptablePath_IsRefused(string? text, FileNameRefusal expected)
    {
        Assert.False(FileName.TryParse(text, out var path, out var refusal));
        Assert.Null(path);
        Assert.Equal(expected, refusal);
        Assert.NotEmpty(FileName.Describe(refusal));
    }

    [Fact]
    public void TryParse_UnpairedSurrogate_IsRefused()
    {
        // Not as test data: attributes cannot hold such a text.
        foreach (var text in new[] { "a\ud800", "\udc00a", "\ud800\ud800\udc00", "a/\udbff/b" })
        {
            Assert.False(FileName.TryParse(text, out _, out var refusal));
            Assert.Equal(FileNameRefusal.NotUnicode, refusal);
        }
    }

    [Fact]
    public void TryParse_Lengths_AreCountedAsTheCatalogAndTheFilesystemDo()
    {
        var path256 = new string('a', 127) + "/" + new string('b', 128);
        Assert.True(FileName.TryParse(path256, out _, out _));
        Assert.True(FileName.TryParse("./" + path256 + "/", out _, out _));
        Assert.False(FileName.TryParse(path256 + "c", out _, out var tooLong));
        Assert.Equal(FileNameRefusal.TooLong, tooLong);

        Assert.True(FileName.TryParse(string.Concat(Enumerable.Repeat("🔭", 63)), out _, out _));
        Assert.False(FileName.TryParse(string.Concat(Enumerable.Repeat("🔭", 64)), out _, out var component));
        Assert.Equal(FileNameRefusal.ComponentTooLong, component);
        Assert.True(FileName.TryParse(string.Join('/', Enumerable.Repeat("🔭", 128)), out _, out _));
    }

    /// <summary>
    /// Whatever a client sends, the result stays strictly inside the root, is a fixed point, and never collides with the store's own
    /// directory.
    /// </summary>
    [Fact]
    public void TryParse_HostileText_NeverLeavesTheRoot() =>
        Gen.OneOf(Gen.Char["./.ab\\ ~\0\n"].Array[0, 24].Select(c => new string(c)), Gen.String)
            .Sample(
                text =>
                {
                    if (!FileName.TryParse(text, out var path, out _))
                        return;
                    var full = Path.GetFullPath("/root/" + path.Value);
                    Assert.Equal("/root/" + path.Value, full);
                    Assert.False(full.StartsWith("/root/.librarian/", StringComparison.Ordinal));
                    Assert.True(FileName.TryParse(path.Value, out var again, out _));
                    Assert.Equal(path, again);
                    Assert.Equal(path.Value, string.Join('/', path.Components));
                },
                iter: 20_000
            );

    [Theory]
    [InlineData("a", "a", true)]
    [InlineData("a", "a/b", true)]
    [InlineData("a", "ab", false)]
    [InlineData("a/b", "a", false)]
    public void Contains_OtherPath_GoesByComponents(string outer, string inner, bool expected)
    {
        Assert.True(FileName.TryParse(outer, out var left, out _));
        Assert.True(FileName.TryParse(inner, out var right, out _));
        Assert.Equal(expected, left.Contains(right));
    }
}
