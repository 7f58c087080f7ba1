using System.Diagnostics;
using System.Globalization;
using Librarian.Domain.Drives;
using Librarian.Tests.Domain.Stores;

namespace Librarian.Tests.Domain.Drives;

/// <summary>Alone, because the memory of the process is what it measures.</summary>
[CollectionDefinition(nameof(ManifestScaleTests), DisableParallelization = true)]
[Collection(nameof(ManifestScaleTests))]
public class ManifestScaleTests(ITestOutputHelper output)
{
    private const int Files = 1_000_000;
    private const long Limit = 100_000_000;

    /// <summary>
    /// Writing, checking, walking through and making the pages of a million files, each below 100 MB above the memory before it.
    /// </summary>
    [Fact]
    public async Task Manifest_MillionFiles_NeedsBoundedMemory()
    {
        using var root = new TemporaryDirectory();
        var path = root["MANIFEST.jsonl"];
        await MeasureAsync("written", path, memory => WriteAsync(path, memory));
        await MeasureAsync("checked", path, async memory =>
        {
            await using var stream = new SampledStream(path, memory);
            var check = await ManifestReader.CheckAsync(stream, default);
            Assert.Equal(new ManifestTotals(Files, Files, Files * 1000L), check.Seal?.Totals);
            memory.Sample();
        });
        await MeasureAsync("pages written", path, async memory =>
        {
            // Written in the background, so sampled from here.
            var pages = Task.Run(() => DrivePages.WriteAsync(path, root, default));
            while (await Task.WhenAny(pages, Task.Delay(20)) != pages)
                memory.Sample();
            await pages;
        });
        var upstream = root[UpstreamManifest.FileName];
        await MeasureAsync("upstream manifest checked", upstream, async memory =>
        {
            await using var stream = new SampledStream(upstream, memory);
            Assert.Equal(Files, (await UpstreamManifest.CheckAsync(stream, default)).Header?.Files);
            memory.Sample();
        });
    }

    private static async Task WriteAsync(string path, PeakMemory memory)
    {
        var template = Samples.File("x", new string('x', 1000));
        await using var stream = File.Create(path);
        using var writer = new ManifestWriter(stream);
        await writer.WriteHeaderAsync(Samples.Header with { Files = Files, Members = Files, Bytes = Files * 1000L }, default);
        for (var i = 0; i < Files; i++)
        {
            if (i % 10_000 == 0)
                memory.Sample();
            var name = string.Create(CultureInfo.InvariantCulture, $"observations/2026/11/24/obs_{i:D9}/band_{i % 7}.g3");
            await writer.WriteFileAsync(template with { Name = name, OutgoingTransferId = i }, default);
        }

        await writer.EndAsync(Samples.Key, default);
    }

    private async Task MeasureAsync(string what, string path, Func<PeakMemory, Task> step)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        var memory = new PeakMemory();
        var watch = Stopwatch.StartNew();
        await step(memory);
        output.WriteLine(
            $"{Files:N0} entries {what}: {watch.Elapsed.TotalSeconds:F1} s, {new FileInfo(path).Length / 1e6:F0} MB of file, {memory}"
        );
        Assert.InRange(memory.Heap, long.MinValue, Limit);
        Assert.InRange(memory.WorkingSet, long.MinValue, Limit);
    }

    /// <summary>The most that was in use above the start.</summary>
    private sealed class PeakMemory
    {
        private readonly long _heap = GC.GetTotalMemory(false);
        private readonly long _workingSet = Environment.WorkingSet;

        public long Heap { get; private set; }

        public long WorkingSet { get; private set; }

        public void Sample()
        {
            // A processor with a large cache lets more than the limit become garbage before the runtime collects; only what is kept counts.
            if (GC.GetTotalMemory(false) - _heap > Limit / 4)
                GC.Collect();
            Heap = Math.Max(Heap, GC.GetTotalMemory(false) - _heap);
            WorkingSet = Math.Max(WorkingSet, Environment.WorkingSet - _workingSet);
        }

        public override string ToString() =>
            string.Create(CultureInfo.InvariantCulture, $"heap +{Heap / 1e6:F0} MB, working set +{WorkingSet / 1e6:F0} MB");
    }

    private sealed class SampledStream(string path, PeakMemory memory) : FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 0)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            memory.Sample();
            return base.ReadAsync(buffer, cancellationToken);
        }
    }
}
