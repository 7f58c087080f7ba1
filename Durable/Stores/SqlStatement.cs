using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Librarian.Durable.Stores;

internal enum SqlKind
{
    Text,
    Integer,

    /// <summary>A JSON array of objects, read as rows by <see cref="DurableStore.Rows"/>.</summary>
    Rows,

    /// <summary>A JSON object.</summary>
    Json,
    TextList,
    IntegerList,
}

internal readonly record struct SqlValue(string Name, object? Value, SqlKind Kind);

/// <summary>
/// One statement with its parameters and, if it depends on ownership, the number of rows that it must hit
/// (docs/spec/durable-engine.md#r2-ownership-fence).
/// </summary>
internal sealed partial class SqlStatement(string text)
{
    /// <summary>Name of the parameter that holds <see cref="ExpectedRows"/> if the database checks it.</summary>
    public const string ExpectedRowsName = "expected_rows";

    public string Text { get; } = text;

    public List<SqlValue> Values { get; } = [];

    public int? ExpectedRows { get; private set; }

    public SqlStatement With(string name, string? value) => Add(name, value, SqlKind.Text);

    public SqlStatement With(string name, long? value) => Add(name, value, SqlKind.Integer);

    public SqlStatement With(string name, IReadOnlyCollection<string> values) => Add(name, values, SqlKind.TextList);

    public SqlStatement With(string name, IReadOnlyCollection<long> values) => Add(name, values, SqlKind.IntegerList);

    public SqlStatement WithJson(string name, string? json) => Add(name, json, SqlKind.Json);

    public SqlStatement WithRows<T>(string name, IEnumerable<T> rows, Action<Utf8JsonWriter, T> write)
    {
        using var buffer = new MemoryStream();
        using (
            var writer = new Utf8JsonWriter(
                buffer,
                new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true }
            )
        )
        {
            writer.WriteStartArray();
            foreach (var row in rows)
            {
                writer.WriteStartObject();
                write(writer, row);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
        }

        return Add(name, Unescaped(Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length)), SqlKind.Rows);
    }

    public SqlStatement Expect(int rows)
    {
        ExpectedRows = rows;
        return this;
    }

    /// <summary>
    /// JSON with its characters unescaped. Even the relaxed encoder escapes characters beyond the basic plane, and PostgreSQL reads such an
    /// escape only if it can convert it: not in a database whose encoding is SQL_ASCII, which accepts the characters themselves.
    /// </summary>
    public static string Unescaped(string json) =>
        !json.Contains("\\uD", StringComparison.Ordinal)
            ? json
            : Escape.Replace(json, static escape =>
                escape.Groups["high"].Success
                    ? new string([
                        (char)ushort.Parse(escape.Groups["high"].ValueSpan, NumberStyles.HexNumber, CultureInfo.InvariantCulture),
                        (char)ushort.Parse(escape.Groups["low"].ValueSpan, NumberStyles.HexNumber, CultureInfo.InvariantCulture),
                    ])
                    : escape.Value
            );

    // Matches any escape, so that an escaped backslash is not mistaken for the start of another escape.
    [GeneratedRegex(
        @"\\(?:u(?<high>D[89AB][0-9A-F]{2})\\u(?<low>D[C-F][0-9A-F]{2})|.)",
        RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture,
        matchTimeoutMilliseconds: 10_000
    )]
    private static partial Regex Escape { get; }

    private SqlStatement Add(string name, object? value, SqlKind kind)
    {
        Values.Add(new(name, value, kind));
        return this;
    }
}
