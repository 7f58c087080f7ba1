using System.Globalization;

namespace Librarian.Bench;

/// <summary>Prints a table of figures, each with its target, if it has one, and whether the figure meets it.</summary>
internal sealed class Scoreboard
{
    public bool AllMet { get; private set; } = true;

    public static void Title(string text) => Console.WriteLine($"\n## {text}\n\n| what | figure | target | verdict |\n|---|---:|---|---|");

    /// <summary>Adds a figure; <paramref name="atMost"/> or <paramref name="atLeast"/> is its target.</summary>
    public void Add(string what, double figure, string unit, double? atMost = null, double? atLeast = null)
    {
        var met = !(figure > atMost) && !(figure < atLeast) && !double.IsNaN(figure);
        AllMet &= met;
        var target = (atMost, atLeast) switch
        {
            ({ } most, null) => $"≤ {Number(most)}",
            (null, { } least) => $"≥ {Number(least)}",
            ({ } most, { } least) => $"{Number(least)} to {Number(most)}",
            _ => "",
        };
        Console.WriteLine($"| {what} | {Number(figure)} {unit} | {target} | {(target.Length == 0 ? "" : met ? "met" : "MISSED")} |");
    }

    private static string Number(double value) =>
        value switch
        {
            >= 100 or 0 => value.ToString("N0", CultureInfo.InvariantCulture),
            >= 10 => value.ToString("F1", CultureInfo.InvariantCulture),
            _ => value.ToString("F2", CultureInfo.InvariantCulture),
        };
}
