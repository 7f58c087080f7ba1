using System.Data.Common;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Npgsql;

namespace Librarian.Bench.Http;

internal sealed record BenchOptions(bool Quick, int Files, IReadOnlyCollection<string> Only)
{
    /// <summary>Number of files in the catalog with which the large one is compared.</summary>
    public int FewFiles => Math.Max(1000, Files / 10);

    public int Pick(int full, int quick) => Quick ? quick : full;

    public bool Wants(string scenario) => Only.Count == 0 || Only.Contains(scenario);
}

/// <summary>
/// All scenarios on one kind of database. The compared sites are measured alternately, in rounds so short that other load of the machine
/// affects both alike.
/// </summary>
internal sealed class Scenarios(FilledSite few, FilledSite many, BenchOptions options, Scoreboard board) : IDisposable
{
    private const int Rounds = 10;
    private readonly Load _few = few.OpenLoad(FilledSite.Reader);
    private readonly Load _many = many.OpenLoad(FilledSite.Reader);
    private readonly Load _peer = many.OpenLoad(SeedFile.PeerName);
    private readonly Random _random = new(1);
    private long _sent;

    public void Dispose()
    {
        _few.Dispose();
        _many.Dispose();
        _peer.Dispose();
    }

    public async Task RunAsync()
    {
        foreach (
            var (name, scenario) in new (string, Func<Task>)[]
            {
                ("name", SearchByNameAsync),
                ("search", SearchManyAsync),
                ("ping", PingAsync),
                ("batch", BatchStageAsync),
                ("validate", ValidateAsync),
                ("stage", UploadStageAsync),
            }
        )
        {
            if (options.Wants(name))
                await scenario();
        }
    }

    private static string Thousands(int files) => files.ToString("N0", CultureInfo.InvariantCulture);

    private static byte[] Json(FileSearchRequest request) => JsonSerializer.SerializeToUtf8Bytes(request, WireJson.Wire.FileSearchRequest);

    private static double Median(IEnumerable<double> values) =>
        values.Order().ToList() is { Count: > 0 } sorted ? sorted[sorted.Count / 2] : double.NaN;

    private async Task SearchByNameAsync()
    {
        var (atFew, atMany) = await InTurnsAsync(options.Pick(500, 50), (site, _) =>
            (Json(new FileSearchRequest(site.File(_random.Next(site.Files)).Name)), 200)
        );
        board.Add($"search/file by name, {Thousands(few.Files)} files: p50", atFew.P50, "ms");
        board.Add("… p99", atFew.P99, "ms");
        board.Add($"search/file by name, {Thousands(many.Files)} files: p50", atMany.P50, "ms");
        board.Add("… p99", atMany.P99, "ms", atMost: 10);
        board.Add($"… p50 to that at {Thousands(few.Files)}", atMany.P50 / atFew.P50, "times", atMost: 1.5);
        board.Add($"… p99 to that at {Thousands(few.Files)}", atMany.P99 / atFew.P99, "times", atMost: 1.5);
    }

