using System.Text.Json;
using Librarian.Cli.Output;
using Librarian.Client.Wire;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Librarian.Cli.Commands;

/// <summary>One instance with its history as a timeline.</summary>
internal sealed class OrchestrationView(Terminal terminal, TimeProvider time, bool json)
{
    private static readonly Style s_bad = new(Color.Red);
    private static readonly Style s_good = new(Color.Green);
    private static readonly Style s_dim = new(decoration: Decoration.Dim);
    private static readonly Style s_waiting = new(Color.Aqua);

    private string _lastJson = "";
    private DateTimeOffset? _execution;
    private int _printed;
    private OrchestrationState? _state;
    private string _status = "";

    private sealed record Line(string At, string What, string Name, string Took, string Note, Style Style);

    internal void Print(OrchestrationInstance instance)
    {
        if (json)
            terminal.PrintJson(instance, OrchestrationJson.Wire.OrchestrationInstance);
        else
            terminal.Console.Write(Render(instance, trouble: null));
    }

    /// <summary>Writes the events since the last poll.</summary>
    internal void Update(OrchestrationInstance instance)
    {
        if (json)
        {
            var text = JsonSerializer.Serialize(instance, OrchestrationJson.Wire.OrchestrationInstance);
            if (text != _lastJson)
                terminal.Out.WriteLine(_lastJson = text);
            return;
        }

        if (_state is null)
            terminal.Console.Write(Header(instance));
        var begun = Begun(instance);
        if (_execution is not null && begun != _execution)
        {
            terminal.Out.WriteLine("continued as new");
            _printed = 0;
        }

        _execution = begun;
        var happened = Happened(instance);
        foreach (var line in happened.Skip(_printed))
            terminal.Out.WriteLine($"{line.At, 12}  {line.What, -11}  {line.Name}  {line.Took}  {line.Note}".TrimEnd());
        _printed = Math.Max(_printed, happened.Count);
        var status = OrchestrationText.Short(instance.CustomStatus);
        if (_state is not null && !instance.IsFinished && (instance.RuntimeStatus != _state || status != _status))
            terminal.Out.WriteLine($"{"", 12}  {"status", -11}  {instance.RuntimeStatus}  {status}".TrimEnd());
        (_state, _status) = (instance.RuntimeStatus, status);
        if (instance.IsFinished)
            terminal.Out.WriteLine($"{instance.RuntimeStatus}: {OrchestrationText.Short(instance.Output)}".TrimEnd(' ', ':'));
    }

    internal IRenderable Render(OrchestrationInstance instance, string? trouble)
    {
        var table = OrchestrationText.Columns(5, wrapping: 4);
        foreach (var line in Happened(instance).Concat(Waiting(instance)))
        {
            table.AddRow(
                new Text(line.At, s_dim).RightJustified(),
                OrchestrationText.Cell(line.What, line.Style),
                OrchestrationText.Cell(line.Name),
                new Text(line.Took).RightJustified(),
                OrchestrationText.Cell(line.Note, line.Style == s_bad ? s_bad : Style.Plain)
            );
        }

        List<IRenderable> parts = [Header(instance), table];
        if (trouble is not null)
            parts.Add(new Text(trouble, s_bad));
        return new Rows(parts);
    }

    private static DateTimeOffset Begun(OrchestrationInstance instance) =>
        instance.HistoryEvents is [{ } first, ..] ? first.Timestamp : instance.CreatedTime;

    private static bool IsOpen(OrchestrationHistoryRow row) =>
        row.EventType is "TaskScheduled" or "TimerCreated" or "SubOrchestrationInstanceCreated";

    private IRenderable Header(OrchestrationInstance instance)
    {
        var now = time.GetUtcNow();
        var title = new Paragraph()
            .Append(Readable.Printable(instance.InstanceId), new Style(decoration: Decoration.Bold))
            .Append($"  {Readable.Printable(instance.Name)}  ")
            .Append(instance.RuntimeStatus.ToString(), OrchestrationText.Style(instance.RuntimeStatus));
        var table = OrchestrationText.Columns(2, wrapping: 1);
        void Add(string name, string value)
        {
            if (value.Length > 0)
                table.AddRow(new Text("  " + name, s_dim), new Text(value));
        }

        Add("created", $"{OrchestrationText.Clock(instance.CreatedTime)}, {Readable.Age(now - instance.CreatedTime)} ago");
        Add("changed", $"{OrchestrationText.Clock(instance.LastUpdatedTime)}, {Readable.Age(now - instance.LastUpdatedTime)} ago");
        if (Begun(instance) - instance.CreatedTime > TimeSpan.FromSeconds(2))
            Add("generation", $"since {OrchestrationText.Clock(Begun(instance))}");
        Add("input", OrchestrationText.Short(instance.Input));
        Add("status", OrchestrationText.Short(instance.CustomStatus));
        Add("output", OrchestrationText.Short(instance.Output));
        return new Rows(title, table);
    }

