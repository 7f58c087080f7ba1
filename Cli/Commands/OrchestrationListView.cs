using Librarian.Cli.Output;
using Librarian.Client.Wire;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Librarian.Cli.Commands;

/// <summary>The list of instances.</summary>
internal sealed class OrchestrationListView(Terminal terminal, TimeProvider time, bool json)
{
    private const int NoteColumn = 5;
    private const int LeastNote = 16;

    private static readonly string[] s_titles = ["STATUS", "ID", "ORCHESTRATOR", "CREATED", "CHANGED", "NOTE"];

    private readonly Dictionary<string, OrchestrationInstance> _seen = new(StringComparer.Ordinal);

    internal void Print(OrchestrationPage page)
    {
        if (json)
            terminal.PrintJson(page.Instances, OrchestrationJson.Wire.OrchestrationInstanceList);
        else if (page.Instances.Count == 0)
            terminal.Out.WriteLine("No orchestrations found.");
        else
            terminal.Console.Write(Table(page.Instances));
    }

    /// <summary>Writes the instances that are new or changed since the last poll.</summary>
    internal void Update(OrchestrationPage page)
    {
        List<OrchestrationInstance> changed =
        [
            .. page.Instances.Where(instance => !_seen.TryGetValue(instance.InstanceId, out var before) || IsChanged(before, instance)),
        ];
        foreach (var instance in changed)
        {
            _seen[instance.InstanceId] = instance;
            if (json)
                terminal.PrintJson(instance, OrchestrationJson.Wire.OrchestrationInstance);
            else
                terminal.Out.WriteLine(
                    string.Join(
                            "  ",
                            [
                                instance.RuntimeStatus.ToString().PadRight(10),
                                Readable.Printable(instance.InstanceId),
                                Readable.Printable(instance.Name),
                                Note(instance),
                            ]
                        )
                        .TrimEnd()
                );
        }
    }

    internal IRenderable Render(OrchestrationPage page, string? trouble)
    {
        List<IRenderable> parts = [page.Instances.Count == 0 ? new Text("No orchestrations found.") : Table(page.Instances)];
        parts.Add(
            new Text(
                trouble
                    ?? $"{OrchestrationText.Clock(time.GetUtcNow())}  "
                        + $"{page.Instances.Count(static i => !i.IsFinished)} of {page.Instances.Count} unfinished; "
                        + "Ctrl-C ends the looking.",
                trouble is null ? new Style(decoration: Decoration.Dim) : new Style(Color.Red)
            )
        );
        return new Rows(parts);
    }

    private static bool IsChanged(OrchestrationInstance before, OrchestrationInstance after) =>
        before.RuntimeStatus != after.RuntimeStatus || before.CreatedTime != after.CreatedTime || Note(before) != Note(after);

    private static string Note(OrchestrationInstance instance) =>
        OrchestrationText.Short(instance.IsFinished ? instance.Output ?? instance.CustomStatus : instance.CustomStatus);

    private Table Table(IReadOnlyList<OrchestrationInstance> instances)
    {
        var now = time.GetUtcNow();
        string[][] rows =
        [
            .. instances.Select(instance =>
                (string[])
                    [
                        instance.RuntimeStatus.ToString(),
                        Readable.Printable(instance.InstanceId),
                        Readable.Printable(instance.Name),
                        OrchestrationText.Clock(instance.CreatedTime),
                        $"{Readable.Age(now - instance.LastUpdatedTime)} ago",
                        Note(instance),
                    ]
            ),
        ];
        // The note column gets the remaining width, so that each instance stays on one line if the terminal is wide enough.
        var taken = Enumerable
            .Range(0, NoteColumn)
            .Sum(column => rows.Append(s_titles).Max(row => row[column].Length) + OrchestrationText.ColumnGap);
        var room = Math.Max(LeastNote, terminal.Console.Profile.Width - taken);
        var table = OrchestrationText.Columns(s_titles.Length, wrapping: NoteColumn);
        var bold = new Style(decoration: Decoration.Bold);
        table.AddRow(s_titles.Select(title => new Text(title, bold)));
        foreach (var (row, instance) in rows.Zip(instances))
        {
            if (row[NoteColumn].Length > room)
                row[NoteColumn] = row[NoteColumn][..(char.IsHighSurrogate(row[NoteColumn][room - 2]) ? room - 2 : room - 1)] + "…";
            table.AddRow(
                row.Select((text, column) => new Text(text, column == 0 ? OrchestrationText.Style(instance.RuntimeStatus) : Style.Plain))
            );
        }

        return table;
    }
}
