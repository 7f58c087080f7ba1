using System.Diagnostics;
using Librarian.Client.Downloads;
using Librarian.Client.Uploads;
using Librarian.Tests.TestKit;

namespace Librarian.Bench.Sites;

/// <summary>Downloads a file with <c>librarian get</c>'s code and with curl, a flush and a hash, in turns.</summary>
internal static class GetMeasure
{
    /// <summary>The middle of three rounds.</summary>
    /// <returns>Seconds of both.</returns>
    public static async Task<(double Get, double Curl)> RunAsync(SiteProcess site, string name, string folder)
    {
        List<(double Get, double Curl)> rounds = [];
        for (var i = 0; i < 3; i++)
            rounds.Add(
                (await GetAsync(site, name, Path.Combine(folder, "got")), await CurlAsync(site, name, Path.Combine(folder, "curled")))
            );
        return rounds.OrderBy(r => r.Get / r.Curl).ElementAt(1);
    }

    private static async Task<double> GetAsync(SiteProcess site, string name, string destination)
    {
        using var client = Pair.Client(site);
        var watch = Stopwatch.StartNew();
        var outcome = await new Download(client, TimeProvider.System).RunAsync(name, destination);
        var seconds = watch.Elapsed.TotalSeconds;
        if (outcome.Error is { } error)
            throw new InvalidOperationException(error.ToString());
        File.Delete(destination);
        return seconds;
    }

    private static async Task<double> CurlAsync(SiteProcess site, string name, string destination)
    {
        var watch = Stopwatch.StartNew();
        await ProcessRunner.RunAsync(
            "curl",
            [
                "--silent",
                "--fail",
                "--user",
                $"{SiteProcess.AdminUser}:{SiteProcess.AdminPassword}",
                "--output",
                destination,
                $"http://127.0.0.1:{site.Port}/data/v1/files/{name}",
            ]
        );
        await ProcessRunner.RunAsync("sync", ["--", destination]);
        await ContentDigest.OfAsync(destination);
        var seconds = watch.Elapsed.TotalSeconds;
        File.Delete(destination);
        return seconds;
    }
}
