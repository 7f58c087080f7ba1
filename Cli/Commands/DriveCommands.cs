using System.CommandLine;
using System.Globalization;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Wire;
using Spectre.Console;

namespace Librarian.Cli.Commands;

/// <summary>
/// <c>drive …</c>: commands for drives, at the site that fills them and at the site that ingests them (docs/drives.md).
/// </summary>
internal sealed partial class DriveCommands(Terminal terminal, TimeProvider time)
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(500);

    private readonly Argument<string> _connection = Common.Connection();
    private readonly Argument<string> _drive = new("DRIVE") { Description = "Name of the drive." };
    private readonly Option<bool> _json = Common.Json();
    private readonly Option<string?> _acceptKey = new("--accept-key")
    {
        Description = "Fingerprint of the other site's key, after comparing it with what 'drive key' prints there.",
    };

    internal Command Build() =>
        new("drive", "Hand-carried drives: fill, send, ingest, acknowledge, use again.")
        {
            BuildInit(),
            BuildManifest(),
            BuildIngest(),
            BuildAcknowledge(),
            BuildRecycle(),
            BuildList(),
            BuildStatus(),
            BuildReceipt(),
            BuildKey(),
        };

    private LibrarianClient Connect(ParseResult parsed) => new(ConnectionFile.Find(terminal, parsed.GetRequiredValue(_connection)));

    private Command BuildInit()
    {
        var path = new Argument<string>("PATH") { Description = "Directory on the site's machine at which the empty drive is mounted." };
        var destination = new Option<string>("--destination") { Description = "Site it travels to.", Required = true };
        var fill = new Option<double>("--fill")
        {
            Description = "Share of it that may be filled, above 0 to 1.",
            DefaultValueFactory = static _ => 0.95,
        };
        var directory = new Option<bool>("--directory")
        {
            Description = "Use a plain directory; without this the path must be a mount point.",
        };
        var command = new Command("init", "Makes an empty drive a drive of the site; it is then filled by itself.")
        {
            _connection,
            _drive,
            path,
            destination,
            fill,
            directory,
        };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed);
                return await SayAsync(
                    await client.InitialiseDriveAsync(
                        new DriveInitialiseRequest(
                            parsed.GetRequiredValue(_drive),
                            parsed.GetRequiredValue(path),
                            parsed.GetRequiredValue(destination),
                            parsed.GetValue(fill),
                            parsed.GetValue(directory)
                        ),
                        cancellationToken
                    )
                );
            }
        );
        return command;
    }

    private Command BuildManifest()
    {
        var output = new Option<string?>("--output") { Description = "Also write the manifest to this file." };
        var command = new Command(
            "manifest",
            "Freezes a drive and writes its manifest to it; then it may be unplugged and carried. Safe to repeat."
        )
        {
            _connection,
            _drive,
            output,
        };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed);
                var name = parsed.GetRequiredValue(_drive);
                var frozen = await client.FreezeDriveAsync(new DriveRequest(name), cancellationToken);
                if (!frozen.IsSuccess)
                    return terminal.Fail(frozen.Error);
                var (status, failed) = await AwaitManifestAsync(client, name, cancellationToken);
                if (status is null)
                    return failed;
                if (
                    parsed.GetValue(output) is { } file
                    && await DownloadedFile.SaveAsync(terminal, file, to =>
                        client.GetDriveManifestAsync(new DriveRequest(name), to, cancellationToken)
                    )
                        is { } notSaved
                )
                    return notSaved;

                await terminal.Out.WriteLineAsync(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"Drive {name}, trip {status.Trip} to {status.Destination}: {status.Files} files, "
                            + $"{Readable.Size(status.Bytes)}, manifest {status.ManifestSha256}."
                    )
                );
                await terminal.Out.WriteLineAsync(Readable.Printable(status.NextStep));
                return ExitCodes.Success;
            }
        );
        return command;
    }

    private async Task<(DriveStatus? Status, int Code)> AwaitManifestAsync(
        LibrarianClient client,
        string name,
        CancellationToken cancellationToken
    )
    {
        string? said = null;
        while (true)
        {
            var list = await client.ListDrivesAsync(new DriveListRequest(name), cancellationToken);
            if (!list.IsSuccess)
                return (null, terminal.Fail(list.Error));
            if (list.Value.Drives is not [var status])
                return (null, terminal.Fail($"Drive {name} is gone."));
            if (status.ManifestOnDrive)
                return (status, ExitCodes.Success);
            if (status.Problem is { } problem && problem != said)
            {
                await terminal.Error.WriteLineAsync("waiting: " + Readable.Printable(problem));
                said = problem;
            }

            await Task.Delay(PollInterval, time, cancellationToken);
        }
    }

    private Command BuildIngest()
    {
        var path = new Argument<string>("PATH") { Description = "Directory on the site's machine at which the drive is mounted." };
        var manifest = new Option<string?>("--upstream-manifest")
        {
            Description = "For a drive of the Python Librarian: its manifest's path on the site's machine.",
        };
        var root = new Option<string?>("--store-root") { Description = "For such a drive: directory of the files; PATH if not given." };
        var unsigned = new Option<bool>("--unsigned") { Description = "Accept that such a manifest is not signed." };
        var detach = new Option<bool>("--detach") { Description = "Do not wait for the end." };
        var command = new Command(
            "ingest",
            "Checks a drive from another site and takes its files in; goes on where it stopped when repeated."
        )
        {
            _connection,
            path,
            _acceptKey,
            manifest,
            root,
            unsigned,
            detach,
        };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed);
                var begun = await client.IngestDriveAsync(
                    new DriveIngestRequest(
                        parsed.GetRequiredValue(path),
                        parsed.GetValue(_acceptKey),
                        parsed.GetValue(manifest),
                        parsed.GetValue(root),
                        parsed.GetValue(unsigned)
                    ),
                    cancellationToken
                );
                if (!begun.IsSuccess)
                    return terminal.Fail(begun.Error);
                await terminal.Error.WriteLineAsync(Readable.Printable(begun.Value.Message));
                if (parsed.GetValue(detach))
                    return ExitCodes.Success;
                var end = await ShowAsync(client, begun.Value, cancellationToken);
                return end.Error is { } error ? terminal.Fail(error) : await ReportAsync(client, end.Status!, cancellationToken);
            }
        );
        return command;
    }

    /// <summary>Follows an ingest to its end, with a progress bar where somebody watches.</summary>
    private Task<(DriveArrivalStatus? Status, ReplyError? Error)> ShowAsync(
        LibrarianClient client,
        DriveIngestResponse begun,
        CancellationToken cancellationToken
    ) =>
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
                .StartAsync(context => FollowAsync(client, begun, context.AddTask("Ingesting"), cancellationToken))
            : FollowAsync(client, begun, null, cancellationToken);

    private async Task<(DriveArrivalStatus? Status, ReplyError? Error)> FollowAsync(
        LibrarianClient client,
        DriveIngestResponse begun,
        ProgressTask? bar,
        CancellationToken cancellationToken
    )
    {
        string? said = null;
        while (true)
        {
            var asked = time.GetTimestamp();
            var list = await client.ListDrivesAsync(new DriveListRequest(begun.Name), cancellationToken);
            if (!list.IsSuccess)
                return (null, list.Error);
            if (list.Value.Arrivals.FirstOrDefault(a => a.DriveId == begun.DriveId && a.Trip == begun.Trip) is { } status)
            {
                if (bar is not null)
                    (bar.MaxValue, bar.Value) = (Math.Max(1, status.Bytes), status.Bytes == 0 ? 1 : status.BytesDone);
                if (status.State == "ingested")
                    return (status, null);
                if (status.Problem is { } problem && problem != said)
                {
                    await terminal.Error.WriteLineAsync("waiting: " + Readable.Printable(problem));
                    said = problem;
                }
            }

            // A site needs a while to count a million outcomes; polling must not become its main work.
            var took = time.GetElapsedTime(asked) * 5;
            await Task.Delay(took > PollInterval ? took : PollInterval, time, cancellationToken);
        }
    }

    private async Task<int> ReportAsync(LibrarianClient client, DriveArrivalStatus status, CancellationToken cancellationToken)
    {
        await terminal.Out.WriteLineAsync(
            string.Create(
                CultureInfo.InvariantCulture,
                $"Drive {Readable.Printable(status.Name)} of {status.Source}, trip {status.Trip}: {status.Stored} files taken, "
                    + $"{status.AlreadyHere} were here, {status.Failed} not taken."
            )
        );
        await terminal.Out.WriteLineAsync(Readable.Printable(status.NextStep));
        if (status.Failed == 0)
            return ExitCodes.Success;
        for (var after = 0L; ; )
        {
            var page = await client.ListDriveArrivalFilesAsync(
                new DriveArrivalFilesRequest(status.DriveId, status.Trip, "failed", after, 1000),
                cancellationToken
            );
            if (!page.IsSuccess)
                return terminal.Fail(page.Error);
            if (page.Value.Count == 0)
                break;
            after = page.Value[^1].Id;
            foreach (var file in page.Value)
                await terminal.Error.WriteLineAsync(
                    $"not taken: {Readable.Printable(file.Name)}: {Readable.Printable(file.Message ?? "")}"
                );
        }

        return ExitCodes.Failure;
    }

    private Command BuildAcknowledge()
    {
        var receipt = new Argument<string>("RECEIPT") { Description = "The receipt that came back, a file on this machine." };
        var command = new Command(
            "acknowledge",
            "Applies a destination's receipt at the drive's own site, where no network reaches. "
                + "A drive that comes back with its receipt is acknowledged by itself."
        )
        {
            _connection,
            receipt,
            _acceptKey,
        };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed);
                await using var file = File.OpenRead(parsed.GetRequiredValue(receipt));
                return await SayAsync(await client.AcknowledgeDriveAsync(file, parsed.GetValue(_acceptKey), cancellationToken));
            }
        );
        return command;
    }

    private Command BuildRecycle()
    {
        var lost = new Option<bool>("--lost")
        {
            Description = "The drive will not come back: everything on it that was not acknowledged is offered to other drives and links.",
        };
        var command = new Command("recycle", "Wipes a drive whose files have all been acknowledged, for its next trip.")
        {
            _connection,
            _drive,
            lost,
        };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed);
                return await SayAsync(
                    await client.RecycleDriveAsync(
                        new DriveRecycleRequest(parsed.GetRequiredValue(_drive), parsed.GetValue(lost)),
                        cancellationToken
                    )
                );
            }
        );
        return command;
    }

    private async Task<int> SayAsync(Reply<DriveDone> reply)
    {
        if (!reply.IsSuccess)
            return terminal.Fail(reply.Error);
        await terminal.Out.WriteLineAsync(Readable.Printable(reply.Value.Message));
        return ExitCodes.Success;
    }

    private Task LineAsync(string label, string text) => terminal.Out.WriteLineAsync($"  {label, -11}{text}");
}
