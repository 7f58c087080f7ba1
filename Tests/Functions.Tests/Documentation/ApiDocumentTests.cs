using Librarian.Functions.Api;
using Librarian.Functions.Documentation;
using Librarian.Functions.Hosting;

namespace Librarian.Tests.Functions.Documentation;

/// <summary>The committed description is the one the functions give.</summary>
public sealed class ApiDocumentTests : IDisposable
{
    private static readonly FunctionCatalog Catalog = FunctionCatalog.Discover(typeof(PingFunctions).Assembly);

    private readonly string _directory = Directory.CreateTempSubdirectory("api-document-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task GenerateAsync_CommittedFile_IsWhatTheFunctionsSay()
    {
        var generated = await ApiDocument.GenerateAsync(Catalog, default);

        var committed = await File.ReadAllTextAsync(ApiDescription.File);
        var (now, then) = (generated.Split('\n'), committed.Split('\n'));
        var at = now.Zip(then).TakeWhile(p => p.First == p.Second).Count();
        Assert.True(
            generated == committed,
            $"""
            docs/openapi.json is not what the functions say any more, from line {at + 1} on:
              committed: {then.ElementAtOrDefault(at)?.Trim()}
              generated: {now.ElementAtOrDefault(at)?.Trim()}
            Write it anew, look at the difference and commit it:
              dotnet run --project Functions -- openapi --output docs/openapi.json
            """
        );
    }

    [Fact]
    public async Task Open_BuiltInDescription_IsTheCommittedOne()
    {
        using var reader = new StreamReader(ApiDocument.Open());

        Assert.Equal(await File.ReadAllTextAsync(ApiDescription.File), await reader.ReadToEndAsync());
    }

    [Fact]
    public async Task GenerateAsync_Twice_IsTheSameText() =>
        Assert.Equal(await ApiDocument.GenerateAsync(Catalog, default), await ApiDocument.GenerateAsync(Catalog, default));

    [Fact]
    public async Task TryRunVerbAsync_Output_IsWritten()
    {
        var file = Path.Combine(_directory, "openapi.json");

        Assert.Equal(0, await ApiDocument.TryRunVerbAsync(["openapi", "--output", file], typeof(PingFunctions).Assembly));

        Assert.Equal(await ApiDocument.GenerateAsync(Catalog, default), await File.ReadAllTextAsync(file));
    }

    [Fact]
    public async Task TryRunVerbAsync_OutputThatCannotBeWritten_IsAnErrorAndNoStackTrace() =>
        Assert.Equal(
            1,
            await ApiDocument.TryRunVerbAsync(
                ["openapi", "--output", Path.Combine(_directory, "none", "openapi.json")],
                typeof(PingFunctions).Assembly
            )
        );

    [Theory]
    [InlineData("openapi")]
    [InlineData("openapi", "--output")]
    [InlineData("openapi", "file")]
    public async Task TryRunVerbAsync_OtherArguments_AreExplained(params string[] arguments) =>
        Assert.Equal(2, await ApiDocument.TryRunVerbAsync(arguments, typeof(PingFunctions).Assembly));

    [Fact]
    public async Task TryRunVerbAsync_OtherVerb_IsLeftAlone() =>
        Assert.Null(await ApiDocument.TryRunVerbAsync(["migrate"], typeof(PingFunctions).Assembly));
}
