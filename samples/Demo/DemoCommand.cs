using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Librarian.Cli;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;
using Librarian.Client.Uploads;
using Spectre.Console;

namespace Librarian.Samples.Demo;

/// <summary>Starts two sites on this host, sends files from one to the other, and reads every copy again.</summary>
internal sealed class DemoCommand(Terminal terminal)
{
    private const int TableRows = 40;

    private static readonly TimeSpan s_refresh = TimeSpan.FromMilliseconds(100);

    private readonly Argument<string?> _folder = new("FOLDER")
    {
        Description = "Each of its entries is sent as one file; default: generated files.",
        Arity = ArgumentArity.ZeroOrOne,
    };
    private readonly Option<bool> _exit = new("--exit") { Description = "Stop the sites and end when all copies have been compared." };
    private readonly Option<int> _files = new("--files")
    {
        Description = "How many files to generate.",
        DefaultValueFactory = static _ => 24,
    };
    private readonly Option<string?> _directory = new("--directory")
    {
        Description = "Where the sites keep their data; must be new or empty. Default: a new temporary directory, removed at the end.",
    };
    private readonly Option<int> _timeout = new("--timeout")
    {
        Description = "Seconds to wait while nothing moves before giving up.",
        DefaultValueFactory = static _ => 120,
    };
    private readonly Option<bool> _local = new("--local")
    {
        Description = "Copy on the file system that both sites share, instead of sending over HTTP.",
    };

