using System.CommandLine;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Downloads;
using Spectre.Console;

namespace Librarian.Cli.Commands;

/// <summary><c>get CONN NAME… DEST</c>: downloads files and directories of the catalog, verified.</summary>
internal sealed class GetCommand(Terminal terminal)
{
    private readonly Argument<string> _connection = Common.Connection();
    private readonly Argument<string[]> _names = new("NAME... DEST")
    {
        Description = "Names in the catalog, and where to: a directory that exists, or for one name the path to create.",
        Arity = new ArgumentArity(2, 100_000),
    };

    internal Command Build()
    {
        var command = new Command(
            "get",
            "Downloads files and directories, verified. An interrupted download goes on where it stopped when the command is repeated."
        )
        {
            _connection,
            _names,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        using var client = new LibrarianClient(ConnectionFile.Find(terminal, parsed.GetRequiredValue(_connection)));
        var download = new Download(client, TimeProvider.System);
        string[] names = parsed.GetRequiredValue(_names)[..^1];
        var destination = parsed.GetRequiredValue(_names)[^1];
        var isDirectory = Directory.Exists(destination);
        if (names.Length > 1 && !isDirectory)
            return terminal.Fail($"{Readable.Printable(destination)} is no directory; several names need one.");
        if (!isDirectory && destination.EndsWith('/'))
            return terminal.Fail($"{Readable.Printable(destination)} is no directory that exists.");
        var exit = ExitCodes.Success;
        foreach (var name in names)
        {
            var path = isDirectory ? Path.Combine(destination, PathText.Name(PathText.Normalise(name))) : destination;
            var outcome = await WithProgressAsync(name, progress => download.RunAsync(name, path, progress, cancellationToken));
            if (outcome.Error is { } error)
                exit = terminal.Fail(Readable.Printable($"{name}: {error}"));
            else if (outcome.AlreadyPresent)
                await terminal.Error.WriteLineAsync($"{Readable.Printable(path)} is there already with the same content; nothing to do.");
        }

        return exit;
    }

    private Task<DownloadOutcome> WithProgressAsync(string name, Func<IProgress<DownloadProgress>?, Task<DownloadOutcome>> run) =>
        terminal.Progress.Profile.Capabilities.Interactive
            ? terminal
                .Progress.Progress()
                .AutoClear(enabled: true)
                .Columns(
                    new TaskDescriptionColumn(),
                    new ProgressBarColumn(),
                    new PercentageColumn(),
                    new DownloadedColumn(),
                    new TransferSpeedColumn(),
                    new RemainingTimeColumn()
                )
                .StartAsync(context => run(new ProgressBar(context.AddTask(Markup.Escape(Readable.Printable(name))))))
            : run(null);

    private sealed class ProgressBar(ProgressTask task) : IProgress<DownloadProgress>
    {
        public void Report(DownloadProgress value) => (task.MaxValue, task.Value) = (Math.Max(1, value.TotalBytes), value.Bytes);
    }
}
