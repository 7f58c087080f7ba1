using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Librarian.Cli.Connections;
using Librarian.Cli.Output;
using Librarian.Client;
using Librarian.Client.Wire;
using Spectre.Console;

namespace Librarian.Cli.Commands;

/// <summary><c>search-files CONN</c>: lists files of the catalog with their copies.</summary>
internal sealed class SearchFilesCommand(Terminal terminal)
{
    private readonly Argument<string> _connection = Common.Connection();
    private readonly Option<string?> _name = new("--name", "-n") { Description = "Exact name." };
    private readonly Option<DateTime?> _start = new("--create-time-start")
    {
        Description = "Ingested at or after this time, UTC unless it has an offset.",
        CustomParser = ParseTime,
    };
    private readonly Option<DateTime?> _end = new("--create-time-end")
    {
        Description = "Ingested at or before this time.",
        CustomParser = ParseTime,
    };
    private readonly Option<string?> _uploader = new("--uploader", "-u") { Description = "Exact uploader." };
    private readonly Option<string?> _source = new("--source", "-s") { Description = "Exact source." };
    private readonly Option<long> _maxResults = new("--max-results")
    {
        Description = "At most this many; the site may have a lower limit.",
        DefaultValueFactory = static _ => 64,
    };
    private readonly Option<bool> _json = Common.Json();

    internal Command Build()
    {
        var command = new Command("search-files", "Lists files and where their copies are, newest first.")
        {
            _connection,
            _name,
            _start,
            _end,
            _uploader,
            _source,
            _maxResults,
            _json,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static DateTime? ParseTime(ArgumentResult result)
    {
        var text = result.Tokens.Single().Value;
        if (WireTime.TryParse(text, out var time))
            return time;
        if (
            DateTime.TryParse(
                text,
                CultureInfo.InvariantCulture,
                DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
                out time
            )
        )
            return time;
        result.AddError($"\"{text}\" is not a time; write for example 2026-11-22T13:06:49.");
        return null;
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (start, end) = (parsed.GetValue(_start), parsed.GetValue(_end));
        using var client = new LibrarianClient(ConnectionFile.Find(terminal, parsed.GetRequiredValue(_connection)));
        var found = await client.SearchFilesAsync(
            new FileSearchRequest(
                parsed.GetValue(_name),
                start is null && end is null ? null : new TimeWindow(start ?? TimeWindow.Earliest, end ?? TimeWindow.Latest),
                parsed.GetValue(_uploader),
                parsed.GetValue(_source),
                parsed.GetValue(_maxResults)
            ),
            cancellationToken
        );
        if (!found.IsSuccess)
            return terminal.Fail(found.Error);
        if (parsed.GetValue(_json))
            return terminal.PrintJson(found.Value, WireJson.Wire.FileSearchHitList);
        if (found.Value.Count == 0)
            await terminal.Out.WriteLineAsync("No results found.");
        foreach (var file in found.Value)
            Print(file);
        return ExitCodes.Success;
    }

    private void Print(FileSearchHit file)
    {
        var title = $"{file.Name} ({Readable.Size(file.Size)}) - {WireTime.Format(file.CreateTime)} - {file.Uploader} - {file.Source}";
        terminal.Console.MarkupLineInterpolated($"[bold]{Readable.Printable(title)}[/]");
        terminal.Out.WriteLine(file.Instances.Count == 0 ? "No instances of this file found." : "Instances:");
        foreach (var instance in file.Instances)
            terminal.Out.WriteLine($"    {Readable.Printable(instance.Path)} - {(instance.Available ? "AVAILABLE" : "NOT AVAILABLE")}");
        terminal.Out.WriteLine(file.RemoteInstances.Count == 0 ? "No remote instances of this file found." : "Remote instances:");
        foreach (var instance in file.RemoteInstances)
            terminal.Out.WriteLine($"    {Readable.Printable(instance.LibrarianName)}");
    }
}
