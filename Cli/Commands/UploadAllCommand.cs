using System.CommandLine;
using Librarian.Cli.Connections;
using Librarian.Client;
using Librarian.Client.Uploads;
using Spectre.Console;

namespace Librarian.Cli.Commands;

/// <summary>
/// <c>upload-all CONN FOLDER DEST-PREFIX</c>: every entry of a folder as one file of the catalog. One line per upload; a failure does
/// not stop the others; running it again uploads only what is missing.
/// </summary>
internal sealed class UploadAllCommand(Terminal terminal)
{
    private readonly Argument<string> _connection = Common.Connection();
    private readonly Argument<string> _folder = new("FOLDER") { Description = "Each of its entries, file or directory, becomes one file of the catalog." };
    private readonly Argument<string> _prefix = new("DEST-PREFIX") { Description = "Put before each entry's name, with a slash between." };
    private readonly Option<int> _parallel = new("--parallel") { Description = "Uploads at the same time.", DefaultValueFactory = static _ => 2 };

    internal Command Build()
    {
        _parallel.Validators.Add(static result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > 64)
                result.AddError("--parallel must be between 1 and 64.");
        });
        var command = new Command("upload-all", "Uploads every entry of a folder; safe to repeat.") { _connection, _folder, _prefix, _parallel };
        command.SetAction(RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        using var client = new LibrarianClient(ConnectionFile.Find(terminal, parsed.GetRequiredValue(_connection)));
        var folder = parsed.GetRequiredValue(_folder);
        if (!Directory.Exists(folder))
            return terminal.Fail($"There is no folder {folder}. Nothing was uploaded.");
        var sources = Directory.EnumerateFileSystemEntries(folder).Order(StringComparer.Ordinal).ToArray();
        var prefix = parsed.GetRequiredValue(_prefix).TrimEnd('/');
        var upload = new Upload(client, TimeProvider.System);
        var failed = 0;

        async Task UploadAllAsync(ProgressTask? bar) => await Parallel.ForEachAsync(
            sources,
            new ParallelOptions { MaxDegreeOfParallelism = parsed.GetValue(_parallel), CancellationToken = cancellationToken },
            async (source, token) =>
            {
                var outcome = await upload.RunAsync(source, $"{prefix}/{Path.GetFileName(source)}", cancellationToken: token);
                if (outcome.Error is not null)
                    Interlocked.Increment(ref failed);
                Report(source, outcome);
                bar?.Increment(1);
            });

        if (terminal.Progress.Profile.Capabilities.Interactive)
        {
            await terminal.Progress.Progress()
                .AutoClear(enabled: true)
                .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
                .StartAsync(context => UploadAllAsync(context.AddTask("Uploading", maxValue: Math.Max(1, sources.Length))));
        }
        else
        {
            await UploadAllAsync(bar: null);
        }

        return failed == 0
            ? ExitCodes.Success
            : terminal.Fail($"{failed} of {sources.Length} uploads failed, the others are done. The sources were only read; run the same command again to upload what is missing.");
    }

    private void Report(string source, UploadOutcome outcome)
    {
        // Lines of parallel uploads must not mix.
        lock (terminal)
        {
            if (outcome.Receipt is { } receipt)
                terminal.Out.WriteLine(Readable.Printable($"{receipt.Name} {receipt.Digest.Size} {receipt.Digest.Checksum} {(receipt.AlreadyPresent ? "present" : "uploaded")}"));
            else
                terminal.Error.WriteLine("error: " + Readable.Printable($"{source}: {outcome.Error}"));
        }
    }
}
