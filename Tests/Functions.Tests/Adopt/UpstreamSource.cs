using System.Data.Common;
using System.Globalization;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Librarian.Tests.Functions.Adopt;

/// <summary>Which release of the Python Librarian made the tables.</summary>
public enum Revision
{
    /// <summary>Version 2.0: no queue, no switch per librarian, no list of corrupt files, no remembered checksums.</summary>
    Initial,

    /// <summary>Version 5.0.1.</summary>
    Head,
}

/// <summary>
/// A database as a Python Librarian leaves it: enums by member name (types of their own on PostgreSQL), naive UTC times, pickled columns
/// that nobody may read, nothing that keeps rows consistent.
/// </summary>
public sealed class UpstreamSource : IAsyncDisposable
{
    /// <summary>New connections learn the server's types; on a busy machine that may take longer than the usual 15 s.</summary>
    public const string ConnectionTimeouts = ";Timeout=300;Command Timeout=300";

    private readonly DatabaseKind _kind;
    private readonly DbConnection _connection;

    private UpstreamSource(DatabaseKind kind, string connectionString, DbConnection connection)
    {
        _kind = kind;
        ConnectionString = connectionString;
        _connection = connection;
    }

    public string ConnectionString { get; }

    public bool IsPostgres => _kind == DatabaseKind.PostgreSql;

    public static async Task<UpstreamSource> CreateAsync(
        DatabaseKind kind,
        PostgresServer server,
        string directory,
        Revision revision = Revision.Head
    )
    {
        var text =
            kind == DatabaseKind.PostgreSql
                ? await server.CreateDatabaseAsync() + ConnectionTimeouts
                : $"Data Source={Path.Combine(directory, "librarian.db")}";
        DbConnection connection =
            kind == DatabaseKind.PostgreSql ? new NpgsqlConnection(text + ";Pooling=false") : new SqliteConnection(text + ";Pooling=False");
        await connection.OpenAsync();
        var source = new UpstreamSource(kind, text, connection);
        await source.ExecuteAsync(source.Schema(revision == Revision.Head));
        return source;
    }

