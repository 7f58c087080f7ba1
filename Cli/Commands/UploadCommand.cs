using System.CommandLine;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Uploads;
using Spectre.Console;

namespace Librarian.Cli.Commands;

/// <summary><c>upload CONN LOCAL-PATH DEST-PATH</c>: uploads a file or directory to a site; silent on success.</summary>
internal sealed class UploadCommand(Terminal terminal)
{
    private readonly Argument<string> _connection = Common.Connection();
    private readonly Argument<string> _local = Common.LocalPath(
        "LOCAL-PATH",
        "File or directory; a directory becomes one file of the catalog."
    );
    private readonly Argument<string> _destination = new("DEST-PATH")
    {
        Description = "Name in the catalog: a relative path inside the store.",
    };
    private readonly Option<string> _deletion = new("--deletion")
    {
        Description = "Whether the site may delete its copy once enough others exist.",
        DefaultValueFactory = static _ => "disallowed",
    };
    private readonly Option<string> _meta = new("--meta")
    {
        Description = "Accepted for old scripts; only \"infer\" is left.",
        DefaultValueFactory = static _ => "infer",
        Hidden = true,
    };
    private readonly Option<bool> _nullObsid = new("--null-obsid")
    {
        Description = "Accepted for old scripts; of no effect.",
        Hidden = true,
    };

    internal Command Build()
    {
        _deletion.AcceptOnlyFromAmong("allowed", "disallowed");
        _meta.AcceptOnlyFromAmong("infer");
        var command = new Command(
            "upload",
            "Copies a file or directory into a site, verified; safe to repeat. Names and bytes are kept: "
                + "holes are filled, hard links become copies, and modes, owners, ACLs and extended attributes are dropped."
        )
        {
            _connection,
            _local,
            _destination,
            _deletion,
            _meta,
            _nullObsid,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        using var client = new LibrarianClient(ConnectionFile.Find(terminal, parsed.GetRequiredValue(_connection)));
        var options = new UploadOptions
        {
            DeletionPolicy = parsed.GetValue(_deletion) == "allowed" ? DeletionPolicy.Allowed : DeletionPolicy.Disallowed,
        };
        var upload = new Upload(client, TimeProvider.System);
        Task<UploadOutcome> UploadAsync(IProgress<UploadProgress>? progress) =>
            upload.RunAsync(parsed.GetRequiredValue(_local), parsed.GetRequiredValue(_destination), options, progress, cancellationToken);

        var outcome = terminal.Progress.Profile.Capabilities.Interactive
            ? await terminal
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
                .StartAsync(context => UploadAsync(new ProgressBars(context)))
            : await UploadAsync(progress: null);
        if (outcome.Error is { } error)
            return terminal.Fail(Readable.Printable(error.ToString()));
        if (outcome.Receipt is { AlreadyPresent: true } receipt)
            await terminal.Error.WriteLineAsync(
                $"{Readable.Printable(receipt.Name)} is there already with the same content; nothing to do."
            );
        return ExitCodes.Success;
    }

    /// <summary>One bar for each phase.</summary>
    private sealed class ProgressBars(ProgressContext context) : IProgress<UploadProgress>
    {
        private readonly Dictionary<UploadPhase, ProgressTask> _bars = [];

        public void Report(UploadProgress value)
        {
            if (!_bars.TryGetValue(value.Phase, out var bar))
                _bars[value.Phase] = bar = context.AddTask(value.Phase.ToString(), maxValue: Math.Max(1, value.TotalBytes));
            bar.IsIndeterminate = value.Phase == UploadPhase.Committing && value.Bytes == 0;
            bar.Value = value.TotalBytes == 0 ? 1 : value.Bytes;
        }
    }
}
