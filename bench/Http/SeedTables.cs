using Microsoft.Data.Sqlite;
using Npgsql;
using NpgsqlTypes;

namespace Librarian.Bench.Http;

/// <summary>The rows of the seeded files in one table of the catalog, and two ways to write a million of them.</summary>
internal sealed record SeedTable(string Name, (string Column, NpgsqlDbType Type)[] Columns, Func<SeedFile, object?[]> Row)
{
    private const int RowsPerTransaction = 50_000;

    private string ColumnList => string.Join(", ", Columns.Select(c => $"\"{c.Column}\""));

    public async Task CopyAsync(NpgsqlConnection connection, IEnumerable<SeedFile> files)
    {
        await using var import = await connection.BeginBinaryImportAsync($"copy {Name} ({ColumnList}) from stdin (format binary)");
        foreach (var file in files)
        {
            await import.StartRowAsync();
            var values = Row(file);
            for (var i = 0; i < values.Length; i++)
            {
                if (values[i] is { } value)
                    await import.WriteAsync(value, Columns[i].Type);
                else
                    await import.WriteNullAsync();
            }
        }

        await import.CompleteAsync();
    }

    public async Task InsertAsync(SqliteConnection connection, IEnumerable<SeedFile> files)
    {
        await using var insert = connection.CreateCommand();
        insert.CommandText = $"insert into {Name} ({ColumnList}) values ({string.Join(", ", Columns.Select(c => "@" + c.Column))})";
        foreach (var (column, _) in Columns)
            insert.Parameters.Add(new SqliteParameter { ParameterName = "@" + column });
        foreach (var chunk in files.Chunk(RowsPerTransaction))
        {
            await using var transaction = connection.BeginTransaction();
            insert.Transaction = transaction;
            foreach (var file in chunk)
            {
                var values = Row(file);
                for (var i = 0; i < values.Length; i++)
                    insert.Parameters[i].Value = values[i] ?? DBNull.Value;
                await insert.ExecuteNonQueryAsync();
            }

            await transaction.CommitAsync();
        }
    }
}

/// <summary>The tables that hold rows of a file, in the order of the foreign keys.</summary>
internal static class SeedTables
{
    private const NpgsqlDbType Text = NpgsqlDbType.Text;
    private const NpgsqlDbType Number = NpgsqlDbType.Bigint;
    private const NpgsqlDbType Time = NpgsqlDbType.TimestampTz;
    private const NpgsqlDbType Flag = NpgsqlDbType.Boolean;

    public static IEnumerable<SeedTable> All(string store) =>
        [
            new(
                "files",
                [("name", Text), ("create_time", Time), ("size", Number), ("checksum", Text), ("uploader", Text), ("source", Text)],
                f => [f.Name, f.Time, f.Size, f.Checksum, f.Uploader, f.Source]
            ),
            new(
                "instances",
                [
                    ("id", Number),
                    ("path", Text),
                    ("file_name", Text),
                    ("store_id", Number),
                    ("deletion_policy", Text),
                    ("created_time", Time),
                    ("available", Flag),
                    ("calculated_checksum", Text),
                    ("calculated_size", Number),
                    ("checksum_time", Time),
                ],
                f => [f.Number + 1L, $"{store}/{f.Name}", f.Name, 1L, "DISALLOWED", f.Time, true, f.Checksum, f.Size, f.Time.AddHours(1)]
            ),
            new(
                "remote_instances",
                [("file_name", Text), ("store_id", Number), ("librarian_id", Number), ("copy_time", Time), ("sender", Text)],
                f => [f.Name, 1L, 1L, f.Time.AddMinutes(10), "bench"]
            ),
            new(
                "incoming_transfers",
                [
                    ("status", Text),
                    ("uploader", Text),
                    ("upload_name", Text),
                    ("source", Text),
                    ("transfer_size", Number),
                    ("transfer_checksum", Text),
                    ("store_id", Number),
                    ("transfer_manager_name", Text),
                    ("start_time", Time),
                    ("end_time", Time),
                    ("staging_path", Text),
                    ("store_path", Text),
                    ("placing", Flag),
                ],
                f =>
                    [
                        "COMPLETED",
                        f.Uploader,
                        f.Name[(f.Name.LastIndexOf('/') + 1)..],
                        f.Source,
                        f.Size,
                        f.Checksum,
                        1L,
                        "local",
                        f.Time.AddSeconds(-5),
                        f.Time,
                        new Guid(f.Number, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1).ToString("D"),
                        f.Name,
                        false,
                    ]
            ),
            new(
                "outgoing_transfers",
                [
                    ("status", Text),
                    ("destination", Text),
                    ("transfer_size", Number),
                    ("transfer_checksum", Text),
                    ("start_time", Time),
                    ("end_time", Time),
                    ("file_name", Text),
                    ("instance_id", Number),
                    ("remote_transfer_id", Number),
                    ("transfer_manager_name", Text),
                    ("source_path", Text),
                    ("dest_path", Text),
                ],
                f =>
                    [
                        "COMPLETED",
                        SeedFile.PeerName,
                        f.Size,
                        f.Checksum,
                        f.Time.AddMinutes(1),
                        f.Time.AddMinutes(10),
                        f.Name,
                        f.Number + 1L,
                        f.Number + 1L,
                        "local",
                        $"{store}/{f.Name}",
                        $"/archive/staging/{f.Name}",
                    ]
            ),
        ];
}
