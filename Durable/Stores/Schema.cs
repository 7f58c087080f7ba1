namespace Librarian.Durable.Stores;

/// <summary>
/// The dt_ tables (docs/spec/durable-engine.md#tables). There are no foreign keys: different transactions write parents, children and
/// messages in a fixed table order, and key locks would add deadlocks without adding safety. All times are epoch milliseconds of the
/// database clock. execution_id starts at the creation time, so an instance that replaces another with the same id never shares operation
/// ids with it; claims start there too, so an old fencing token never matches a new row.
/// </summary>
internal static class Schema
{
    /// <summary>
    /// Increase it with every change of <see cref="Statements"/>: they run only on tables of another version. On PostgreSQL even "create
    /// index if not exists" waits for every open transaction that writes to the table, and all later transactions wait behind it. Increase
    /// it also when rows may hold something that older programs do not know, so that these refuse to start: version 3 introduced the
    /// messages of <see cref="RecoveryMarker"/>.
    /// </summary>
    public const int Version = 3;

    /// <summary>
    /// Number of deliveries without success after which an instance or an activity is suspected of killing its workers
    /// (docs/spec/durable-engine.md#r9-poison).
    /// </summary>
    public const int SuspectAfter = 3;

    public static IReadOnlyList<string> Statements(bool postgres)
    {
        var big = postgres ? "bigint" : "integer";
        var identity = postgres ? "bigint generated always as identity primary key" : "integer primary key autoincrement";
        // Queue tables are updated and deleted from all the time: keep space free in each page, and vacuum long before a fifth of the table
        // is dead.
        var churn = postgres ? " with (fillfactor=70, autovacuum_vacuum_scale_factor=0.02)" : "";
        var taskKey = $"instance_id text not null, execution_id {big} not null, task_id {big} not null";
        var notBefore = $"not_before {big} not null default 0";
        return
        [
            $"""
                create table if not exists dt_instance(
                  instance_id text primary key, execution_id {big} not null, name text not null, version text not null default '',
                  status {big} not null, input text, output text, custom_status text, failure text, tags {(postgres ? "jsonb" : "text")},
                  parent_id text, parent_name text, parent_execution {big}, parent_task {big},
                  created_at {big} not null, updated_at {big} not null, completed_at {big},
                  owner text, claim {big} not null, attempts {big} not null default 0, {notBefore},
                  claimed_at {big} not null default 0, trace_parent text){churn}
                """,
            $"""
                create table if not exists dt_history(
                  instance_id text not null, execution_id {big} not null, seq {big} not null, kind {big} not null, task_id {big} not null,
                  name text, data text, failure text, at {big} not null, message_id text,
                  primary key(instance_id, execution_id, seq))
                """,
            $"""
                create table if not exists dt_inbox(
                  id {identity}, instance_id text not null, execution_id {big}, visible_at {big} not null, kind {big} not null,
                  task_id {big} not null default -1, name text, data text, failure text, message_id text,
                  unique(instance_id, message_id)){churn}
                """,
            $"""
                create table if not exists dt_activity(
                  {taskKey}, name text not null, version text not null default '', queue text not null,
                  input text, created_at {big} not null, owner text, claim {big} not null, attempts {big} not null, {notBefore},
                  claimed_at {big} not null default 0, trace_parent text, progress text,
                  primary key(instance_id, execution_id, task_id)){churn}
                """,
            "create table if not exists dt_worker(id text primary key, node text not null, "
                + $"started_at {big} not null, lease_until {big} not null)",
            "create index if not exists dt_inbox_due on dt_inbox(visible_at, instance_id)",
            "create index if not exists dt_activity_free on dt_activity(queue, created_at) "
                + $"where owner is null and attempts < {SuspectAfter}",
            $"create index if not exists dt_activity_suspect on dt_activity(owner, queue) where attempts >= {SuspectAfter}",
            $"create index if not exists dt_instance_suspect on dt_instance(owner) where attempts >= {SuspectAfter}",
            "create index if not exists dt_activity_delayed on dt_activity(not_before) where owner is null and not_before > 0",
            "create index if not exists dt_activity_owner on dt_activity(owner) where owner is not null",
            "create index if not exists dt_instance_owner on dt_instance(owner) where owner is not null",
            "create index if not exists dt_instance_delayed on dt_instance(not_before) where not_before > 0",
            "create index if not exists dt_instance_status on dt_instance(status, created_at, instance_id)",
            "create index if not exists dt_instance_created on dt_instance(created_at, instance_id)",
            "create index if not exists dt_instance_name on dt_instance(name, created_at)",
            "create index if not exists dt_instance_parent on dt_instance(parent_id) where parent_id is not null",
            $"create table if not exists dt_schema(version {big} not null)",
            $"insert into dt_schema(version) select {Version} where not exists (select 1 from dt_schema)",
            $"update dt_schema set version = {Version} where version < {Version}",
        ];
    }

    /// <summary>True for tables of this program's version, false for older or missing ones; throws for newer ones.</summary>
    public static bool IsCurrent(long? version)
    {
        if (version > Version)
        {
            throw new InvalidOperationException(
                $"DurableSchemaTooNew: the dt_ tables have version {version}, this program knows {Version}. Nothing was changed. "
                    + "Run the newer program, or restore the backup made before the upgrade."
            );
        }

        return version == Version;
    }
}
