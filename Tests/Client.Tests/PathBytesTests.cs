using CsCheck;
using Librarian.Client.Uploads;

namespace Librarian.Tests.Client;

public sealed class PathBytesTests : IDisposable
{
    private readonly string _work = Directory.CreateTempSubdirectory("librarian-bytes-").FullName;

    public void Dispose() => RawFiles.Remove(_work);

    [Fact]
    public void ToText_AnyBytes_ComeBackUnchanged() =>
        Gen.Byte[1, 255]
            .Array[0, 40]
            .Sample(static bytes => PathBytes.ToZeroTerminated(PathBytes.ToText(bytes)).AsSpan(..^1).SequenceEqual(bytes));

    // Facts instead of theories: an attribute's text is UTF-8, and these texts are not.
    [Fact]
    public void ToText_Bytes_ReadAsPythonHasThem()
    {
        Assert.Equal("a\uDCFFb", PathBytes.ToText([0x61, 0xff, 0x62]));
        Assert.Equal("é", PathBytes.ToText([0xc3, 0xa9]));
        Assert.Equal("\uDCC3", PathBytes.ToText([0xc3]));
        Assert.Equal("\uDCED\uDCB2\uDC80", PathBytes.ToText([0xed, 0xb2, 0x80]));
        Assert.Equal("\uFFFD", PathBytes.ToText([0xef, 0xbf, 0xbd]));
    }

    [Fact]
    public void ToZeroTerminated_TextThatIsNoPath_IsRefused() =>
        Assert.All(["a\uD800", "a\uDC7F", "a\0b"], static text => Assert.Throws<ArgumentException>(() => PathBytes.ToZeroTerminated(text)));

    [Fact]
    public void Names_OfAFolder_AreAllThere()
    {
        foreach (var name in (string[])["a\uDCFF", "a\uDCFE", "a\uFFFD", "é", "x\ny"])
            RawFiles.Write(Path.Join(_work, name), name.Shown());

        var names = SourceFolder.Names(_work);

        Assert.Equal(["a\uDCFE", "a\uDCFF", "a\uFFFD", "x\ny", "é"], names);
        Assert.All(names, name => Assert.Equal(name.Shown(), RawFiles.Read(Path.Join(_work, name))));
    }

    [Fact]
    public void Shown_Text_IsOneHarmlessLine()
    {
        Assert.Equal("obs/2026/zen.h5", "obs/2026/zen.h5".Shown());
        Assert.Equal("😀 é \\x", "😀 é \\x".Shown());
        Assert.Equal("a\\x0ab\\x0d\\x09\\x1b[2J\\x7f\\x85", "a\nb\r\t\u001b[2J\u007f\u0085".Shown());
        Assert.Equal("a\\xffb", "a\uDCFFb".Shown());
        Assert.Equal("a\\ud800", "a\uD800".Shown());
        Assert.Equal(
            "\\u202egpj.exe\\u2066\\u2069\\u2028\\u2029\\u200f\\u061c",
            "\u202Egpj.exe\u2066\u2069\u2028\u2029\u200F\u061C".Shown()
        );
    }
}
