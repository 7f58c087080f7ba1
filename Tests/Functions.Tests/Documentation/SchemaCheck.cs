using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Librarian.Tests.Functions.Documentation;

/// <summary>
/// Compares values with the schemas of an OpenAPI 3.1 document, more strictly than JSON Schema: a field that is not described is a problem,
/// and so is a keyword that is not known here.
/// </summary>
internal sealed class SchemaCheck(JsonElement document)
{
    private static readonly string[] Annotations = ["description", "default", "examples", "x-enum-varnames", "x-enum-descriptions"];

    /// <summary>What a reference stands for.</summary>
    internal JsonElement Resolve(JsonElement element)
    {
        if (!element.TryGetProperty("$ref", out var reference))
            return element;
        var target = document;
        foreach (var part in reference.GetString()!.Split('/').Skip(1))
            target = target.GetProperty(part);
        return target;
    }

    /// <summary>What is wrong with a value; empty when it fits.</summary>
    internal IEnumerable<string> Check(JsonElement schema, JsonElement value, string at)
    {
        foreach (var keyword in schema.EnumerateObject())
        {
            foreach (var problem in Check(schema, keyword.Name, keyword.Value, value, at))
                yield return problem;
        }
    }

    private IEnumerable<string> Check(JsonElement schema, string keyword, JsonElement rule, JsonElement value, string at) =>
        keyword switch
        {
            _ when Annotations.Contains(keyword) => [],
            "$ref" => Check(Resolve(schema), value, at),
            "type" => When(!Types(rule).Any(t => Is(t, value)), $"{at} is {value.GetRawText()}, not {rule}"),
            "enum" => When(
                !rule.EnumerateArray().Any(e => e.GetRawText() == value.GetRawText()),
                $"{at} is {value.GetRawText()}, not one of {rule}"
            ),
            "oneOf" => When(
                rule.EnumerateArray().Count(s => !Check(s, value, at).Any()) != 1,
                $"{at} is {value.GetRawText()}, which does not fit exactly one of {rule}"
            ),
            "anyOf" => When(
                rule.EnumerateArray().All(s => Check(s, value, at).Any()),
                $"{at} is {value.GetRawText()}, which fits none of {rule}"
            ),
            "pattern" => When(
                value.ValueKind == JsonValueKind.String
                    && !Regex.IsMatch(value.GetString()!, rule.GetString()!, RegexOptions.None, TimeSpan.FromSeconds(1)),
                $"{at} is {value.GetRawText()}, which does not match {rule}"
            ),
            "format" => When(!HasFormat(rule.GetString()!, value), $"{at} is {value.GetRawText()}, no {rule}"),
            "minItems" => When(
                value.ValueKind == JsonValueKind.Array && value.GetArrayLength() < rule.GetInt32(),
                $"{at} has too few items"
            ),
            "maxItems" => When(
                value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > rule.GetInt32(),
                $"{at} has too many items"
            ),
            "items" => value.ValueKind != JsonValueKind.Array
                ? []
                : value.EnumerateArray().SelectMany((item, i) => Check(rule, item, $"{at}[{i}]")),
            "required" => value.ValueKind != JsonValueKind.Object
                ? []
                : rule.EnumerateArray().Where(r => !value.TryGetProperty(r.GetString()!, out _)).Select(r => $"{at} lacks {r}"),
            "properties" => value.ValueKind != JsonValueKind.Object
                ? []
                : value
                    .EnumerateObject()
                    .SelectMany(p =>
                        rule.TryGetProperty(p.Name, out var described)
                            ? Check(described, p.Value, $"{at}.{p.Name}")
                            : When(!schema.TryGetProperty("additionalProperties", out _), $"{at}.{p.Name} is not described")
                    ),
            "additionalProperties" => value.ValueKind != JsonValueKind.Object
                ? []
                : value.EnumerateObject().SelectMany(p => Check(rule, p.Value, $"{at}.{p.Name}")),
            _ => [$"{at}: the keyword {keyword} is not known to this check"],
        };

    private static string[] When(bool wrong, string problem) => wrong ? [problem] : [];

    private static IEnumerable<string> Types(JsonElement rule) =>
        rule.ValueKind == JsonValueKind.Array ? rule.EnumerateArray().Select(t => t.GetString()!) : [rule.GetString()!];

    private static bool Is(string type, JsonElement value) =>
        (type, value.ValueKind) switch
        {

            ("null", JsonValueKind.Null)
            or
            ("object", JsonValueKind.Object)
            or
            ("array", JsonValueKind.Array)
            or
            ("string", JsonValueKind.String)
            or ("number", JsonValueKind.Number) => true,
            ("boolean", JsonValueKind.True or JsonValueKind.False) => true,
            ("integer", JsonValueKind.Number) => value.TryGetInt64(out _),
            _ => false,
        };

    private static bool HasFormat(string format, JsonElement value) =>
        format switch
        {
            "int64" => value.ValueKind != JsonValueKind.Number || value.TryGetInt64(out _),
            "int32" => value.ValueKind != JsonValueKind.Number || value.TryGetInt32(out _),
            "date-time" => value.ValueKind != JsonValueKind.String
                || (DateTimeOffset.TryParse(value.GetString(), CultureInfo.InvariantCulture, out _) && value.GetString()!.EndsWith('Z')),
            _ => false,
        };
}
