using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace Librarian.Adopt;

/// <summary>
/// The verb <c>librarian-site adopt</c>: takes the database of a Python Librarian over into this site's catalog (docs/adopt.md). It uses
/// the site's settings, and the site has to be stopped.
/// </summary>
public static class AdoptCommand
{
    public const string Verb = "adopt";

    /// <summary>What the program's help says of the verb.</summary>
    public const string Summary = "Takes the database of a Python Librarian over into this site's catalog; 'adopt --help' says how.";

    /// <summary>Everything of the source is in the catalog, and was read back and compared; in a dry run, it would be.</summary>
    public const int Done = 0;

    /// <summary>Nothing was changed.</summary>
    public const int Refused = 1;

    /// <summary>The command line is wrong; nothing was read.</summary>
    public const int Usage = 2;

    /// <summary>As <see cref="Done"/>, but some files cannot be taken over.</summary>
    public const int DoneWithoutSomeFiles = 3;

    private const string ExitCodeHelp =
        "Exit codes: 0 all is taken over and compared equal, 3 the same but for files that cannot be served, "
        + "1 nothing was changed, 2 wrong usage.";

    private const string Help = $"""
        Usage: librarian-site adopt --from CONNECTION [--check] [--check-disk] [--skip-store NAME]... [--report FILE] [--json]

        Takes the database of a Python Librarian over into this site's catalog. Stop both sites first. It may be run again.

          --from CONNECTION   its database: "Data Source=/path/librarian.db" or "Host=...;Database=...;Username=...;Password=..."; only read
          --check             do everything, compare, and take it back: nothing is changed
          --check-disk        also look whether every available copy lies on the disk with its size
          --skip-store NAME   leave the copies on this store of the Python site behind
          --report FILE       a line of JSON for every row that is not simply taken over (default: librarian-adopt-TIME.jsonl here)
          --json              print the report as JSON

        {ExitCodeHelp}
        """;

    private static readonly TimeSpan ProgressEvery = TimeSpan.FromSeconds(5);

    /// <summary>Runs the verb.</summary>
    /// <param name="args">The command line, with the verb.</param>
    /// <param name="readOptions">Reads the site's settings.</param>
    /// <param name="output">Receives the report.</param>
    /// <param name="errors">Receives progress and errors.</param>
    /// <param name="time">The clock.</param>
    /// <param name="seams">For tests.</param>
    /// <returns>Exit code.</returns>
    public static async Task<int> RunAsync(
        string[] args,
        Func<SiteOptions> readOptions,
        TextWriter output,
        TextWriter errors,
        TimeProvider time,
        AdoptSeams? seams = null
    )
    {
        ArgumentNullException.ThrowIfNull(args);
        ArgumentNullException.ThrowIfNull(readOptions);
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(errors);
        ArgumentNullException.ThrowIfNull(time);
        if (args.Any(a => a is "--help" or "-h"))
        {
            await output.WriteLineAsync(Help);
            return Done;
        }

        var (request, json, wrong) = Parse(args[1..], time);
        if (request is null)
        {
            await errors.WriteLineAsync($"{wrong}{Environment.NewLine}{Help}");
            return Usage;
        }

        try
        {
            var options = readOptions();
            var valid = new SiteOptionsValidator().Validate(null, options);
            return valid.Failed
                ? await FailAsync(errors, string.Join(Environment.NewLine, valid.Failures))
                : await AdoptAsync(request, json, options, output, errors, time, seams);
        }
        catch (InvalidOperationException e)
        {
            return await FailAsync(errors, e.Message);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return await FailAsync(
                errors,
                $"{e.Message} Nothing was changed. Run as the account of the site, and check Site:DataDirectory."
            );
        }
        catch (OperationCanceledException)
        {
            return await FailAsync(errors, "Stopped. Nothing was changed.");
        }
    }