    /// <summary>All kinds of search for more than one file. If an index is missing, the time grows with the catalog.</summary>
    private async Task SearchManyAsync()
    {
        var kinds = new (string What, Func<FilledSite, FileSearchRequest> Ask, int Expected)[]
        {
            ("newest", _ => new(), 200),
            ("uploader", _ => new(Uploader: "correlator"), 200),
            ("uploader of old files only", _ => new(Uploader: SeedFile.Departed), 200),
            ("source", _ => new(Source: "pipeline"), 200),
            ("source of old files only", _ => new(Source: SeedFile.Departed), 200),
            ("uploader and source", _ => new(Uploader: "mountain", Source: "mountain"), 200),
            ("uploader and source that never met", _ => new(Uploader: "mountain", Source: "correlator"), 404),
            ("one hour and a half", site => new(CreateTimeWindow: Window(site, TimeSpan.FromHours(1.5))), 200),
            ("uploader and one day", site => new(Uploader: "analysis", CreateTimeWindow: Window(site, TimeSpan.FromDays(1))), 200),
            ("source and one day", site => new(Source: "mountain", CreateTimeWindow: Window(site, TimeSpan.FromDays(1))), 200),
        };
        var (atFew, atMany) = (kinds.Select(_ => new Samples()).ToArray(), kinds.Select(_ => new Samples()).ToArray());
        var (allFew, allMany) = await InTurnsAsync(
            options.Pick(1000, 100),
            (site, n) => (Json(kinds[n % kinds.Length].Ask(site)), kinds[n % kinds.Length].Expected),
            (site, n, time) => (site == few ? atFew : atMany)[n % kinds.Length].Add(time)
        );
        board.Add($"search/file, 64 hits, all ways below in turn, {Thousands(few.Files)} files: p50", allFew.P50, "ms");
        board.Add("… p99", allFew.P99, "ms");
        board.Add($"search/file, 64 hits, all ways below in turn, {Thousands(many.Files)} files: p50", allMany.P50, "ms");
        board.Add("… p99", allMany.P99, "ms");
        for (var i = 0; i < kinds.Length; i++)
        {
            board.Add($"… {kinds[i].What}: p50", atMany[i].P50, "ms");
            board.Add($"… {kinds[i].What}: p99", atMany[i].P99, "ms");
            board.Add($"… {kinds[i].What}: p50 to that at {Thousands(few.Files)}", atMany[i].P50 / atFew[i].P50, "times", atMost: 1.5);
        }
    }

    private TimeWindow Window(FilledSite site, TimeSpan length)
    {
        var start = site.File(_random.Next(site.Files * 9 / 10)).Time;
        return new TimeWindow(start, start + length);
    }

    /// <summary>The cost of authentication: the same answer with and without checking the credentials.</summary>
    private async Task PingAsync()
    {
        const int Clients = 8;
        var requests = options.Pick(2000, 200);
        var (open, logged, openCpu, loggedCpu) = (new List<double>(), new List<double>(), new List<double>(), new List<double>());
        await RateAsync("ping/", [], []);
        await RateAsync("ping/logged", [], []);
        for (var round = 0; round < Rounds; round++)
        {
            await RateAsync("ping/", open, openCpu);
            await RateAsync("ping/logged", logged, loggedCpu);
        }

        board.Add($"ping/, {Clients} clients, connections kept", Median(open), "requests/s");
        board.Add("… processor time of the site per request", Median(openCpu), "µs");
        board.Add($"ping/logged, {Clients} clients, connections kept", Median(logged), "requests/s");
        board.Add("… processor time of the site per request", Median(loggedCpu), "µs");
        board.Add("… ping/logged to ping/, requests/s", Median(logged.Zip(open, (l, o) => l / o)), "", atLeast: 0.5);

        async Task RateAsync(string path, List<double> rates, List<double> cpu)
        {
            var before = many.ProcessorTime;
            var took = await _many.RunAsync(path, "{}"u8.ToArray(), requests, Clients);
            cpu.Add((many.ProcessorTime - before).TotalMicroseconds / requests);
            rates.Add(requests / took.TotalSeconds);
        }
    }

