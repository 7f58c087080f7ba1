using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Librarian.Tests.Functions.Documentation;

/// <summary>The committed <c>docs/openapi.json</c>, as a reader understands it.</summary>
public sealed partial class ApiDescription
{
    private static readonly string[] Own = ["/api/v2/openapi.json"];

    private readonly JsonElement _root;
    private readonly SchemaCheck _schemas;

    /// <summary>Reads a description.</summary>
    public ApiDescription(string json)
    {
        _root = JsonDocument.Parse(json).RootElement;
        _schemas = new SchemaCheck(_root);
    }

    /// <summary>Where the committed description lies.</summary>
    public static string File { get; } = Path.Combine(RepositoryRoot(), "docs", "openapi.json");

    /// <summary>The committed description.</summary>
    public static ApiDescription Committed { get; } = new(System.IO.File.ReadAllText(File));

    /// <summary>Everything.</summary>
    public JsonElement Root => _root;

    /// <summary>All operations.</summary>
    public IEnumerable<(string Path, string Method, JsonElement Operation)> Operations =>
        from path in _root.GetProperty("paths").EnumerateObject()
        from method in path.Value.EnumerateObject()
        select (path.Name, method.Name.ToUpperInvariant(), method.Value);

    /// <summary>What an answer has that the description does not say; empty when all is well.</summary>
    public IReadOnlyList<string> Problems(string method, string path, int status, string? contentType, string body)
    {
        if (!path.StartsWith("/api/v2/", StringComparison.Ordinal) && !path.StartsWith("/durable/v1/", StringComparison.Ordinal))
            return [];
        if (Own.Contains(path))
            return [];
        var fitting = Operations.Where(o => Fits(o.Path, path)).ToArray();
        if (fitting.All(o => o.Method != method))
            return status is 404 or 405 ? [] : [$"{method} {path} is not described, but was answered {status}"];
        var (template, _, operation) = fitting.Where(o => o.Method == method).MinBy(o => o.Path.Count(c => c == '{'));
        var at = $"{method} {template} {status}";
        if (!operation.GetProperty("responses").TryGetProperty(status.ToString(CultureInfo.InvariantCulture), out var response))
            return [$"{at} is not described; its body is {body}"];
        response = _schemas.Resolve(response);
        if (!response.TryGetProperty("content", out var content))
            return body.Length == 0 ? [] : [$"{at} is described without a body, but has {body}"];
        if (contentType != "application/json")
            return [$"{at} is described as JSON, but is '{contentType}'"];
        var value = JsonDocument.Parse(body).RootElement;
        return
        [
            .. _schemas.Check(content.GetProperty("application/json").GetProperty("schema"), value, at),
            .. UnknownReason(response, value, at),
        ];
    }

    /// <summary>Whether a value is what a request of an operation may be.</summary>
    public IReadOnlyList<string> RequestProblems(JsonElement operation, JsonElement body) =>
        [
            .. _schemas.Check(
                operation.GetProperty("requestBody").GetProperty("content").GetProperty("application/json").GetProperty("schema"),
                body,
                "request"
            ),
        ];

    /// <summary>Reasons are listed with the answer as code; what stands in braces varies.</summary>
    private static IEnumerable<string> UnknownReason(JsonElement response, JsonElement body, string at)
    {
        if (body.ValueKind != JsonValueKind.Object)
            yield break;
        var reason =
            body.TryGetProperty("reason", out var plain) ? plain.GetString()!
            : body.TryGetProperty("detail", out var detail) ? Unwrapped(detail.GetString()!)
            : null;
        if (reason is null)
            yield break;
        var listed = Code().Matches(response.GetProperty("description").GetString()!).Select(m => m.Groups["code"].Value).ToArray();
        if (
            !listed.Any(l =>
                Regex.IsMatch(
                    reason,
                    "^" + Varying().Replace(Regex.Escape(l), ".*") + "$",
                    RegexOptions.Singleline | RegexOptions.NonBacktracking,
                    TimeSpan.FromMinutes(1)
                )
            )
        )
            yield return $"{at} has the reason '{reason}', described are {string.Join(", ", listed)}";
    }

    private static string Unwrapped(string detail) =>
        detail.StartsWith('{') ? JsonDocument.Parse(detail).RootElement.GetProperty("reason").GetString()! : detail;

    private static bool Fits(string template, string path)
    {
        var (wanted, given) = (template.TrimEnd('/').Split('/'), path.TrimEnd('/').Split('/'));
        return wanted.Length == given.Length
            && wanted.Zip(given).All(p => p.First.StartsWith('{') || p.First.Equals(p.Second, StringComparison.OrdinalIgnoreCase));
    }

    private static string RepositoryRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!System.IO.File.Exists(Path.Combine(directory!.FullName, "Librarian.Functions.sln")))
            directory = directory.Parent;
        return directory.FullName;
    }

    [GeneratedRegex(@"\\\{[^}]*}", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Varying();

    [GeneratedRegex("`(?<code>[^`]+)`", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Code();
}