    internal Command Build()
    {
        _files.Validators.Add(static result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > 100_000)
                result.AddError("--files must be between 1 and 100000.");
        });
        var command = new RootCommand("Starts two sites, mountain and archive, sends files from one to the other and checks every copy.")
        {
            _folder,
            _exit,
            _files,
            _directory,
            _timeout,
            _local,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var given = parsed.GetValue(_directory);
        if (given is not null && Directory.Exists(given) && Directory.EnumerateFileSystemEntries(given).Any())
            return terminal.Fail($"The directory {given} is not empty; nothing was touched. Name a new one.");
        var folder = parsed.GetValue(_folder);
        if (folder is not null && !Directory.Exists(folder))
            return terminal.Fail($"There is no folder {folder}. Nothing was started.");
        var root = given is null ? Directory.CreateTempSubdirectory("librarian-demo-").FullName : Directory.CreateDirectory(given).FullName;

        var kept = true;
        try
        {
            if (folder is null)
                await SampleFiles.WriteAsync(folder = Path.Join(root, "source"), parsed.GetValue(_files), cancellationToken);
            var files = SourceFolder.Names(folder).Select(name => new DemoFile(Path.Join(folder, name), "demo/" + name)).ToList();
            if (files.Count == 0)
                return terminal.Fail($"The folder {folder} is empty. Nothing was started.");
            var matched = await RunSitesAsync(
                root,
                files,
                TimeSpan.FromSeconds(parsed.GetValue(_timeout)),
                (parsed.GetValue(_exit), parsed.GetValue(_local)),
                cancellationToken
            );
            kept = given is not null || !matched;
            return matched ? ExitCodes.Success : ExitCodes.Failure;
        }
        catch (OperationCanceledException)
        {
            kept = given is not null;
            throw;
        }
        finally
        {
            if (kept)
                await terminal.Error.WriteLineAsync($"The sites' data and logs are in {root}.");
            else
                Directory.Delete(root, recursive: true);
        }
    }

    // The sites end with this method in any case. If this process is killed, they notice that their parent is gone.
    private async Task<bool> RunSitesAsync(
        string root,
        List<DemoFile> files,
        TimeSpan timeout,
        (bool Exit, bool IsLocal) options,
        CancellationToken cancellationToken
    )
    {
        await terminal.Error.WriteLineAsync($"Starting the sites mountain and archive in {root} …");
        await using var archive = SiteProcess.Start("archive", root, peer: null, options.IsLocal);
        await using var mountain = SiteProcess.Start("mountain", root, archive.Name, options.IsLocal);
        void KillBoth(object? sender, EventArgs unused)
        {
            archive.Kill();
            mountain.Kill();
        }

        AppDomain.CurrentDomain.ProcessExit += KillBoth;
        try
        {
            await Task.WhenAll(mountain.WaitUntilReadyAsync(cancellationToken), archive.WaitUntilReadyAsync(cancellationToken));
            var run = new DemoRun(mountain, archive);
            await run.ProvisionAsync(cancellationToken);
            var took = await SendAsync(run, files, timeout, cancellationToken);
            var matched = await DemoRun.CompareAsync(files, cancellationToken);
            PrintTable(files);
            PrintSummary(files, took, matched);
            if (!options.Exit)
            {
                PrintInvitation(root, run, mountain, archive);
                await WaitForInterruptAsync(cancellationToken);
            }

            return matched;
        }
        finally
        {
            AppDomain.CurrentDomain.ProcessExit -= KillBoth;
        }
    }

    private static async Task WaitForInterruptAsync(CancellationToken cancellationToken)
    {
        try
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // Ctrl-C is the normal way to stop the running sites, not a failure.
        }
    }

    private Task<TimeSpan> SendAsync(DemoRun run, List<DemoFile> files, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var counts = new DemoCounts();
        if (!terminal.Progress.Profile.Capabilities.Interactive)
            return ReportAsync(run.SendAsync(files, counts, timeout, cancellationToken), counts, files.Count, cancellationToken);
        return terminal
            .Progress.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .StartAsync(async context =>
            {
                (ProgressTask Bar, Func<int> Value)[] bars =
                [
                    (context.AddTask("Uploaded to mountain", maxValue: files.Count), () => counts.Uploaded),
                    (context.AddTask("Cloned and verified at archive", maxValue: files.Count), () => counts.Cloned),
                    (context.AddTask("Acknowledged at mountain", maxValue: files.Count), () => counts.Acknowledged),
                ];
                var sending = run.SendAsync(files, counts, timeout, cancellationToken);
                do
                {
                    await Task.WhenAny(sending, Task.Delay(s_refresh, cancellationToken));
                    foreach (var (bar, value) in bars)
                        bar.Value = value();
                } while (!sending.IsCompleted);

                return await sending;
            });
    }

    // For logs: one line per change, at most one per second.
    private async Task<TimeSpan> ReportAsync(Task<TimeSpan> sending, DemoCounts counts, int total, CancellationToken cancellationToken)
    {
        var last = "";
        do
        {
            await Task.WhenAny(sending, Task.Delay(TimeSpan.FromSeconds(1), cancellationToken));
            var line = $"{counts.Uploaded} uploaded, {counts.Cloned} cloned, {counts.Acknowledged} acknowledged of {total}";
            if (line != last)
                await terminal.Error.WriteLineAsync(last = line);
        } while (!sending.IsCompleted);

        return await sending;
    }

    private void PrintTable(List<DemoFile> files)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("File", "Size", "Checksum", "Copies", "Read again");
        foreach (
            var file in files
                .Where(static file => file.Difference is not null)
                .Concat(files.Where(static file => file.Difference is null))
                .Take(TableRows)
        )
        {
            table.AddRow(
                new Text(Readable.Printable(file.Name)),
                new Text(Readable.Size(file.Digest!.Size)),
                new Text(file.Digest.Checksum),
                new Text(file.Acknowledged ? "mountain, archive" : "mountain"),
                new Text(file.Difference is null ? "equal" : "DIFFERS")
            );
        }

        terminal.Console.Write(table);
        if (files.Count > TableRows)
            terminal.Out.WriteLine($"… and {files.Count - TableRows} more.");
    }

    private void PrintSummary(List<DemoFile> files, TimeSpan took, bool matched)
    {
        var bytes = files.Sum(static file => file.Digest!.Size);
        terminal.Out.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{files.Count} files, {Readable.Size(bytes)}, uploaded, cloned, verified and acknowledged in "
                    + $"{took.TotalSeconds:0.0} s: {Readable.Size(bytes / took.TotalSeconds)}/s, "
                    + $"{files.Count / took.TotalSeconds:0.0} files/s."
            )
        );
        terminal.Out.WriteLine(
            matched
                ? "Every copy at the archive was read again from disk and equals its source byte for byte."
                : "Copies that differ from their source:"
        );
        foreach (var file in files.Where(static file => file.Difference is not null))
            terminal.Out.WriteLine("    " + Readable.Printable(file.Difference!));
    }

    private void PrintInvitation(string root, DemoRun run, SiteProcess mountain, SiteProcess archive)
    {
        var connections = Path.Join(root, "connections.json");
        WriteConnections(connections, run, mountain, archive);
        terminal.Out.WriteLine(
            $"""

            The sites keep running until you press Ctrl-C.
              mountain  http://127.0.0.1:{mountain.Port}  {SiteProcess.Administrator} / {mountain.Password}   log {mountain.LogPath}
              archive   http://127.0.0.1:{archive.Port}  {SiteProcess.Administrator} / {archive.Password}   log {archive.LogPath}
              uploads   {DemoRun.Observer} / {run.ObserverPassword} at mountain
            Try, in another terminal:
              alias librarian='dotnet {BuiltProgram.Cli}'
              export {ConnectionFile.PathVariable}={connections}
              librarian check-connections
              librarian upload observer SOME-FILE tries/some-file
              librarian search-files archive --name tries/some-file
              librarian get-store-list mountain
            """
        );
    }

    private static void WriteConnections(string path, DemoRun run, SiteProcess mountain, SiteProcess archive)
    {
        var document = new ConnectionDocument(
            new OrderedDictionary<string, ConnectionEntry>
            {
                ["mountain"] = new(SiteProcess.Administrator, mountain.Port, "http://127.0.0.1", mountain.Password),
                ["archive"] = new(SiteProcess.Administrator, archive.Port, "http://127.0.0.1", archive.Password),
                ["observer"] = new(DemoRun.Observer, mountain.Port, "http://127.0.0.1", run.ObserverPassword),
            }
        );
        using var file = new FileStream(
            path,
            new FileStreamOptions
            {
                Mode = FileMode.Create,
                Access = FileAccess.Write,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            }
        );
        JsonSerializer.Serialize(file, document, ConnectionJson.Default.ConnectionDocument);
    }
}
