using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

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
internal sealed class SqlStatement(string text)
{
    /// <summary>Name of the parameter that holds <see cref="ExpectedRows"/> where the database checks it.</summary>
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

        return Add(name, Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length), SqlKind.Rows);
    }

    public SqlStatement Expect(int rows)
    {
        ExpectedRows = rows;
        return this;
    }

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
