using System.Text.Json;

namespace Librarian.Client;

/// <summary>
/// Reads every form of failure body that sites send: a plain object, an object wrapped as JSON text in <c>detail</c> (clone/stage), a
/// sentence in <c>detail</c>, an object in <c>detail</c> (upstream's corrupt/*), a list in <c>detail</c> (a malformed request), or no JSON
/// at all.
/// </summary>
internal static class FailureBody
{
    internal static Refused Decode(int status, ReadOnlyMemory<byte> body)
    {
        if (Parse(body) is not { ValueKind: JsonValueKind.Object } outer)
            return new Refused(status, $"The site answered HTTP {status} without a reason.", "", Body: null);
        if (!outer.TryGetProperty("detail", out var detail))
            return Of(status, outer);
        return detail.ValueKind switch
        {
            JsonValueKind.Object => Of(status, detail),
            JsonValueKind.String when Parse(detail.GetString()!) is { ValueKind: JsonValueKind.Object } inner => Of(status, inner),
            JsonValueKind.String => new Refused(status, detail.GetString()!, "", outer),
            JsonValueKind.Array => new Refused(status, "The site finds the request malformed: " + Describe(detail), "", outer),
            _ => Of(status, outer),
        };
    }

    private static Refused Of(int status, JsonElement body) =>
        new(
            status,
            Text(body, "reason") ?? $"The site answered HTTP {status} without a reason.",
            Text(body, "suggested_remedy") ?? "",
            body
        );

    private static string? Text(JsonElement body, string field) =>
        body.TryGetProperty(field, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static string Describe(JsonElement items) =>
        string.Join(
            "; ",
            items
                .EnumerateArray()
                .Where(static item => item.ValueKind == JsonValueKind.Object)
                .Select(static item => (item.TryGetProperty("loc", out var place) ? place.GetRawText() + " " : "") + Text(item, "msg"))
        );

    private static JsonElement? Parse(ReadOnlyMemory<byte> json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static JsonElement? Parse(string json) => Parse(System.Text.Encoding.UTF8.GetBytes(json));
}
