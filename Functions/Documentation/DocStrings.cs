using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Librarian.Functions.Documentation;

/// <summary>
/// Reads docstrings as text for readers of the API. The framework's generator describes functions, bodies and their fields; this class
/// reads the rest (classes, members of enums) from the XML files beside the program.
/// </summary>
internal static partial class DocStrings
{
    /// <summary>Summary of a class.</summary>
    internal static string Of(Type type) => Read(type, $"T:{type.FullName}");

    /// <summary>Summary of a member of an enum.</summary>
    internal static string Of(Type type, string member) => Read(type, $"F:{type.FullName}.{member}");

    /// <summary>
    /// Removes references that only developers of this site can look up: citations of specifications and numbers of upstream's weaknesses.
    /// </summary>
    internal static string WithoutCitations(string text) => Citation().Replace(text, "");

    /// <summary>Splits off the first sentence or clause, as a heading without its full stop.</summary>
    internal static (string Heading, string More) Split(string text)
    {
        var end = SentenceEnd().Match(text) is { Success: true } match ? match.Index : text.Length;
        var rest = text[end..].TrimStart('.', ';', ' ');
        return (text[..end].TrimEnd('.'), rest.Length == 0 ? "" : char.ToUpperInvariant(rest[0]) + rest[1..]);
    }

    private static string Read(Type type, string id)
    {
        var file = Path.ChangeExtension(type.Assembly.Location, ".xml");
        if (!File.Exists(file))
            throw new InvalidOperationException(
                $"'{file}' with the docstrings is missing. Nothing was written. "
                    + "Build with GenerateDocumentationFile and run the program where it was built."
            );
        var member = XDocument.Load(file).Descendants("member").FirstOrDefault(m => (string?)m.Attribute("name") == id);
        var summary = member?.Element("summary")
            ?? throw new InvalidOperationException($"{id} has no docstring. Nothing was written. Write one.");
        return WithoutCitations(Spaces().Replace(string.Concat(summary.Nodes().Select(Text)), " ").Trim());
    }

    private static string Text(XNode node) =>
        node switch
        {
            XText text => text.Value,
            XElement { Name.LocalName: "c" } code => $"`{code.Value}`",
            XElement { Name.LocalName: "see" } see => ((string?)see.Attribute("cref") ?? (string?)see.Attribute("langword") ?? "").Split(
                '.'
            )[^1],
            XElement other => other.Value,
            _ => "",
        };

    [GeneratedRegex(
        @"\s*\((?:[^()]*\bdocs/spec/[a-z-]+\.md\b[^()]*|[^()]*\bW[0-9]+)\)",
        RegexOptions.CultureInvariant,
        matchTimeoutMilliseconds: 1000
    )]
    private static partial Regex Citation();

    [GeneratedRegex(@"\. (?=\p{Lu})|; ", RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1000)]
    private static partial Regex SentenceEnd();

    [GeneratedRegex(@"\s+", RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Spaces();
}
