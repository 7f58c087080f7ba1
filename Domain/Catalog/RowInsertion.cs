using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Storage;

namespace Librarian.Domain.Catalog;

/// <summary>
/// Inserts many rows with one statement per thousand. On SQLite the change tracker sends them one by one and reads back a generated id for
/// each, which for hundreds of small files costs more than copying them. Columns, converters and types come from the model, so both ways
/// store the same row.
/// </summary>
internal static class RowInsertion
{
    private const int RowsPerStatement = 1000;

    /// <summary>Inserts rows as <c>SaveChanges</c> would, but does not read generated ids back, and tracks nothing.</summary>
    /// <exception cref="System.Data.Common.DbException">The database's error, including unique violations.</exception>
    public static async Task InsertRowsAsync<T>(this CatalogContext db, IEnumerable<T> rows, CancellationToken cancellationToken)
        where T : class
    {
        var isSqlite = db.Database.IsSqlite();
        var type = db.Model.FindEntityType(typeof(T))!;
        var columns = Columns(type);
        var sql = Statement(db, type, columns, isSqlite);
        foreach (var part in rows.Chunk(RowsPerStatement))
        {
            var json = Json(part, columns, isSqlite);
            await db.Database.ExecuteSqlRawAsync(sql, [json], cancellationToken);
        }
    }

    private static List<Column> Columns(IEntityType type)
    {
        var table = StoreObjectIdentifier.Create(type, StoreObjectType.Table)!.Value;
        return
        [
            .. type.GetProperties()
                .Where(p => p.ValueGenerated == ValueGenerated.Never || !p.IsPrimaryKey())
                .Select(p => new Column(p, p.GetColumnName(table)!, WithoutLength(p.GetColumnType(table)), p.GetTypeMapping().Converter)),
        ];
    }

    // A cast to a type with a length truncates silently; the insert itself refuses a value that is too long.
    private static string WithoutLength(string storeType) =>
        storeType.StartsWith("character varying", StringComparison.Ordinal) ? "text" : storeType;

    private static string Statement(CatalogContext db, IEntityType type, List<Column> columns, bool isSqlite)
    {
        var quote = db.GetService<ISqlGenerationHelper>();
        var names = string.Join(", ", columns.Select(c => quote.DelimitIdentifier(c.Name)));
        var into = $"insert into {quote.DelimitIdentifier(type.GetTableName()!)} ({names})";
        var values = string.Join(
            ", ",
            columns.Select(
                (c, i) =>
                {
                    var value = string.Create(CultureInfo.InvariantCulture, $"e.value->>{i}");
                    return isSqlite ? value : $"({value})::{c.StoreType}";
                }
            )
        );
        return isSqlite
            ? $"{into} select {values} from json_each({{0}}) as e"
            : $"{into} select {values} from json_array_elements({{0}}::json) as e(value)";
    }

    private static string Json<T>(T[] rows, List<Column> columns, bool isSqlite)
        where T : class
    {
        var buffer = new ArrayBufferWriter<byte>(rows.Length * 256);
        // Names are not escaped: an escape above U+007F is an error in a PostgreSQL database that is not UTF-8.
        using (
            var json = new Utf8JsonWriter(
                buffer,
                new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }
            )
        )
        {
            json.WriteStartArray();
            foreach (var row in rows)
            {
                json.WriteStartArray();
                foreach (var column in columns)
                    Write(json, column.ValueOf(row), isSqlite);
                json.WriteEndArray();
            }

            json.WriteEndArray();
        }

        return System.Text.Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>Writes a value as the provider would store it.</summary>
    private static void Write(Utf8JsonWriter json, object? value, bool isSqlite)
    {
        switch (value)
        {
            case null:
                json.WriteNullValue();
                break;
            case string text:
                json.WriteStringValue(text);
                break;
            case bool flag when isSqlite:
                json.WriteNumberValue(flag ? 1 : 0);
                break;
            case bool flag:
                json.WriteBooleanValue(flag);
                break;
            case int or long:
                json.WriteNumberValue(Convert.ToInt64(value, CultureInfo.InvariantCulture));
                break;
            case Guid id:
                json.WriteStringValue(isSqlite ? id.ToString("D").ToUpperInvariant() : id.ToString("D"));
                break;
            case DateTime time when isSqlite:
                json.WriteStringValue(time.ToString(@"yyyy\-MM\-dd HH\:mm\:ss.FFFFFFF", CultureInfo.InvariantCulture));
                break;
            case DateTime time:
                json.WriteStringValue(time.ToString("O", CultureInfo.InvariantCulture));
                break;
            default:
                throw new NotSupportedException($"No rows with {value.GetType().Name} are inserted in bulk.");
        }
    }

    private sealed record Column(
        IProperty Property,
        string Name,
        string StoreType,
        Microsoft.EntityFrameworkCore.Storage.ValueConversion.ValueConverter? Converter
    )
    {
        public object? ValueOf(object row)
        {
            var value = Property.PropertyInfo!.GetValue(row);
            return Converter is null || value is null ? value : Converter.ConvertToProvider(value);
        }
    }
}
