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

/// <summary>One statement with its parameters and, where ownership depends on it, the number of rows it must hit (rule R2).</summary>
internal sealed partial class SqlStatement(string text)
{
    /// <summary>Name of the parameter that holds <see cref="ExpectedRows"/> where the database checks it.</summary>
    public const string ExpectedRowsName = "expected_rows";

    public string Text { get; } = text;

    public List<SqlValue> Values { get; } = [];

    public int? ExpectedRows { get; private set; }

    /// <summary>The number of rows may be looked at when the statement, and with it the transaction, is through.</summary>
    public bool IsAllOrNone { get; private set; }

    public SqlStatement With(string name, string? value) => Add(name, value, SqlKind.Text);

    public SqlStatement With(string name, long? value) => Add(name, value, SqlKind.Integer);

    public SqlStatement With(string name, IReadOnlyCollection<string> values) => Add(name, values, SqlKind.TextList);

    public SqlStatement With(string name, IReadOnlyCollection<long> values) => Add(name, values, SqlKind.IntegerList);

    public SqlStatement WithJson(string name, string? json) => Add(name, json, SqlKind.Json);

    public SqlStatement WithRows<T>(string name, IEnumerable<T> rows, Action<Utf8JsonWriter, T> write)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true }))
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

    /// <summary>As above for a statement that hits all these rows or none, and is the last of its transaction: when it misses, there is nothing that it must undo.</summary>
    public SqlStatement ExpectAllOrNone(int rows)
    {
        IsAllOrNone = true;
        return Expect(rows);
    }

    /// <summary>
    /// JSON with its characters as they are. Even the relaxed encoder escapes those beyond the basic plane, and PostgreSQL reads such an escape only where it
    /// can convert it: not in a database whose encoding is SQL_ASCII, which takes the characters themselves.
    /// </summary>
    public static string Unescaped(string json) => !json.Contains("\\uD", StringComparison.Ordinal) ? json : Escape.Replace(json, static escape => escape.Groups["high"].Success
        ? new string([(char)ushort.Parse(escape.Groups["high"].ValueSpan, NumberStyles.HexNumber, CultureInfo.InvariantCulture), (char)ushort.Parse(escape.Groups["low"].ValueSpan, NumberStyles.HexNumber, CultureInfo.InvariantCulture)])
        : escape.Value);

    // Any escape, so that an escaped backslash does not pass for the beginning of one.
    [GeneratedRegex(@"\\(?:u(?<high>D[89AB][0-9A-F]{2})\\u(?<low>D[C-F][0-9A-F]{2})|.)", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 10_000)]
    private static partial Regex Escape { get; }

    private SqlStatement Add(string name, object? value, SqlKind kind)
    {
        Values.Add(new(name, value, kind));
        return this;
    }
}

/// <summary>A write depended on ownership that is gone: somebody else owns the row, or it was replaced. The transaction was rolled back.</summary>
internal sealed class FenceException(string message, Exception? cause = null) : Exception("Ownership lost: " + message, cause)
{
    /// <summary>A statement hit another number of rows than ownership requires (rule R2).</summary>
    public static FenceException RowsMissed(SqlStatement statement, string hit, Exception? cause = null) =>
        new($"a statement should have hit {statement.ExpectedRows} rows and hit {hit}: {statement.Text}", cause);

    /// <summary>The history already has rows at these positions: another turn of the same execution was committed.</summary>
    public static FenceException HistoryTaken(Exception cause) => new("the history has moved on", cause);
}
