using System.Globalization;
using System.Text.Json;
using Librarian.Cli.Output;
using Librarian.Client.Wire;
using Spectre.Console;

namespace Librarian.Cli.Commands;

/// <summary>Words and colours shared by the list and the single view.</summary>
internal static class OrchestrationText
{
    private static readonly TextJson s_json = new(
        new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }
    );

    /// <summary>Spaces between columns.</summary>
    internal const int ColumnGap = 2;

    internal static Style Style(OrchestrationState state) =>
        new(
            state switch
            {
                OrchestrationState.Completed => Color.Green,
                OrchestrationState.Failed => Color.Red,
                OrchestrationState.Terminated or OrchestrationState.Suspended => Color.Yellow,
                _ => Color.Aqua,
            }
        );

    /// <summary>A JSON value on one line: a string without its quotes, anything else as JSON.</summary>
    internal static string Short(JsonElement? value) =>
        value is not { } given
            ? ""
            : Readable.Printable(
                given.ValueKind switch
                {
                    JsonValueKind.String => given.GetString()!,
                    JsonValueKind.Null => "",
                    _ => JsonSerializer.Serialize(given, s_json.JsonElement),
                }
            );

    internal static string Clock(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    internal static Text Cell(string text, Style? style = null) => new(Readable.Printable(text), style);

    /// <summary>A table without borders, for terminals and pipes alike.</summary>
    internal static Table Columns(int count, int wrapping)
    {
        var table = new Table().NoBorder();
        for (var index = 0; index < count; index++)
        {
            var column = new TableColumn("").Padding(0, 0, index == count - 1 ? 0 : ColumnGap, 0);
            table.AddColumn(index == wrapping ? column : column.NoWrap());
        }

        return table.HideHeaders();
    }
}
