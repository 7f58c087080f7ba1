// Measures how real sites fill and ingest drives, against `cp -r`, `sync` and `sha256sum` of both sides, in the same run on the same disk.
// The drives are directories of that disk, so they are as fast as the stores. Absolute numbers mean nothing on a shared machine; the ratio
// does.
// With --manifest, the entries are only rows of the catalog: freezing a drive and writing the manifest and its pages never read the data. A
// fifth of the entries are members of two directories. The physical limit is copying the finished manifest, with sync.
//   dotnet run -c Release --project bench/Drives [-- --postgres] [--files 10000] [--gib 2] [--manifest 1000000]
using System.Diagnostics;
using System.Security.Cryptography;
using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;

var files = Option("--files", 10_000);
var gibibytes = Option("--gib", 2);
var entries = Option("--manifest", 0);
var postgres = args.Contains("--postgres") ? new PostgresServer { Fsync = true } : null;
if (postgres is not null)
    await postgres.InitializeAsync();
var folder = Directory.CreateTempSubdirectory("librarian-bench-drives-").FullName;
try
{
    var database = postgres is null ? null : await postgres.CreateDatabaseAsync();
    await using var mountain = new SiteProcess("mountain", folder, database);
    await using var archive = new SiteProcess("archive", folder, postgres is null ? null : await postgres.CreateDatabaseAsync());
    foreach (var site in new[] { mountain, archive })
    {
        site.Set("Logging__LogLevel__Default", "Warning");
        site.Set("Site__Drives__PollInterval", "00:00:01");
        await site.StartAsync(CancellationToken.None);
    }

    using var source = Client(mountain);
    using var destination = Client(archive);
    Done(await source.CreateUserAsync(new UserCreateRequest("archive", "apw", AuthLevel.Callback)));
    Done(await destination.CreateUserAsync(new UserCreateRequest("mountain", "mpw", AuthLevel.ReadAppend)));
    Done(
        await source.AddLibrarianAsync(
            new LibrarianAddRequest("archive", "http://127.0.0.1", archive.Port, "mountain:mpw", CheckConnection: false)
        )
    );
    Done(
        await destination.AddLibrarianAsync(
            new LibrarianAddRequest("mountain", "http://127.0.0.1", mountain.Port, "archive:apw", CheckConnection: false)
        )
    );
    if (entries > 0)
    {
        await MeasureManifestAsync();
        return 0;
    }

    Console.WriteLine(
        $"database {(postgres is null ? "SQLite" : "PostgreSQL")}, {Environment.ProcessorCount} cores, "
            + $"{files} files of 4 KiB, {gibibytes} files of 1 GiB"
    );

    var upload = new Upload(source, TimeProvider.System);
    var here = Path.Combine(folder, "source");
    Directory.CreateDirectory(here);
    // A site runs for months, so the cost of just-in-time compilation for the first drive after a start is shown but not compared.
    await CatalogueAsync("first", 4000);
    await MeasureAsync("first", "4 KiB files, first drive after a start", 4000, 4000, "files/s", compared: false);
    await CatalogueAsync("small", files);
    await MeasureAsync("small", "4 KiB files", files, files, "files/s");

    for (var i = 0; i < gibibytes; i++)
    {
        var path = Path.Combine(here, $"g{i}");
        await using (var file = File.Create(path))
        {
            var block = RandomNumberGenerator.GetBytes(1 << 20);
            for (var m = 0; m < 1024; m++)
            {
                BitConverter.TryWriteBytes(block, m + (i * 1024));
                await file.WriteAsync(block);
            }
        }

        Received(await upload.RunAsync(path, $"big/g{i}"));
        File.Delete(path);
    }

    if (gibibytes > 0)
        await MeasureAsync("big", "1 GiB files", gibibytes, gibibytes * 1.073741824, "GB/s");

    // Catalogues files in place, as an administrator does with existing data: uploads would take minutes.
    Task CatalogueAsync(string directory, int count) =>
        Parallel.ForEachAsync(Enumerable.Range(0, count), new ParallelOptions { MaxDegreeOfParallelism = 4 }, async (i, stop) =>
        {
            var (name, bytes) = ($"{directory}/{i % 100}/f{i}", RandomNumberGenerator.GetBytes(4096));
            var path = Path.Combine(mountain.StorePath, name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            await File.WriteAllBytesAsync(path, bytes, stop);
            Done(
                await source.AddFileAsync(
                    new AddFileRequest(
                        name,
                        DateTime.UtcNow,
                        bytes.Length,
                        $"xxh3:::{Convert.ToHexStringLower(System.IO.Hashing.XxHash128.Hash(bytes))}",
                        "bench",
                        "mountain",
                        path,
                        "main"
                    ),
                    stop
                )
            );
        });

    async Task MeasureManifestAsync()
    {
        const string Name = "many";
        var mount = Directory.CreateDirectory(Path.Combine(folder, "drive-many")).FullName;
        Done(await source.InitialiseDriveAsync(new DriveInitialiseRequest(Name, mount, "archive", AllowDirectory: true)));
        await mountain.KillAsync();
        using (var catalog = new CatalogDatabase(database ?? $"Data Source={Path.Combine(mountain.Root, "data", "catalog.db")}"))
        {
            await using var db = catalog.Open();
            var (drive, store, now) = (db.Drives.Single(), db.Stores.Single(s => s.Name == "main"), DateTime.UtcNow);
            var (members, files) = (entries / 10, entries - (entries / 5));
            long SizeOf(int index) => index < 2 ? 4096L * members : 4096;
            for (var at = 0; at < files; at += 20_000)
            {
                await using var transaction = await db.Database.BeginTransactionAsync();
                var names = Enumerable
                    .Range(at, Math.Min(20_000, files - at))
                    .Select(i => (Index: i, Name: $"telescope/2026/night-{i / 1000:D4}/exposure-{i:D7}.fits"))
                    .ToList();
                await db.InsertRowsAsync(
                    names.ConvertAll(n => new FileRecord
                    {
                        Name = n.Name,
                        CreateTime = now,
                        Size = SizeOf(n.Index),
                        Checksum = $"xxh3:::{n.Index:x32}",
                        Uploader = "bench",
                        Source = "mountain",
                    }),
                    CancellationToken.None
                );
                await db.InsertRowsAsync(
                    names.ConvertAll(n => new FileCopy
                    {
                        FileName = n.Name,
                        Path = n.Name,
                        StoreId = store.Id,
                        CreatedTime = now,
                        Available = true,
                        DeletionPolicy = DeletionPolicy.Disallowed,
                    }),
                    CancellationToken.None
                );
                await db.InsertRowsAsync(
                    names.ConvertAll(n => new FileCopy
                    {
                        FileName = n.Name,
                        Path = n.Name,
                        StoreId = drive.StoreId,
                        CreatedTime = now,
                        Available = true,
                        DeletionPolicy = DeletionPolicy.Disallowed,
                    }),
                    CancellationToken.None
                );
                await db.InsertRowsAsync(
                    names.ConvertAll(n => new DriveContent
                    {
                        DriveRow = drive.Id,
                        FileName = n.Name,
                        Destination = "archive",
                        State = DriveContentState.Stored,
                        AdditionId = Guid.NewGuid(),
                        Size = SizeOf(n.Index),
                        Sha256 = n.Index < 2 ? null : $"{n.Index:x64}",
                        Members = n.Index < 2 ? members : 1,
                    }),
                    CancellationToken.None
                );
                await transaction.CommitAsync();
            }

            foreach (var directory in db.DriveContents.OrderBy(c => c.Id).Take(2).ToList())
            {
                for (var at = 0; at < members; at += 20_000)
                    await db.InsertRowsAsync(
                        Enumerable
                            .Range(at, Math.Min(20_000, members - at))
                            .Select(i => new DriveMember
                            {
                                ContentId = directory.Id,
                                Path = $"band-{i / 1000:D4}/{i:D7}.dat",
                                Size = 4096,
                                Sha256 = $"{i:x64}",
                            })
                            .ToList(),
                        CancellationToken.None
                    );
            }
        }

        await mountain.StartAsync(CancellationToken.None);
        await UntilAsync(source, list => list.Drives.Single().Files > 0);
        await Task.Delay(TimeSpan.FromSeconds(10));
        mountain.ResetPeakMemory();
        var (idle, _) = mountain.Memory;
        var watch = Stopwatch.StartNew();
        Done(await source.FreezeDriveAsync(new DriveRequest(Name)));
        var frozen = watch.Elapsed;
        await UntilAsync(source, list => list.Drives.Single().ManifestOnDrive, 1000);
        var written = watch.Elapsed;
        var manifest = Directory.GetFiles(mount).Select(f => new FileInfo(f)).MaxBy(f => f.Length)!;
        watch.Restart();
        await ProcessRunner.RunAsync("cp", [manifest.FullName, manifest.FullName + ".copy"]);
        await ProcessRunner.RunAsync("sync", ["-f", manifest.FullName + ".copy"]);
        var copied = watch.Elapsed;
        Console.WriteLine(
            $"database {(postgres is null ? "SQLite" : "PostgreSQL")}, {entries} entries: frozen after {frozen.TotalSeconds:F1} s, "
                + $"manifest and pages on the drive after {written.TotalSeconds:F1} s ({entries / written.TotalSeconds:F0}/s)"
        );
        Console.WriteLine($"largest file {manifest.Name} {manifest.Length / 1e6:F0} MB; cp and sync of it {copied.TotalSeconds:F1} s");
        Console.WriteLine(
            $"memory of the site: idle {idle / 1e6:F0} MB, peak {mountain.Memory.Peak / 1e6:F0} MB, "
                + $"{(mountain.Memory.Peak - idle) / 1e6:F0} MB above idle"
        );
    }

    async Task MeasureAsync(string name, string what, int count, double amount, string unit, bool compared = true)
    {
        var tree = Path.Combine(mountain.StorePath, name);
        var byHand = Path.Combine(folder, "cp-" + name);
        Directory.CreateDirectory(byHand);
        const string Sums = "find . -type f -print0 | sort -z | xargs -0 sha256sum";
        await ProcessRunner.RunAsync("sync", []);
        var watch = Stopwatch.StartNew();
        await ProcessRunner.RunAsync("cp", ["-r", tree, byHand]);
        await ProcessRunner.RunAsync("sync", ["-f", byHand]);
        await ProcessRunner.RunAsync(
            "sh",
            [
                "-c",
                $"cd '{tree}' && {Sums} > '{byHand}.a' && cd '{byHand}/{name}' && {Sums} > '{byHand}.b' && cmp '{byHand}.a' '{byHand}.b'",
            ]
        );
        var baseline = watch.Elapsed;
        Report($"cp -r + sync + sha256sum of both sides, {what}", amount / baseline.TotalSeconds, unit, null);
        Directory.Delete(byHand, recursive: true);

        var mount = Directory.CreateDirectory(Path.Combine(folder, "drive-" + name)).FullName;
        watch.Restart();
        Done(await source.InitialiseDriveAsync(new DriveInitialiseRequest(name, mount, "archive", AllowDirectory: true)));
        await UntilAsync(source, list => list.Drives.Single(d => d.Name == name).Files == count);
        Report($"fill, {what}", amount / watch.Elapsed.TotalSeconds, unit, compared ? baseline / watch.Elapsed : null);

        watch.Restart();
        Done(await source.FreezeDriveAsync(new DriveRequest(name)));
        await UntilAsync(source, list => list.Drives.Single(d => d.Name == name).ManifestOnDrive);
        Report($"manifest and pages, {what}", amount / watch.Elapsed.TotalSeconds, unit, null);

        watch.Restart();
        Done(await destination.IngestDriveAsync(new DriveIngestRequest(mount)));
        await UntilAsync(destination, list => list.Arrivals.Any(a => a.Name == name && a.State == "ingested" && a.Failed == 0));
        Report($"ingest, {what}", amount / watch.Elapsed.TotalSeconds, unit, compared ? baseline / watch.Elapsed : null);
        await UntilAsync(source, list => list.Drives.Single(d => d.Name == name).State == "reusable");
        Report(
            $"ingest until the source knows, {what}",
            amount / watch.Elapsed.TotalSeconds,
            unit,
            compared ? baseline / watch.Elapsed : null
        );
        Directory.Delete(mount, recursive: true);
    }
}
finally
{
    Directory.Delete(folder, recursive: true);
    if (postgres is not null)
        await postgres.DisposeAsync();
}

return 0;

static LibrarianClient Client(SiteProcess site) =>
    SiteConnection.TryCreate(
        "http://127.0.0.1",
        site.Port,
        SiteProcess.AdminUser,
        SiteProcess.AdminPassword,
        out var connection,
        out var error
    )
        ? new LibrarianClient(connection)
        : throw new InvalidOperationException(error);

static async Task UntilAsync(LibrarianClient client, Func<DriveListResponse, bool> isSo, int everyMilliseconds = 100)
{
    while (true)
    {
        var list = await client.ListDrivesAsync(new DriveListRequest());
        if (!list.IsSuccess)
            throw new InvalidOperationException(list.ToString());
        if (isSo(list.Value))
            return;
        if (list.Value.Drives.FirstOrDefault(d => d.Problem is not null) is { } stuck)
            throw new InvalidOperationException(stuck.Problem);
        await Task.Delay(everyMilliseconds);
    }
}

static void Done<T>(Reply<T> reply)
{
    if (!reply.IsSuccess)
        throw new InvalidOperationException(reply.ToString());
}

static void Received(UploadOutcome outcome)
{
    if (outcome.Receipt is null)
        throw new InvalidOperationException(outcome.Error!.ToString());
}

static void Report(string what, double rate, string unit, double? ratio) =>
    Console.WriteLine($"{what, -62} {rate, 10:F2} {unit, -8} {(ratio is { } r ? $"ratio {r:F2}" : "")}");

int Option(string name, int otherwise) =>
    Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? int.Parse(args[at + 1]) : otherwise;