    private static async Task<int> AdoptAsync(
        AdoptRequest request,
        bool json,
        SiteOptions options,
        TextWriter output,
        TextWriter errors,
        TimeProvider time,
        AdoptSeams? seams
    )
    {
        using var catalog = new CatalogDatabase(SiteDirectory.CatalogConnection(options));
        // A dry run makes no directory. Without a data directory, no site can be running.
        if (!request.DryRun)
            SiteDirectory.Prepare(options, NullLogger.Instance);
        using var hold = Directory.Exists(options.DataDirectory) ? SiteLock.Take(catalog.Kind, options) : null;
        if (await RunningWorkerAsync(catalog) is { } worker)
            throw new InvalidOperationException(
                $"The site is running on this catalog ({worker}). Nothing was changed. Stop all its processes; "
                    + "one that was killed counts as running for half a minute."
            );
        // No key is made here: the credentials that are taken over were encrypted with the Python site's key.
        var fernet = SiteKeys.IsMissing(options) ? null : SiteKeys.OpenFernet(options, time);
        using var stop = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        var last = time.GetTimestamp();
        var report = await new Adoption(catalog, options, fernet, time, seams).RunAsync(request, Show, stop.Token);
        await (
            json
                ? output.WriteLineAsync(JsonSerializer.Serialize(report, AdoptJson.Default.AdoptReport))
                : AdoptText.WriteAsync(report, output)
        );
        foreach (var refusal in report.Refusals)
            await errors.WriteLineAsync($"{refusal.Code}: {refusal.Message}".Shown());
        return report.Outcome switch
        {
            AdoptOutcome.Adopted => Done,
            AdoptOutcome.AdoptedWithoutSomeFiles => DoneWithoutSomeFiles,
            _ => Refused,
        };

        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.Cancel();
        }

        void Show(AdoptProgress progress)
        {
            if (time.GetElapsedTime(last) < ProgressEvery)
                return;
            last = time.GetTimestamp();
            errors.WriteLine($"{progress.Kind}: {progress.Read} of {progress.InSource}");
        }
    }

    /// <summary>
    /// The node of a live worker of the engine on a PostgreSQL catalog, or null. On SQLite the site's lock shows a running site.
    /// </summary>
    private static async Task<string?> RunningWorkerAsync(CatalogDatabase catalog)
    {
        if (catalog.Kind != DatabaseKind.PostgreSql)
            return null;
        try
        {
            await using var connection = new NpgsqlConnection(
                new NpgsqlConnectionStringBuilder(catalog.ConnectionString) { Pooling = false }.ToString()
            );
            await connection.OpenAsync();
            await using var command = new NpgsqlCommand("select to_regclass('dt_worker')::text", connection);
            if (await command.ExecuteScalarAsync() is not string)
                return null;
            command.CommandText = "select node from dt_worker where lease_until > extract(epoch from now()) * 1000 limit 1";
            return await command.ExecuteScalarAsync() as string;
        }
        catch (NpgsqlException e)
        {
            throw new InvalidOperationException(
                $"The catalog (Site:Database) cannot be reached: {e.Message} Nothing was changed. "
                    + "Correct Site:Database, or make the database and its account.",
                e
            );
        }
    }

    private static (AdoptRequest? Request, bool Json, string? Wrong) Parse(string[] args, TimeProvider time)
    {
        string? from = null,
            report = null;
        var (check, disk, json, skipped) = (false, false, false, new List<string>());
        for (var i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--check":
                    check = true;
                    break;
                case "--check-disk":
                    disk = true;
                    break;
                case "--json":
                    json = true;
                    break;
                case "--from" or "--report" or "--skip-store" when i + 1 == args.Length || args[i + 1].Length == 0:
                    return (null, json, $"{args[i]} needs a value.");
                case "--from":
                    from = args[++i];
                    break;
                case "--report":
                    report = args[++i];
                    break;
                case "--skip-store":
                    skipped.Add(args[++i]);
                    break;
                default:
                    return (null, json, $"'{args[i]}' is not known.");
            }
        }

        if (from is null)
            return (null, json, "--from is missing.");
        try
        {
            _ =
                CatalogDatabase.KindOf(from) == DatabaseKind.PostgreSql
                    ? new NpgsqlConnectionStringBuilder(from).Host
                    : new Microsoft.Data.Sqlite.SqliteConnectionStringBuilder(from).DataSource;
        }
        catch (ArgumentException e)
        {
            return (null, json, $"--from is not a connection string: {e.Message}");
        }

        report ??= $"librarian-adopt-{time.GetUtcNow().ToString("yyyyMMdd'T'HHmmss'Z'", CultureInfo.InvariantCulture)}.jsonl";
        return (
            new AdoptRequest(from, report)
            {
                DryRun = check,
                CheckDisk = disk,
                SkippedStores = skipped,
            },
            json,
            null
        );
    }

    private static async Task<int> FailAsync(TextWriter errors, string message)
    {
        await errors.WriteLineAsync(message);
        return Refused;
    }
}
