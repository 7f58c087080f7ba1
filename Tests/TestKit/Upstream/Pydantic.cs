using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Librarian.Tests.TestKit.Upstream;

/// <summary>Type of a field, as strict as pydantic can be.</summary>
public enum Field
{
    /// <summary>A JSON number without fraction.</summary>
    Int,

    /// <summary>An integer or null.</summary>
    IntOrNull,

    /// <summary>A string.</summary>
    Text,

    /// <summary>A string or null.</summary>
    TextOrNull,

    /// <summary>true or false.</summary>
    Bool,

    /// <summary>A naive ISO time with no fraction or exactly six digits (docs/spec/wire.md#times).</summary>
    Time,

    /// <summary>An array of integers.</summary>
    Ints,

    /// <summary>An array of strings.</summary>
    Texts,

    /// <summary>An array of objects, which the caller checks.</summary>
    Objects,

    /// <summary>An object, which the caller checks.</summary>
    Object,

    /// <summary>Null, as in all captured exchanges.</summary>
    Null,
}

/// <summary>
/// Checks messages against the models of docs/spec/wire.md#endpoints as upstream declares them: all fields, in this order and of these
/// types, and no others.
/// </summary>
public static partial class Pydantic
{
    private static readonly (string, Field)[] s_empty = [];
    private static readonly (string, Field)[] s_pair = [("source_transfer_id", Field.Int), ("destination_transfer_id", Field.Int)];
    private static readonly (string, Field)[] s_ids = [("source_transfer_ids", Field.Ints), ("destination_transfer_ids", Field.Ints)];

    private static readonly (string, Field)[] s_item =
    [
        ("upload_size", Field.Int),
        ("upload_checksum", Field.Text),
        ("upload_name", Field.Text),
        ("destination_location", Field.Text),
        ("uploader", Field.Text),
        ("source_transfer_id", Field.Int),
    ];

    private static readonly Dictionary<string, (string, Field)[]> s_requests = new(StringComparer.Ordinal)
    {
        ["ping/"] = s_empty,
        ["ping/logged"] = s_empty,
        ["search/file"] =
        [
            ("name", Field.Text),
            ("create_time_window", Field.Null),
            ("uploader", Field.Null),
            ("source", Field.Null),
            ("max_results", Field.Int),
        ],
        ["clone/batch_stage"] = [("uploads", Field.Objects), ("source", Field.Text), ("total_size", Field.Int)],
        ["clone/ongoing"] = s_pair,
        ["clone/complete"] = [.. s_pair, ("store_id", Field.Int)],
        ["clone/fail"] = [.. s_pair, ("reason", Field.Text)],
        ["checkin/update"] = [.. s_ids, ("new_status", Field.Int)],
        ["checkin/status"] = s_ids,
        ["validate/file"] = [("file_name", Field.Text)],
        ["corrupt/prepare"] = [("file_name", Field.Text), ("librarian_name", Field.Text)],
        ["corrupt/resend"] = [("librarian_name", Field.Text), ("file_name", Field.Text)],
    };

    /// <summary>Describes why upstream would reject a request; null if an upstream client would send it like this.</summary>
    public static string? Request(WireRequest request)
    {
        if (!request.Line.StartsWith("POST /", StringComparison.Ordinal) || !request.Line.EndsWith(" HTTP/1.1", StringComparison.Ordinal))
            return request.Line;
        if (request.Header("Content-Type") is not ("application/json" or "application/json; charset=utf-8"))
            return "Content-Type: " + request.Header("Content-Type");
        if (request.Header("Expect") is not null)
            return "Expect: " + request.Header("Expect");
        if (request.Header("Content-Length") is null)
            return "no Content-Length";
        if (request.Credentials is null)
            return "no credentials";
        if (!s_requests.TryGetValue(request.Path, out var fields))
            return "no such path: " + request.Path;
        try
        {
            var body = request.Json;
            return Model(body, fields)
                ?? (
                    request.Path == "clone/batch_stage"
                        ? body.GetProperty("uploads").EnumerateArray().Select(u => Model(u, s_item)).FirstOrDefault(p => p is not null)
                        : null
                );
        }
        catch (JsonException e)
        {
            return e.Message;
        }
    }

    /// <summary>Reads an answer; fails the test if it does not match.</summary>
    public static JsonElement Answer(WireReply reply, int status, params (string Name, Field Type)[] fields)
    {
        Assert.True(reply.Status == status, $"HTTP {reply.Status}: {reply.Body}");
        Assert.Equal("application/json", reply.Header("Content-Type")!.Split(';')[0]);
        var body = reply.Json;
        var problem = Model(body, fields);
        Assert.True(problem is null, $"{problem} in {reply.Body}");
        return body;
    }

    /// <summary>Describes how an object differs from its declaration; null if it does not.</summary>
    public static string? Model(JsonElement body, params (string Name, Field Type)[] fields)
    {
        if (body.ValueKind != JsonValueKind.Object)
            return $"an object was expected, not {body.ValueKind}";
        var names = body.EnumerateObject().Select(p => p.Name).ToList();
        if (!names.SequenceEqual(fields.Select(f => f.Name)))
            return $"fields are {string.Join(',', names)}, expected {string.Join(',', fields.Select(f => f.Name))}";
        return fields
            .Where(f => !Is(body.GetProperty(f.Name), f.Type))
            .Select(f => $"{f.Name} is {body.GetProperty(f.Name).GetRawText()}, expected {f.Type}")
            .FirstOrDefault();
    }

    private static bool Is(JsonElement value, Field type) =>
        type switch
        {
            Field.Int => value.ValueKind == JsonValueKind.Number
                && long.TryParse(value.GetRawText(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _),
            Field.IntOrNull => value.ValueKind == JsonValueKind.Null || Is(value, Field.Int),
            Field.Text => value.ValueKind == JsonValueKind.String,
            Field.TextOrNull => value.ValueKind is JsonValueKind.Null or JsonValueKind.String,
            Field.Bool => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
            Field.Time => value.ValueKind == JsonValueKind.String && Naive().IsMatch(value.GetString()!),
            Field.Ints => value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(v => Is(v, Field.Int)),
            Field.Texts => value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(v => Is(v, Field.Text)),
            Field.Objects => value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(v => v.ValueKind == JsonValueKind.Object),
            Field.Object => value.ValueKind == JsonValueKind.Object,
            _ => value.ValueKind == JsonValueKind.Null,
        };

    [GeneratedRegex(@"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\z", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Naive();
}