    private static List<Line> Happened(OrchestrationInstance instance)
    {
        var begun = Begun(instance);
        List<Line> lines = [];
        List<OrchestrationHistoryRow> failures = [];
        foreach (var row in instance.HistoryEvents ?? [])
        {
            if (IsOpen(row))
                continue;
            var attempt = 1 + failures.Count(failure => IsSameWork(failure, row) && failure.Timestamp <= row.ScheduledTime);
            var again = attempt > 1 ? $"attempt {attempt}" : "";
            var took = row.ScheduledTime is { } scheduled ? Readable.Duration(row.Timestamp - scheduled) : "";
            var name = row.FunctionName ?? row.Name ?? "";
            var child = string.Join(", ", new[] { row.InstanceId ?? "", again }.Where(static text => text.Length > 0));
            var why = row.Reason ?? "";
            if (row.EventType is "TaskFailed" or "SubOrchestrationInstanceFailed")
                failures.Add(row);
            else if (row.EventType is "TaskCompleted" or "SubOrchestrationInstanceCompleted")
                failures.RemoveAll(failure => IsSameWork(failure, row));
            lines.Add(
                row.EventType switch
                {
                    "ExecutionStarted" => Of("started", s_dim, "") with { Name = "" },
                    "TaskCompleted" => Of("activity", s_good, again),
                    "TaskFailed" => Of("FAILED", s_bad, Join(again, why)),
                    "SubOrchestrationInstanceCompleted" => Of("child", s_good, child),
                    "SubOrchestrationInstanceFailed" => Of("child FAILED", s_bad, Join(child, why)),
                    "TimerFired" => Of("timer", s_dim, ""),
                    "EventRaised" => Of("event", s_waiting, OrchestrationText.Short(row.Input)),
                    "EventSent" => Of("event sent", s_dim, OrchestrationText.Short(row.Input)),
                    "ExecutionSuspended" => Of("suspended", new Style(Color.Yellow), why),
                    "ExecutionResumed" => Of("resumed", new Style(Color.Yellow), why),
                    "ExecutionTerminated" => Of("terminated", new Style(Color.Yellow), why),
                    "ExecutionRewound" => Of("rewound", new Style(Color.Yellow), why),
                    // The previous line gives the reason for the termination.
                    "ExecutionCompleted" when row.OrchestrationStatus == nameof(OrchestrationState.Terminated) => Of("ended", s_dim, ""),
                    "ExecutionCompleted" => Of(
                        (row.OrchestrationStatus ?? "ended").ToLowerInvariant(),
                        row.OrchestrationStatus == nameof(OrchestrationState.Completed) ? s_good : s_bad,
                        why
                    ),
                    _ => Of(row.EventType, s_dim, why),
                }
            );
            Line Of(string what, Style style, string note) =>
                new("+" + Readable.Duration(row.Timestamp - begun), what, name, took, note, style);
        }

        return lines;
    }

    private static string Join(string left, string right) => left.Length == 0 ? right : $"{left}: {right}";

    // A retry is scheduled after the failure, under the same name and with the same input.
    private static bool IsSameWork(OrchestrationHistoryRow failure, OrchestrationHistoryRow row) =>
        failure.FunctionName is not null
        && failure.FunctionName == row.FunctionName
        && failure.Input?.GetRawText() == row.Input?.GetRawText();

    private IEnumerable<Line> Waiting(OrchestrationInstance instance)
    {
        if (instance.IsFinished)
            yield break;
        var now = time.GetUtcNow();
        Line Of(string what, string name, string note) => new("", "waiting", what + name, "", note, s_waiting);
        if (instance.RuntimeStatus == OrchestrationState.Pending)
        {
            yield return Of("to be started", "", "");
            yield break;
        }

        if (instance.RuntimeStatus == OrchestrationState.Suspended)
            yield return Of("to be resumed", "", "");
        var any = false;
        foreach (var row in (instance.HistoryEvents ?? []).Where(IsOpen))
        {
            // A cancelled timer has no row for its end.
            if (row.EventType == "TimerCreated" && row.FireAt < now)
                continue;
            any = true;
            var since = $"for {Readable.Age(now - row.Timestamp)}";
            yield return row.EventType switch
            {
                "TaskScheduled" => Of("for activity ", row.FunctionName ?? "", since),
                "SubOrchestrationInstanceCreated" => Of("for child ", row.FunctionName ?? "", $"{row.InstanceId}, {since}"),
                _ => Of(
                    "for timer",
                    "",
                    row.FireAt is { } due ? $"due in {Readable.Age(due - now)}, at {OrchestrationText.Clock(due)}" : since
                ),
            };
        }

        if (!any && instance.RuntimeStatus == OrchestrationState.Running)
            yield return Of("for an event", "", "");
    }
}
