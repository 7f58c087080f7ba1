using Librarian.Samples.Demo;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Samples;

[Quick]
public sealed class TreeComparisonTests : IDisposable
{
    private readonly string _work = Directory.CreateTempSubdirectory("librarian-compare-").FullName;

    public void Dispose() => Directory.Delete(_work, recursive: true);

    [Fact]
    public async Task Difference_Changes_AreFoundOneByOne()
    {
        var source = Path.Join(_work, "source");
        var copy = Path.Join(_work, "copy");
        await SampleFiles.WriteAsync(source, 8, CancellationToken.None);
        Assert.NotNull(await TreeComparison.DifferenceAsync(source, copy, CancellationToken.None));
        await SampleFiles.WriteAsync(copy, 8, CancellationToken.None);
        Assert.Null(await TreeComparison.DifferenceAsync(source, copy, CancellationToken.None));

        var member = Directory.EnumerateFiles(copy, "*.g3", SearchOption.AllDirectories).First();
        var content = await File.ReadAllBytesAsync(member);
        content[^1] ^= 1;
        await File.WriteAllBytesAsync(member, content);
        Assert.Contains(member, await TreeComparison.DifferenceAsync(source, copy, CancellationToken.None), StringComparison.Ordinal);

        content[^1] ^= 1;
        await File.WriteAllBytesAsync(member, content[..^1]);
        Assert.Contains(member, await TreeComparison.DifferenceAsync(source, copy, CancellationToken.None), StringComparison.Ordinal);

        File.Delete(member);
        Assert.Contains(
            "other members",
            await TreeComparison.DifferenceAsync(source, copy, CancellationToken.None),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task Difference_NamesThatAreNotUtf8_AreCompared()
    {
        var (source, copy) = (Path.Join(_work, "source"), Path.Join(_work, "copy"));
        await ProcessRunner.RunAsync(
            "sh",
            ["-c", "mkdir source && printf one > \"source/$(printf 'a\\377')\" && cp -r source copy"],
            _work
        );
        Assert.Null(await TreeComparison.DifferenceAsync(source, copy, CancellationToken.None));

        await ProcessRunner.RunAsync("sh", ["-c", "printf two > \"copy/$(printf 'a\\377')\""], _work);
        Assert.NotNull(await TreeComparison.DifferenceAsync(source, copy, CancellationToken.None));

        await ProcessRunner.RunAsync("sh", ["-c", "cd copy && rm a* && printf one > \"$(printf 'a\\376')\""], _work);
        Assert.NotNull(await TreeComparison.DifferenceAsync(source, copy, CancellationToken.None));
        // .NET cannot remove a file whose name it cannot express.
        await ProcessRunner.RunAsync("rm", ["-r", source, copy]);
    }

    [Fact]
    public async Task Sample_Files_AreTheSameOnEveryRunAndPartlyBooks()
    {
        await SampleFiles.WriteAsync(_work, 8, CancellationToken.None);

        Assert.Equal(8, Directory.EnumerateFileSystemEntries(_work).Count());
        Assert.Equal(
            ["book_0003", "book_0007"],
            Directory.EnumerateDirectories(_work).Select(Path.GetFileName).Order(StringComparer.Ordinal)
        );
    }
}