    private async Task BatchStageAsync()
    {
        const int Small = 16;
        const int Large = 1024;
        var (bare, small, large) = (new List<double>(), new List<double>(), new List<double>());
        await using var connection = await many.ConnectAsync();
        await using var insert = await BareBatch.CreateAsync(connection);
        for (var round = -1; round < Rounds; round++)
        {
            var times = (Bare: await insert.RunAsync(Large), Small: 0.0, Large: 0.0);
            for (var i = 0; i < 4; i++)
                times.Small += await BatchAsync(Small) / 4;
            times.Large = await BatchAsync(Large);
            if (round < 0)
                continue;
            bare.Add(times.Bare);
            small.Add(times.Small);
            large.Add(times.Large);
        }

        board.Add($"bare insert of {Large} rows, one transaction", Median(bare), "ms");
        board.Add($"clone/batch_stage of {Small} files", Median(small), "ms");
        board.Add($"clone/batch_stage of {Large} files", Median(large), "ms");
        board.Add($"… per file to a batch of {Small}", Median(large.Zip(small, (l, s) => l / Large / (s / Small))), "times", atMost: 1.2);
        board.Add("… to the bare insert", Median(large.Zip(bare, (l, b) => l / b)), "times");

        Task<double> BatchAsync(int files)
        {
            var items = Enumerable.Range(0, files).Select(_ => Item(Interlocked.Increment(ref _sent))).ToList();
            return _peer.PostAsync(
                Routes.CloneBatchStage,
                JsonSerializer.SerializeToUtf8Bytes(
                    new CloneBatchStageRequest(items, SeedFile.PeerName, items.Sum(i => i.UploadSize)),
                    WireJson.Wire.CloneBatchStageRequest
                ),
                201
            );
        }

        static CloneBatchItem Item(long number)
        {
            var name = $"batch/{number / 1000}/zen.{number}.sum.uvh5";
            return new CloneBatchItem(1, $"xxh3:::{number:x32}", name, name, SeedFile.PeerName, number);
        }
    }

    private async Task ValidateAsync()
    {
        var names = new List<string>();
        using var client = many.OpenClient(SeedFile.PeerName);
        var upload = new Upload(client, TimeProvider.System);
        var file = Path.GetTempFileName();
        for (var i = 0; i < options.Pick(200, 20); i++)
        {
            await File.WriteAllBytesAsync(file, BitConverter.GetBytes(i));
            var outcome = await upload.RunAsync(file, $"real/{i}");
            if (outcome.Receipt is null)
                throw new InvalidOperationException(outcome.Error!.ToString());
            names.Add($"real/{i}");
        }

        File.Delete(file);
        var (read, known) = (new Samples(), new Samples());
        foreach (var name in names)
            read.Add(await _many.PostAsync(Routes.ValidateFile, Json(name)));
        for (var i = 0; i < options.Pick(5000, 500); i++)
            known.Add(await _many.PostAsync(Routes.ValidateFile, Json(names[i % names.Count])));
        board.Add($"validate/file, one local copy of 4 bytes that must be read ({names.Count} files): p50", read.P50, "ms");
        board.Add("validate/file, read within the last day: p50", known.P50, "ms");
        board.Add("… p99", known.P99, "ms");

        static byte[] Json(string name) =>
            JsonSerializer.SerializeToUtf8Bytes(new ValidateFileRequest(name), WireJson.Wire.ValidateFileRequest);
    }

    private async Task UploadStageAsync()
    {
        var times = new Samples();
        for (var i = -options.Pick(200, 20); i < options.Pick(5000, 500); i++)
        {
            var name = $"staged/{Interlocked.Increment(ref _sent)}";
            var time = await _peer.PostAsync(
                Routes.UploadStage,
                JsonSerializer.SerializeToUtf8Bytes(
                    new UploadStageRequest(1, $"xxh3:::{_sent:x32}", "f", name, SeedFile.PeerName),
                    WireJson.Wire.UploadStageRequest
                ),
                201
            );
            if (i >= 0)
                times.Add(time);
        }

        board.Add($"upload/stage, one after the other: p50", times.P50, "ms");
        board.Add("… p99", times.P99, "ms");
    }

