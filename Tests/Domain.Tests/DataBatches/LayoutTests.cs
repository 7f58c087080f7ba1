using System.Text;
using CsCheck;
using Librarian.Domain.DataBatches;
using Librarian.Domain.Posix;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.DataBatches;

/// <summary>docs/spec/data-batches.md#layout: what a layout may say, and what every hostile one gets.</summary>
[Quick]
public sealed class LayoutTests : IDisposable
{
    private readonly TemporaryDirectory _place = new();

    public void Dispose() => _place.Dispose();

    [Fact]
    public void Layout_OfFilesAndDirectories_HasTheirPositions()
    {
        using var layout = Read(
            """{"transfer":1,"type":"file","size":10,"executable":true}""",
            """{"transfer":2,"type":"directory","size":12}""",
            """{"type":"directory","path":"a"}""",
            """{"type":"file","path":"a/x","size":5}""",
            """{"type":"link","path":"a/y","target":"../b"}""",
            """{"type":"file","path":"a.b","size":0}""",
            """{"type":"file","path":"b","size":7}""",
            """{"members":5}""",
            """{"transfer":3,"type":"directory","size":0}""",
            """{"members":0}""",
            """{"transfer":4,"type":"file","size":1}"""
        );
        Assert.Equal(23, layout.TotalBytes);
        Assert.Equal([1, 2, 3, 4], layout.Transfers);
        Assert.Equal([10, 12, 0, 1], layout.Sizes);
        Assert.Equal(
            [
                new BatchFile(0, "", 0, 10, true),
                new BatchFile(1, "a/x", 10, 5, false),
                new BatchFile(1, "b", 15, 7, false),
                new BatchFile(3, "", 22, 1, false),
            ],
            layout.FilesFrom(0)
        );
        Assert.Equal(["b", ""], layout.FilesFrom(15).Select(f => f.Path));
        Assert.Equal(["b", ""], layout.FilesFrom(21).Select(f => f.Path));
        Assert.Empty(layout.FilesFrom(23));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("nonsense")]
    [InlineData("""{"transfer":1}""")]
    [InlineData("""{"transfer":1,"type":"file"}""")]
    [InlineData("""{"transfer":1,"type":"file","size":-1}""")]
    [InlineData("""{"transfer":1,"type":"file","size":1e400}""")]
    [InlineData("""{"transfer":1,"type":"link","size":1}""")]
    [InlineData("""{"transfer":1,"type":"file","size":1}|{"transfer":1,"type":"file","size":1}""")]
    [InlineData("""{"transfer":1,"type":"file","size":9223372036854775807}|{"transfer":2,"type":"file","size":1}""")]
    [InlineData("""{"type":"file","path":"a","size":1}""")]
    [InlineData("""{"members":0}""")]
    [InlineData("""{"transfer":1,"type":"directory","size":0}""")]
    [InlineData("""{"transfer":1,"type":"directory","size":0}|{"transfer":2,"type":"file","size":1}""")]
    [InlineData("""{"transfer":1,"type":"directory","size":1}|{"members":0}""")]
    [InlineData("""{"transfer":1,"type":"directory","size":1}|{"type":"file","path":"a","size":1}|{"members":2}""")]
    [InlineData("""{"transfer":1,"type":"directory","size":2}|{"type":"file","path":"a","size":1}|{"members":1}""")]
    public void Layout_ThatContradictsItself_IsRefused(string lines) => Assert.Throws<LayoutException>(() => Read(lines.Split('|')));

    [Theory]
    [InlineData("")]
    [InlineData("/a")]
    [InlineData("a/")]
    [InlineData("a//b")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("../a")]
    [InlineData("a/../b")]
    [InlineData("a\\u0000b")]
    [InlineData("\\ud800")]
    public void Member_WithAPathThatLeadsElsewhere_IsRefused(string path) =>
        Assert.Throws<LayoutException>(() =>
            Read(
                """{"transfer":1,"type":"directory","size":1}""",
                """{"type":"directory","path":"a"}""",
                $$"""{"type":"file","path":"{{path}}","size":1}""",
                """{"members":2}"""
            )
        );

    [Theory]
    [InlineData("""{"type":"file","path":"b","size":0}|{"type":"file","path":"a","size":0}""")]
    [InlineData("""{"type":"file","path":"a","size":0}|{"type":"file","path":"a","size":0}""")]
    [InlineData("""{"type":"file","path":"a","size":0}|{"type":"directory","path":"a"}""")]
    [InlineData("""{"type":"file","path":"a","size":0}|{"type":"file","path":"a/b","size":0}""")]
    [InlineData("""{"type":"link","path":"a","target":"b"}|{"type":"file","path":"a/b","size":0}""")]
    [InlineData("""{"type":"file","path":"a/b","size":0}|{"type":"directory","path":"a"}""")]
    [InlineData("""{"type":"directory","path":"a"}|{"type":"directory","path":"b"}|{"type":"file","path":"a/x","size":0}""")]
    public void Members_InAnotherOrderThanAListings_AreRefused(string lines) =>
        Assert.Throws<LayoutException>(() =>
            Read(["""{"transfer":1,"type":"directory","size":0}""", .. lines.Split('|'), $$"""{"members":{{lines.Split('|').Length}}}"""])
        );

    [Theory]
    [InlineData("a", "/etc/passwd")]
    [InlineData("a", "../b")]
    [InlineData("a", "")]
    [InlineData("d/a", "../../b")]
    [InlineData("d/a", "x/../../../b")]
    [InlineData("d/a", "../x/../../b")]
    public void Link_OutOfItsDirectory_IsRefused(string path, string target) =>
        Assert.Throws<LayoutException>(() =>
            Read(
                """{"transfer":1,"type":"directory","size":0}""",
                """{"type":"directory","path":"d"}""",
                $$"""{"type":"link","path":"{{path}}","target":"{{target}}"}""",
                """{"members":2}"""
            )
        );

    [Fact]
    public void Line_WithoutEndOrTooLong_IsRefused()
    {
        Assert.Throws<LayoutException>(() => ReadText("""{"account":"a"}""" + "\n" + """{"transfer":1,"type":"file","size":1}"""));
        var longest = new string('x', LayoutLines.LongestLine);
        Assert.Throws<LayoutException>(() => Read("""{"transfer":1,"type":"file","size":1,"path":""" + $"\"{longest}\"}}"));
    }

    [Fact]
    public void FilesFrom_AnyPosition_GivesTheFilesThatEndBehindIt() =>
        Gen.Long[0, 5]
            .Array[1, 400]
            .Sample(
                sizes =>
                {
                    using var layout = Read([.. sizes.Select((size, i) => $$"""{"transfer":{{i + 1}},"type":"file","size":{{size}}}""")]);
                    for (long position = 0; position <= layout.TotalBytes; position += 7)
                    {
                        long start = 0;
                        var expected = new List<(int, long)>();
                        for (var i = 0; i < sizes.Length; start += sizes[i++])
                        {
                            if (sizes[i] > 0 && start + sizes[i] > position)
                                expected.Add((i, start));
                        }

                        Assert.Equal(expected, layout.FilesFrom(position).Select(f => (f.Transfer, f.Start)));
                    }
                },
                iter: 30,
                threads: 1
            );

    private BatchLayout Read(params string[] lines) => ReadText(string.Concat(lines.Prepend("""{"account":"a"}""").Select(l => l + "\n")));

    private BatchLayout ReadText(string text)
    {
        var path = _place[Guid.NewGuid().ToString("N")];
        File.WriteAllText(path, text, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        return new BatchLayout(PosixDirectory.OpenFileAtPath(path));
    }
}
