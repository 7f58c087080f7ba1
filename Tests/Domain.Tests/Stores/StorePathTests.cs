using CsCheck;
using Librarian.Domain.Stores;

namespace Librarian.Tests.Domain.Stores;

public class StorePathTests
{
    [Theory]
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
        Assert.True(StorePath.TryParse(text, out var path, out var refusal));
        Assert.Equal(expected, path.Value);
        Assert.Equal(StorePathRefusal.None, refusal);
    }

    [Theory]
    [InlineData(null, StorePathRefusal.Empty)]
    [InlineData("", StorePathRefusal.Empty)]
    [InlineData(".", StorePathRefusal.Empty)]
    [InlineData("././", StorePathRefusal.Empty)]
    [InlineData("/", StorePathRefusal.Absolute)]
    [InlineData("/etc/passwd", StorePathRefusal.Absolute)]
    [InlineData("//a", StorePathRefusal.Absolute)]
    [InlineData("..", StorePathRefusal.ParentReference)]
    [InlineData("a/../b", StorePathRefusal.ParentReference)]
    [InlineData("a/..", StorePathRefusal.ParentReference)]
    [InlineData("./../a", StorePathRefusal.ParentReference)]
    [InlineData("a\0b", StorePathRefusal.ControlCharacter)]
    [InlineData("a\nb", StorePathRefusal.ControlCharacter)]
    [InlineData("a\u007f", StorePathRefusal.ControlCharacter)]
    [InlineData(".librarian", StorePathRefusal.Reserved)]
    [InlineData("./.librarian/incoming/x", StorePathRefusal.Reserved)]
    public void TryParse_UnacceptablePath_IsRefused(string? text, StorePathRefusal expected)
    {
        Assert.False(StorePath.TryParse(text, out var path, out var refusal));
        Assert.Null(path);
        Assert.Equal(expected, refusal);
        Assert.NotEmpty(StorePath.Describe(refusal));
    }

    [Fact]
    public void TryParse_UnpairedSurrogate_IsRefused()
    {
        // Not as test data: attributes cannot hold such a text.
        foreach (var text in new[] { "a\ud800", "\udc00a", "\ud800\ud800\udc00", "a/\udbff/b" })
        {
            Assert.False(StorePath.TryParse(text, out _, out var refusal));
            Assert.Equal(StorePathRefusal.NotUnicode, refusal);
        }
    }

    [Fact]
    public void TryParse_Lengths_AreCountedAsTheCatalogAndTheFilesystemDo()
    {
        var path256 = new string('a', 127) + "/" + new string('b', 128);
        Assert.True(StorePath.TryParse(path256, out _, out _));
        Assert.True(StorePath.TryParse("./" + path256 + "/", out _, out _));
        Assert.False(StorePath.TryParse(path256 + "c", out _, out var tooLong));
        Assert.Equal(StorePathRefusal.TooLong, tooLong);

        Assert.True(StorePath.TryParse(string.Concat(Enumerable.Repeat("🔭", 63)), out _, out _));
        Assert.False(StorePath.TryParse(string.Concat(Enumerable.Repeat("🔭", 64)), out _, out var component));
        Assert.Equal(StorePathRefusal.ComponentTooLong, component);
        Assert.True(StorePath.TryParse(string.Join('/', Enumerable.Repeat("🔭", 128)), out _, out _));
    }

    /// <summary>Whatever a client sends, the result stays strictly inside the root, is a fixed point, and never collides with the store's own directory.</summary>
    [Fact]
    public void TryParse_HostileText_NeverLeavesTheRoot() =>
        Gen.OneOf(Gen.Char["./.ab\\ ~\0\n"].Array[0, 24].Select(c => new string(c)), Gen.String).Sample(
            text =>
            {
                if (!StorePath.TryParse(text, out var path, out _))
                    return;
                var full = Path.GetFullPath("/root/" + path.Value);
                Assert.Equal("/root/" + path.Value, full);
                Assert.False(full.StartsWith("/root/.librarian/", StringComparison.Ordinal));
                Assert.True(StorePath.TryParse(path.Value, out var again, out _));
                Assert.Equal(path, again);
                Assert.Equal(path.Value, string.Join('/', path.Components));
            },
            iter: 20_000);

    [Theory]
    [InlineData("a", "a", true)]
    [InlineData("a", "a/b", true)]
    [InlineData("a", "ab", false)]
    [InlineData("a/b", "a", false)]
    public void Contains_OtherPath_GoesByComponents(string outer, string inner, bool expected)
    {
        Assert.True(StorePath.TryParse(outer, out var left, out _));
        Assert.True(StorePath.TryParse(inner, out var right, out _));
        Assert.Equal(expected, left.Contains(right));
    }
}