    /// <summary>Runs SQL that both engines understand; <c>{blob}</c> is a pickle that must never be opened.</summary>
    public async Task ExecuteAsync(string sql)
    {
        await using var command = _connection.CreateCommand();
        command.CommandText = sql.Replace("{blob}", IsPostgres ? "'\\x80059500'" : "X'80059500'", StringComparison.Ordinal);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>
    /// The usual site: store <c>main</c> as 3, an administrator whose password is <c>password</c>, and the peer <c>archive</c> as 4.
    /// </summary>
    public Task AddSiteAsync(string authenticator) =>
        ExecuteAsync(
            $"""
            INSERT INTO store_metadata (id, name, ingestable, store_type, store_data, transfer_manager_data) VALUES
              (3, 'main', true, 1, {"{blob}"}, {"{blob}"});
            INSERT INTO users (username, auth_token, auth_level) VALUES
              ('admin', '{AdoptFixture.PasswordHash}', 'ADMIN'), ('archive', '{AdoptFixture.PasswordHash}', 'CALLBACK'),
              ('mountain', '{AdoptFixture.PasswordHash}', 'READAPPEND');
            INSERT INTO librarians (id, name, url, port, authenticator, last_seen, last_heard) VALUES
              (4, 'archive', 'http://127.0.0.1', 1, '{authenticator}', '2025-01-01 00:00:00', '2025-01-01 00:00:00');
            """
        );

    /// <summary>Files with a copy each on store 3 and one at librarian 4, in statements of a thousand rows.</summary>
    public async Task AddFilesAsync(int first, int count, string storePath)
    {
        await ExecuteAsync("BEGIN");
        for (var begin = first; begin < first + count; begin += 1000)
        {
            var (files, copies, remotes) = (new StringBuilder(), new StringBuilder(), new StringBuilder());
            for (var i = begin; i < Math.Min(begin + 1000, first + count); i++)
            {
                var comma = i == begin ? "" : ",";
                // Names are not in the order of ids, as at a site that takes from several telescopes.
                var name = $"obs/{(i * 7919L) % 1_000_003:0000000}/{i}";
                files.Append(
                    CultureInfo.InvariantCulture,
                    $"{comma}('{name}','2025-01-02 03:04:05.{i % 1_000_000:000000}',{i},'xxh3:::{i:x32}','mountain','mountain')"
                );
                copies.Append(
                    CultureInfo.InvariantCulture,
                    $"{comma}({i},'{storePath}/{name}','{name}',3,'DISALLOWED','2025-01-02 03:04:06',true)"
                );
                remotes.Append(CultureInfo.InvariantCulture, $"{comma}({i},'{name}',2,4,'2025-01-03 00:00:00','testsite')");
            }

            await ExecuteAsync($"INSERT INTO files (name, create_time, size, checksum, uploader, source) VALUES {files}");
            await ExecuteAsync(
                $"INSERT INTO instances (id, path, file_name, store_id, deletion_policy, created_time, available) VALUES {copies}"
            );
            await ExecuteAsync($"INSERT INTO remote_instances (id, file_name, store_id, librarian_id, copy_time, sender) VALUES {remotes}");
        }

        await ExecuteAsync("COMMIT");
    }

    public async ValueTask DisposeAsync() => await _connection.DisposeAsync();

    private string Schema(bool head)
    {
        var (time, blob, real) = IsPostgres ? ("TIMESTAMP", "BYTEA", "DOUBLE PRECISION") : ("DATETIME", "BLOB", "FLOAT");
        var id = IsPostgres ? "id SERIAL PRIMARY KEY" : "id INTEGER NOT NULL PRIMARY KEY";
        string Enum(string name) => IsPostgres ? name : "VARCHAR(28)";
        string New(string columns) => head ? columns : "";
        var types = !IsPostgres
            ? ""
            : """
                CREATE TYPE transferstatus AS ENUM ('INITIATED','ONGOING','STAGED','COMPLETED','FAILED','CANCELLED');
                CREATE TYPE deletionpolicy AS ENUM ('DISALLOWED','ALLOWED');
                CREATE TYPE authlevel AS ENUM ('NONE','READONLY','CALLBACK','READAPPEND','READWRITE','ADMIN');
                CREATE TYPE errorseverity AS ENUM ('CRITICAL','ERROR','WARNING','INFO');
                CREATE TYPE errorcategory AS ENUM ('DATA_INTEGRITY','DATA_AVAILABILITY','CONFIGURATION','STORE_FULL','PROGRAMMING',
                  'LIBRARIAN_NETWORK_AVAILABILITY','TRANSFER');
                """;
        var newTables = New(
            $"""
            CREATE TABLE send_queue ({id}, priority INTEGER NOT NULL, created_time {time} NOT NULL, retries INTEGER NOT NULL,
              destination VARCHAR(256) NOT NULL, async_transfer_manager {blob},
              consumed BOOLEAN DEFAULT false, consumed_time {time}, completed BOOLEAN DEFAULT false, completed_time {time},
              failed BOOLEAN DEFAULT false);
            CREATE TABLE completed_transfers (id INTEGER NOT NULL PRIMARY KEY, task_id VARCHAR(256) NOT NULL UNIQUE,
              source_endpoint_id VARCHAR(256) NOT NULL, destination_endpoint_id VARCHAR(256) NOT NULL,
              start_time {time} NOT NULL, end_time {time} NOT NULL, duration_seconds {real} NOT NULL, bytes_transferred BIGINT NOT NULL,
              effective_bandwidth_bps {real} NOT NULL);
            CREATE TABLE corrupt_files ({id}, file_name VARCHAR(256) NOT NULL, file_source VARCHAR(256) NOT NULL,
              instance_id INTEGER NOT NULL, instance_path VARCHAR(256) NOT NULL, corrupt_time {time} NOT NULL,
              size BIGINT NOT NULL, checksum VARCHAR(256) NOT NULL, count INTEGER NOT NULL,
              replacement_requested BOOLEAN NOT NULL DEFAULT false, incoming_transfer_id INTEGER);
            """
        );
        return $"""
            {types}
            CREATE TABLE files (name VARCHAR(256) NOT NULL PRIMARY KEY, create_time {time}, size BIGINT, checksum VARCHAR(256),
              uploader VARCHAR(256), source VARCHAR(256));
            CREATE TABLE store_metadata ({id}, name VARCHAR(256) NOT NULL UNIQUE,
              ingestable BOOLEAN NOT NULL DEFAULT true{New(", enabled BOOLEAN NOT NULL DEFAULT true")},
              store_type INTEGER NOT NULL, store_data {blob}, transfer_manager_data {blob}{New($", async_transfer_manager_data {blob}")});
            CREATE TABLE librarians ({id}, name VARCHAR(256) NOT NULL UNIQUE, url VARCHAR(256) NOT NULL, port INTEGER NOT NULL,
              authenticator VARCHAR(256) NOT NULL,
              {New("transfers_enabled BOOLEAN,")} last_seen {time} NOT NULL, last_heard {time} NOT NULL);
            CREATE TABLE users (username VARCHAR(256) NOT NULL PRIMARY KEY, auth_token VARCHAR(256), auth_level {Enum("authlevel")});
            CREATE TABLE instances ({id}, path VARCHAR(256) NOT NULL, file_name VARCHAR(256), store_id INTEGER,
              deletion_policy {Enum("deletionpolicy")} NOT NULL, created_time {time} NOT NULL,
              available BOOLEAN NOT NULL{New($", calculated_checksum VARCHAR(256), calculated_size BIGINT, checksum_time {time}")});
            CREATE TABLE remote_instances ({id}, file_name VARCHAR(256), store_id INTEGER NOT NULL, librarian_id INTEGER NOT NULL,
              copy_time {time} NOT NULL, sender VARCHAR(256) NOT NULL);
            CREATE TABLE incoming_transfers ({id}, status {Enum("transferstatus")}, uploader VARCHAR(256),
              upload_name VARCHAR(256) NOT NULL, source VARCHAR(256) NOT NULL, transfer_size BIGINT NOT NULL,
              transfer_checksum VARCHAR(256) NOT NULL, store_id INTEGER, transfer_manager_name VARCHAR(256), start_time {time} NOT NULL,
              end_time {time}, staging_path VARCHAR(256), store_path VARCHAR(256),
              transfer_data {blob}{New(", source_transfer_id INTEGER")});
            CREATE TABLE outgoing_transfers ({id}, status {Enum("transferstatus")}, destination VARCHAR(256) NOT NULL,
              transfer_size BIGINT NOT NULL, transfer_checksum VARCHAR(256) NOT NULL,
              start_time {time} NOT NULL, end_time {time}, instance_id INTEGER NOT NULL, remote_transfer_id INTEGER,
              transfer_manager_name VARCHAR(256), transfer_data {blob}
              {New(", file_name VARCHAR(256), send_queue_id INTEGER, source_path VARCHAR(256), dest_path VARCHAR(256)")});
            CREATE TABLE clone_transfers ({id}, status {Enum("transferstatus")}, start_time {time} NOT NULL, end_time {time},
              source_store_id INTEGER NOT NULL, destination_store_id INTEGER NOT NULL,
              transfer_manager_name VARCHAR(256), source_instance_id INTEGER NOT NULL, destination_instance_id INTEGER);
            CREATE TABLE errors ({id}, severity {Enum("errorseverity")} NOT NULL, category {Enum("errorcategory")} NOT NULL,
              message VARCHAR NOT NULL, raised_time {time} NOT NULL, cleared_time {time},
              cleared BOOLEAN NOT NULL, caller VARCHAR(256));
            CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
            {newTables}
            """;
    }
}
