using System.CommandLine;
using System.Globalization;
using Librarian.Cli.Output;
using Librarian.Client.Wire;
using Spectre.Console;

namespace Librarian.Cli.Commands;

internal sealed partial class DriveCommands
{
    private Command BuildList()
    {
        var command = new Command("list", "Where every drive is, and what to do next.") { _connection, _json };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed);
                var list = await client.ListDrivesAsync(new DriveListRequest(), cancellationToken);
                if (!list.IsSuccess)
                    return terminal.Fail(list.Error);
                if (parsed.GetValue(_json))
                    return terminal.PrintJson(list.Value, WireJson.Wire.DriveListResponse);
                if (list.Value is { Drives.Count: 0, Arrivals.Count: 0 })
                {
                    await terminal.Out.WriteLineAsync("No drives. Make one: librarian drive init CONN DRIVE PATH --destination SITE");
                    return ExitCodes.Success;
                }

                var table = new Table()
                    .Border(TableBorder.Simple)
                    .AddColumns("drive", "route", "trip", "state", "since (UTC)", "files", "size", "acknowledged", "next");
                foreach (var d in list.Value.Drives)
                    table.AddRow(
                        Cells(
                            d.Name,
                            "→ " + d.Destination,
                            Number(d.Trip),
                            d.State.Replace('_', ' ') + (d.IsPlugged ? ", plugged" : ""),
                            Time(d.Since),
                            Number(d.Files),
                            Readable.Size(d.Bytes),
                            d.State is "in_transit" or "reusable" ? $"{d.Delivered} of {d.Delivered + d.Open + d.Failed}" : "",
                            d.NextStep
                        )
                    );
                foreach (var a in list.Value.Arrivals)
                    table.AddRow(
                        Cells(
                            a.Name,
                            "← " + a.Source,
                            Number(a.Trip),
                            a.State,
                            Time(a.Since),
                            $"{a.FilesDone} of {a.Files}",
                            Readable.Size(a.Bytes),
                            a.Untold > 0 ? $"{a.Untold} to report" : "",
                            a.NextStep
                        )
                    );
                terminal.Console.Write(table);
                return ExitCodes.Success;
            }
        );
        return command;
    }

    private Command BuildStatus()
    {
        var command = new Command("status", "Everything about one drive.") { _connection, _drive, _json };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed);
                var name = parsed.GetRequiredValue(_drive);
                var list = await client.ListDrivesAsync(new DriveListRequest(name), cancellationToken);
                if (!list.IsSuccess)
                    return terminal.Fail(list.Error);
                if (parsed.GetValue(_json))
                    return terminal.PrintJson(list.Value, WireJson.Wire.DriveListResponse);
                if (list.Value is { Drives.Count: 0, Arrivals.Count: 0 })
                    return terminal.Fail($"No drive is named {name} here. 'librarian drive list' shows them all.");
                foreach (var d in list.Value.Drives)
                    await SayDriveAsync(d);
                var code = ExitCodes.Success;
                foreach (var a in list.Value.Arrivals)
                {
                    await SayArrivalAsync(a);
                    code = Math.Max(
                        code,
                        await ReportAsync(client, a, cancellationToken) is ExitCodes.Success ? ExitCodes.Success : ExitCodes.Failure
                    );
                }

                return code;
            }
        );
        return command;
    }

    private async Task SayDriveAsync(DriveStatus d)
    {
        await terminal.Out.WriteLineAsync(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{d.Name}  {d.State.Replace('_', ' ')} since {Time(d.Since)}  trip {d.Trip} to {d.Destination}"
            )
        );
        await LineAsync("drive id", d.DriveId.ToString());
        await LineAsync("path", d.Path + (d.IsPlugged ? ", plugged" : ", not plugged"));
        var left = d.FreeBytes >= 0 ? ", " + Readable.Size(d.FreeBytes) + " left" : "";
        await LineAsync("holds", $"{Number(d.Files)} files, {Readable.Size(d.Bytes)}{left}");
        await LineAsync("deliveries", $"{Number(d.Delivered)} acknowledged, {Number(d.Open)} open, {Number(d.Failed)} not taken");
        if (d.ManifestSha256 is { } manifest)
            await LineAsync("manifest", manifest + (d.ManifestOnDrive ? ", on the drive" : ", not on the drive yet"));
        if (d.Problem is { } problem)
            await LineAsync("problem", Readable.Printable(problem));
        await LineAsync("next", Readable.Printable(d.NextStep));
        await LineAsync("workflow", $"librarian orchestrations show CONN drive-{d.Name}");
    }

    private async Task SayArrivalAsync(DriveArrivalStatus a)
    {
        await terminal.Out.WriteLineAsync(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{Readable.Printable(a.Name)}  {a.State} since {Time(a.Since)}  trip {a.Trip} from {a.Source}"
            )
        );
        await LineAsync("path", a.Path);
        await LineAsync(
            "decided",
            $"{Number(a.FilesDone)} of {Number(a.Files)} files, {Readable.Size(a.BytesDone)} of {Readable.Size(a.Bytes)}"
        );
        await LineAsync("to report", $"{Number(a.Untold)} outcomes are still to be reported to {a.Source}");
        if (a.Problem is { } problem)
            await LineAsync("problem", Readable.Printable(problem));
        await LineAsync("workflow", $"librarian orchestrations show CONN {a.InstanceId}");
    }

    private Command BuildReceipt()
    {
        var output = new Option<string>("--output") { Description = "File for the receipt.", Required = true };
        var command = new Command(
            "receipt",
            "Writes the signed receipt of a drive that was ingested here, to be carried or sent to its site."
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
                var list = await client.ListDrivesAsync(new DriveListRequest(name), cancellationToken);
                if (!list.IsSuccess)
                    return terminal.Fail(list.Error);
                if (list.Value.Arrivals is not [var newest, ..])
                    return terminal.Fail($"No drive named {name} was plugged in here.");
                var request = new DriveReceiptRequest(newest.DriveId, newest.Trip);
                if (
                    await DownloadedFile.SaveAsync(terminal, parsed.GetRequiredValue(output), to =>
                        client.GetDriveReceiptAsync(request, to, cancellationToken)
                    ) is
                    { } failed
                )
                    return failed;
                await terminal.Out.WriteLineAsync(
                    $"Receipt of drive {Readable.Printable(name)}, trip {Number(newest.Trip)}, for {newest.Source}. "
                        + "There: librarian drive acknowledge CONN RECEIPT"
                );
                return ExitCodes.Success;
            }
        );
        return command;
    }

    private Command BuildKey()
    {
        var command = new Command("key", "The site's public key and its fingerprint, for other sites to compare.") { _connection };
        command.SetAction(
            async (parsed, cancellationToken) =>
            {
                using var client = Connect(parsed);
                var key = await client.GetSiteKeyAsync(cancellationToken);
                if (!key.IsSuccess)
                    return terminal.Fail(key.Error);
                await terminal.Out.WriteLineAsync(key.Value.PublicKey);
                await terminal.Out.WriteLineAsync($"fingerprint of {key.Value.Site}: {key.Value.Fingerprint}");
                return ExitCodes.Success;
            }
        );
        return command;
    }

    private static string[] Cells(params string[] cells) => [.. cells.Select(c => Markup.Escape(Readable.Printable(c)))];

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Time(DateTime utc) => utc.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);
}
