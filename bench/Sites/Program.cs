// Measures ingest and clone of real sites in their own processes, against `cp` followed by hashing both sides, in the same run on the same
// disk. Absolute numbers mean nothing on a shared machine; the ratio does.
// A site runs for months, so its code must be warm when small files are measured: as many other files are ingested and cloned before.
//   dotnet run -c Release --project bench/Sites [-- --postgres] [--files 2000] [--warm-up 2000] [--gib 1] [--staged 4000] [--http]
using System.Diagnostics;
using System.Security.Cryptography;
using Librarian.Bench.Sites;
using Librarian.Client.Uploads;
using Librarian.Tests.TestKit;

const double GetTarget = 0.9;

var missed = false;
var files = Option("--files", 2000);
var warmUp = Option("--warm-up", 2000);
var gibibytes = Option("--gib", 1);
var staged = Option("--staged", 4000);
var overHttp = args.Contains("--http");
var postgres = args.Contains("--postgres") ? new PostgresServer { Fsync = true } : null;
if (postgres is not null)
    await postgres.InitializeAsync();
var folder = Directory.CreateTempSubdirectory("librarian-bench-").FullName;
try
{
    await using var sites = await Pair.StartAsync(folder, postgres, overHttp);
    Console.WriteLine(
        $"database {(postgres is null ? "SQLite" : "PostgreSQL")}, {Environment.ProcessorCount} cores, "
            + $"{files} files of 4 KiB after {warmUp} others, one file of {gibibytes} GiB, "
            + (overHttp ? "over HTTP" : "on a shared file system")
    );

    using var client = Pair.Client(sites.Mountain);
    var upload = new Upload(client, TimeProvider.System);
    await sites.IntroduceAsync();
    await IngestAsync(await MakeAsync("warm", warmUp), "warm");
    await sites.WaitUntilClonedAsync(warmUp);

    var small = await MakeAsync("small", files);
    var smallBaseline = await Baseline.CopyAndVerifyAsync(small, Path.Combine(folder, "cp-small"));
    Report("cp + fsync + hash both sides, 4 KiB files", files / smallBaseline.TotalSeconds, "files/s", null);
    await sites.SendAsync(false);
    var watch = Stopwatch.StartNew();
    await IngestAsync(small, "small");
    Report("ingest, 4 KiB files, 8 clients", files / watch.Elapsed.TotalSeconds, "files/s", smallBaseline / watch.Elapsed);
    watch.Restart();
    await sites.SendAsync(true);
    await sites.WaitUntilClonedAsync(warmUp + files);
    Report(
        "clone to the second site until acknowledged, 4 KiB files",
        files / watch.Elapsed.TotalSeconds,
        "files/s",
        smallBaseline / watch.Elapsed
    );

    if (staged > 0)
    {
        await StagedMeasure.RunAsync(sites.Archive, folder, "staged-warm", Math.Min(staged, warmUp));
        var ingested = await StagedMeasure.RunAsync(sites.Archive, folder, "staged", staged);
        Report(
            "ingest of staged 4 KiB files, batches of 128",
            staged / ingested.TotalSeconds,
            "files/s",
            smallBaseline / files * staged / ingested
        );
    }

    async Task<string[]> MakeAsync(string name, int count)
    {
        var directory = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        for (var i = 0; i < count; i++)
            await File.WriteAllBytesAsync(Path.Combine(directory, $"f{i}"), RandomNumberGenerator.GetBytes(4096));
        return Directory.GetFiles(directory);
    }

    Task IngestAsync(string[] paths, string name) =>
        Parallel.ForEachAsync(paths.Index(), new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (file, stop) =>
        {
            var outcome = await upload.RunAsync(
                file.Item,
                $"{name}/{file.Index % 100}/{Path.GetFileName(file.Item)}",
                cancellationToken: stop
            );
            if (outcome.Receipt is null)
                throw new InvalidOperationException(outcome.Error!.ToString());
        });

    var big = Path.Combine(folder, "big");
    await using (var file = File.Create(big))
    {
        var block = RandomNumberGenerator.GetBytes(1 << 20);
        for (var i = 0; i < gibibytes * 1024; i++)
            await file.WriteAsync(block);
    }

    var bigBaseline = await Baseline.CopyAndVerifyAsync([big], Path.Combine(folder, "cp-big"));
    Report("cp + fsync + hash both sides, big file", gibibytes * 1.073741824 / bigBaseline.TotalSeconds, "GB/s", null);
    watch.Restart();
    var done = await upload.RunAsync(big, "big/one");
    if (done.Receipt is null)
        throw new InvalidOperationException(done.Error!.ToString());
    Report("ingest, big file", gibibytes * 1.073741824 / watch.Elapsed.TotalSeconds, "GB/s", bigBaseline / watch.Elapsed);
    watch.Restart();
    await sites.WaitUntilClonedAsync(warmUp + files + staged + Math.Min(staged, warmUp) + 1);
    Report(
        "clone, big file, until acknowledged",
        gibibytes * 1.073741824 / watch.Elapsed.TotalSeconds,
        "GB/s",
        bigBaseline / watch.Elapsed
    );

    var (get, curl) = await GetMeasure.RunAsync(sites.Archive, "big/one", folder);
    Report("curl + fsync + hash, big file", gibibytes * 1.073741824 / curl, "GB/s", null);
    Report($"get, big file (target {GetTarget:F1} of curl)", gibibytes * 1.073741824 / get, "GB/s", curl / get);
    missed = curl / get < GetTarget;
}
finally
{
    Directory.Delete(folder, recursive: true);
    if (postgres is not null)
        await postgres.DisposeAsync();
}

return missed ? 1 : 0;

static void Report(string what, double rate, string unit, double? ratio) =>
    Console.WriteLine($"{what, -62} {rate, 10:F2} {unit, -8} {(ratio is { } r ? $"ratio {r:F2}" : "")}");

int Option(string name, int otherwise) =>
    Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? int.Parse(args[at + 1]) : otherwise;
