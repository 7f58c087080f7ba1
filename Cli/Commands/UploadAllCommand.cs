using System.Collections.Concurrent;
using System.CommandLine;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Uploads;
using Spectre.Console;

namespace Librarian.Cli.Commands;

/// <summary>
/// <c>upload-all CONN FOLDER DEST-PREFIX</c>: uploads each entry of a folder as one file of the catalog. Prints one line per upload. A
/// failure does not stop the other uploads. A second run uploads only the missing entries.
/// </summary>
internal sealed class UploadAllCommand(Terminal terminal)
{
    private const int MaxListed = 20;

    private readonly Argument<string> _connection = Common.Connection();
    private readonly Argument<string> _folder = Common.LocalPath(
        "FOLDER",
        "Each of its entries, file or directory, becomes one file of the catalog."
    );
    private readonly Argument<string> _prefix = new("DEST-PREFIX") { Description = "Put before each entry's name, with a slash between." };
    private readonly Option<int> _parallel = new("--parallel")
    {
        Description = "Uploads at the same time.",
        DefaultValueFactory = static _ => 2,
    };

    internal Command Build()
    {
        _parallel.Validators.Add(static result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > 64)
                result.AddError("--parallel must be between 1 and 64.");
        });
        var command = new Command("upload-all", "Uploads every entry of a folder; safe to repeat.")
        {
            _connection,
            _folder,
            _prefix,
            _parallel,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        using var client = new LibrarianClient(ConnectionFile.Find(terminal, parsed.GetRequiredValue(_connection)));
        var folder = parsed.GetRequiredValue(_folder);
        if (!SourceFolder.Exists(folder))
            return terminal.Fail($"There is no folder {folder}. Nothing was uploaded.");
        var names = SourceFolder.Names(folder);
        var prefix = parsed.GetRequiredValue(_prefix).TrimEnd('/');
        var upload = new Upload(client, TimeProvider.System);
        var failed = new ConcurrentBag<string>();

        async Task UploadAllAsync(ProgressTask? bar) =>
            await Parallel.ForEachAsync(
                names,
                new ParallelOptions { MaxDegreeOfParallelism = parsed.GetValue(_parallel), CancellationToken = cancellationToken },
                async (name, token) =>
                {
                    var source = Path.Join(folder, name);
                    var outcome = await upload.RunAsync(source, $"{prefix}/{name}", cancellationToken: token);
                    if (outcome.Error is not null)
                        failed.Add(name);
                    Report(source, outcome);
                    bar?.Increment(1);
                }
            );

        if (terminal.Progress.Profile.Capabilities.Interactive)
        {
            await terminal
                .Progress.Progress()
                .AutoClear(enabled: true)
                .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
                .StartAsync(context => UploadAllAsync(context.AddTask("Uploading", maxValue: Math.Max(1, names.Count))));
        }
        else
        {
            await UploadAllAsync(bar: null);
        }

        if (failed.IsEmpty)
            return ExitCodes.Success;
        var listed = string.Join(", ", failed.Order(StringComparer.Ordinal).Take(MaxListed));
        return terminal.Fail(
            $"{failed.Count} of {names.Count} uploads failed, the others are done: "
                + $"{listed}{(failed.Count > MaxListed ? ", and more" : "")}. "
                + "The sources were only read; run the same command again to upload what is missing."
        );
    }

    private void Report(string source, UploadOutcome outcome)
    {
        // Lines of parallel uploads must not be mixed.
        lock (terminal)
        {
            if (outcome.Receipt is { } receipt)
                terminal.Out.WriteLine(
                    Readable.Printable(
                        $"{receipt.Name} {receipt.Digest.Size} {receipt.Digest.Checksum} "
                            + $"{(receipt.AlreadyPresent ? "present" : "uploaded")}"
                    )
                );
            else
                terminal.Error.WriteLine("error: " + Readable.Printable($"{source}: {outcome.Error}"));
        }
    }
}
