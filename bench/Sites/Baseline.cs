using System.Diagnostics;
using Librarian.Client.Uploads;
using Librarian.Tests.TestKit;

namespace Librarian.Bench.Sites;

/// <summary>The manual alternative: copy with cp, flush, hash both sides, compare.</summary>
internal static class Baseline
{
    public static async Task<TimeSpan> CopyAndVerifyAsync(string[] sources, string destination)
    {
        Directory.CreateDirectory(destination);
        var watch = Stopwatch.StartNew();
        foreach (var chunk in sources.Chunk(500))
            await ProcessRunner.RunAsync("cp", ["--", .. chunk, destination]);
        var copies = sources.Select(s => Path.Combine(destination, Path.GetFileName(s))).ToArray();
        foreach (var chunk in copies.Chunk(500))
            await ProcessRunner.RunAsync("sync", ["--", .. chunk]);
        foreach (var (source, copy) in sources.Zip(copies))
        {
            if (await ContentDigest.OfAsync(source) != await ContentDigest.OfAsync(copy))
                throw new InvalidOperationException($"{copy} differs");
        }

        return watch.Elapsed;
    }
}
