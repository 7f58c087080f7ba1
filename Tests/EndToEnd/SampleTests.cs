using System.Diagnostics;
using System.Reflection;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.EndToEnd;

/// <summary>Runs samples/UploadDirectory as people do.</summary>
public class SampleTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task UploadDirectory_GoodAccount_EndsWhenTheArchiveHasIt()
    {
        await using var sites = await TwoSites.StartAsync(null, Stop);
        // Number 4 is a directory.
        var source = sites.MakeSource(4, 5000);

        var (code, output, errors) = await RunAsync("watching", sites.Mountain.Url, "observer", source, "2026/night-17", "archive");

        Assert.Equal((0, ""), (code, errors));
        Assert.StartsWith("2026/night-17 is stored and verified: 7500 bytes", output, StringComparison.Ordinal);
        Assert.EndsWith("archive has it.\n", output, StringComparison.Ordinal);
        await sites.VerifyEverywhereAsync(new Dictionary<string, string> { ["2026/night-17"] = source }, Stop);

        (code, _, errors) = await RunAsync("wrong", sites.Mountain.Url, "observer", source, "2026/night-18", "archive");
        Assert.Equal(1, code);
        Assert.NotEmpty(errors);
    }

    [Fact]
    public async Task UploadDirectory_WrongUsage_SaysHowItIsCalled()
    {
        var (code, output, errors) = await RunAsync("", "no address", "u", "d", "n", "p");

        Assert.Equal((2, ""), (code, output));
        Assert.StartsWith("Usage: ", errors, StringComparison.Ordinal);
    }

    private static async Task<(int Code, string Output, string Errors)> RunAsync(string password, params string[] arguments)
    {
        var program = typeof(SampleTests)
            .Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(data => data.Key == "UploadDirectory")
            .Value!;
        var start = new ProcessStartInfo("dotnet", [program, .. arguments])
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["LIBRARIAN_PASSWORD"] = password;
        using var process = Process.Start(start)!;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        limit.CancelAfter(Wait.Limit);
        try
        {
            var (output, errors) = (process.StandardOutput.ReadToEndAsync(limit.Token), process.StandardError.ReadToEndAsync(limit.Token));
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, await output, await errors);
        }
        finally
        {
            process.Kill();
        }
    }
}