    /// <summary>Sends the same requests to both sites alternately, after a warm-up.</summary>
    private async Task<(Samples Few, Samples Many)> InTurnsAsync(
        int perRound,
        Func<FilledSite, int, (byte[] Body, int Expected)> ask,
        Action<FilledSite, int, double>? note = null
    )
    {
        var (atFew, atMany) = (new Samples(), new Samples());
        for (var round = -1; round < Rounds; round++)
        {
            foreach (var (site, load, samples) in new[] { (few, _few, atFew), (many, _many, atMany) })
            {
                for (var i = 0; i < perRound; i++)
                {
                    var (body, expected) = ask(site, i);
                    var time = await load.PostAsync(Routes.SearchFile, body, expected);
                    if (round < 0)
                        continue;
                    samples.Add(time);
                    note?.Invoke(site, i, time);
                }
            }
        }

        return (atFew, atMany);
    }
}

/// <summary>
/// The reference for a batch: the same number of rows with the same width, inserted into a table with a primary key, prepared, in one
/// transaction.
/// </summary>
internal sealed class BareBatch : IAsyncDisposable
{
    private static readonly string[] Columns =
    [
        "status",
        "uploader",
        "upload_name",
        "source",
        "transfer_size",
        "transfer_checksum",
        "store_id",
        "start_time",
        "staging_path",
        "store_path",
        "source_transfer_id",
    ];
    private readonly DbConnection _connection;
    private long _id;

    private BareBatch(DbConnection connection) => _connection = connection;

    public static async Task<BareBatch> CreateAsync(DbConnection connection)
    {
        var columns = Columns.Select(c => c + (c is "transfer_size" or "store_id" or "source_transfer_id" ? " bigint" : " text"));
        await FilledSite.ExecuteAsync(connection, $"create table bare (id bigint primary key, {string.Join(", ", columns)})");
        return new BareBatch(connection);
    }

    /// <summary>Inserts the rows and returns the milliseconds.</summary>
    public async Task<double> RunAsync(int rows)
    {
        var values = Enumerable.Range(0, rows).Select(_ => Values(++_id)).ToList();
        var watch = Stopwatch.StartNew();
        await using var transaction = await _connection.BeginTransactionAsync();
        if (_connection is NpgsqlConnection)
        {
            await using var batch = _connection.CreateBatch();
            batch.Transaction = transaction;
            foreach (var row in values)
            {
                var command = batch.CreateBatchCommand();
                command.CommandText =
                    $"insert into bare values ({string.Join(", ", Enumerable.Range(1, Columns.Length + 1).Select(i => "$" + i))})";
                foreach (var value in row)
                    command.Parameters.Add(new NpgsqlParameter { Value = value });
                batch.BatchCommands.Add(command);
            }

            await batch.PrepareAsync();
            await batch.ExecuteNonQueryAsync();
        }
        else
        {
            await using var insert = _connection.CreateCommand();
            insert.Transaction = transaction;
            insert.CommandText =
                $"insert into bare values ({string.Join(", ", Enumerable.Range(0, Columns.Length + 1).Select(i => "@p" + i))})";
            for (var i = 0; i <= Columns.Length; i++)
            {
                var parameter = insert.CreateParameter();
                parameter.ParameterName = "@p" + i;
                insert.Parameters.Add(parameter);
            }

            foreach (var row in values)
            {
                for (var i = 0; i < row.Length; i++)
                    insert.Parameters[i].Value = row[i];
                await insert.ExecuteNonQueryAsync();
            }
        }

        await transaction.CommitAsync();
        return watch.Elapsed.TotalMilliseconds;
    }

    public async ValueTask DisposeAsync() => await FilledSite.ExecuteAsync(_connection, "drop table bare");

    private static object[] Values(long id) =>
        [
            id,
            "INITIATED",
            SeedFile.PeerName,
            $"batch/{id / 1000}/zen.{id}.sum.uvh5",
            SeedFile.PeerName,
            1L,
            $"xxh3:::{id:x32}",
            1L,
            "2026-11-24 12:00:00.123456",
            Guid.NewGuid().ToString("D"),
            $"batch/{id / 1000}/zen.{id}.sum.uvh5",
            id,
        ];
}
