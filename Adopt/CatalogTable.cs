using System.Buffers.Binary;
using System.IO.Hashing;
using System.Reflection;
using System.Text;
using Librarian.Domain.Catalog;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;
using Npgsql;
using NpgsqlTypes;

namespace Librarian.Adopt;

/// <summary>
/// Writes many rows of one table at once: COPY on PostgreSQL, one prepared statement on SQLite. Columns and conversions come from the
/// catalog's model, so the site reads what was written.
/// </summary>
internal sealed class CatalogTable<T>
    where T : class
{
    private readonly CatalogContext _db;
    private readonly Column[] _columns;
    private readonly int[] _identity;

    /// <param name="db">The catalog, in a transaction.</param>
    /// <param name="identity">Properties that decide whether two rows with one key are the same thing.</param>
    public CatalogTable(CatalogContext db, params string[] identity)
    {
        _db = db;
        var type = db.Model.FindEntityType(typeof(T))!;
        Name = type.GetTableName()!;
        _columns = [.. type.GetProperties().Select(p => new Column(p))];
        _identity = [.. identity.Select(name => Array.FindIndex(_columns, c => c.Property == name))];
        if (_identity.Contains(-1))
            throw new ArgumentException($"{type.Name} lacks one of {string.Join(", ", identity)}.", nameof(identity));
    }

    public string Name { get; }

    /// <summary>The row as the database stores it: one value per column.</summary>
    public object?[] Values(T row) => Array.ConvertAll(_columns, c => c.Value(row));

    /// <summary>The values of a row that identify it, and do not change later.</summary>
    public object?[] Identity(T row) => Array.ConvertAll(_identity, i => _columns[i].Value(row));

    /// <summary>Number of rows in the table.</summary>
    public Task<long> CountAsync(CancellationToken cancellationToken) => _db.Set<T>().LongCountAsync(cancellationToken);

    public Task InsertAsync(IEnumerable<T> rows, CancellationToken cancellationToken) =>
        InsertAsync([.. rows.Select(Values)], cancellationToken);

    /// <summary>Adds rows that <see cref="Values"/> has made.</summary>
    public async Task InsertAsync(IReadOnlyList<object?[]> rows, CancellationToken cancellationToken)
    {
        if (rows.Count == 0)
            return;
        if (_db.Database.GetDbConnection() is NpgsqlConnection postgres)
            await CopyAsync(postgres, rows, cancellationToken);
        else
            await ExecuteAsync((SqliteConnection)_db.Database.GetDbConnection(), rows, cancellationToken);
    }

    public static UInt128 Hash(object?[] values)
    {
        var hash = new XxHash128();
        Span<byte> number = stackalloc byte[8];
        foreach (var entry in values)
        {
            // A type mark and the length of each text distinguish adjacent values.
            switch (entry)
            {
                case null:
                    hash.Append("n"u8);
                    break;
                case string text:
                    var bytes = Encoding.UTF8.GetBytes(text);
                    BinaryPrimitives.WriteInt64LittleEndian(number, bytes.Length);
                    hash.Append("t"u8);
                    hash.Append(number);
                    hash.Append(bytes);
                    break;
                case var value:
                    BinaryPrimitives.WriteInt64LittleEndian(
                        number,
                        value switch
                        {
                            long l => l,
                            int i => i,
                            bool b => b ? 1 : 0,
                            double d => BitConverter.DoubleToInt64Bits(d),
                            DateTime t => t.Ticks,
                            _ => throw new InvalidOperationException($"No hash for {value.GetType().Name}."),
                        }
                    );
                    hash.Append("v"u8);
                    hash.Append(number);
                    break;
            }
        }

        return hash.GetCurrentHashAsUInt128();
    }

    private async Task CopyAsync(NpgsqlConnection connection, IReadOnlyList<object?[]> rows, CancellationToken cancellationToken)
    {
        await using var copy = await connection.BeginBinaryImportAsync(
            $"COPY {Name} ({Names}) FROM STDIN (FORMAT BINARY)",
            cancellationToken
        );
        foreach (var row in rows)
        {
            await copy.StartRowAsync(cancellationToken);
            foreach (var value in row)
            {
                if (value is not null)
                    await copy.WriteAsync(value, TypeOf(value), cancellationToken);
                else
                    await copy.WriteNullAsync(cancellationToken);
            }
        }

        await copy.CompleteAsync(cancellationToken);
    }

    private async Task ExecuteAsync(SqliteConnection connection, IReadOnlyList<object?[]> rows, CancellationToken cancellationToken)
    {
        await using var insert = connection.CreateCommand();
        insert.Transaction = (SqliteTransaction?)_db.Database.CurrentTransaction?.GetDbTransaction();
        insert.CommandText = $"INSERT INTO {Name} ({Names}) VALUES ({string.Join(", ", _columns.Select((_, i) => $"$c{i}"))})";
        var parameters = _columns.Select((_, i) => insert.Parameters.Add(new SqliteParameter($"$c{i}", null))).ToList();
        foreach (var row in rows)
        {
            for (var i = 0; i < _columns.Length; i++)
                parameters[i].Value = row[i] ?? DBNull.Value;
            await insert.ExecuteNonQueryAsync(cancellationToken);
        }
    }

    private string Names => string.Join(", ", _columns.Select(c => $"\"{c.Name}\""));

    private static NpgsqlDbType TypeOf(object value) =>
        value switch
        {
            string => NpgsqlDbType.Text,
            long => NpgsqlDbType.Bigint,
            int => NpgsqlDbType.Integer,
            bool => NpgsqlDbType.Boolean,
            double => NpgsqlDbType.Double,
            DateTime => NpgsqlDbType.TimestampTz,
            _ => throw new InvalidOperationException(
                $"The catalog has a column of type {value.GetType().Name}, which the adoption does not write yet."
            ),
        };

    private sealed class Column
    {
        private readonly PropertyInfo _member;
        private readonly ValueConverter? _converter;

        public Column(IProperty property)
        {
            Property = property.Name;
            Name = property.GetColumnName();
            _member = property.PropertyInfo ?? throw new InvalidOperationException($"{property.Name} is not a property of its class.");
            _converter = property.GetTypeMapping().Converter;
        }

        public string Property { get; }

        public string Name { get; }

        public object? Value(T row) =>
            _member.GetValue(row) is { } value
                ? _converter is null
                    ? value
                    : _converter.ConvertToProvider(value)
                : null;
    }
}
