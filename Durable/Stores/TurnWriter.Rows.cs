using System.Globalization;
using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

internal sealed partial class TurnWriter
{
    private static readonly string[] ChildColumns = ["task_id bigint", "child_id text", "name text", "version text", "input text"];

    private static readonly string[] ActivityColumns =
    [
        "task_id bigint",
        "name text",
        "version text",
        "queue text",
        "input text",
        "owner text",
        "claim bigint",
        "attempts bigint",
    ];

    private static readonly string[] TypedHistoryColumns =
    [
        "seq bigint",
        "kind bigint",
        "task_id bigint",
        "name text",
        "data text",
        "failure text",
        "at bigint",
        "message_id text",
    ];

    // An instance's time never goes back. If it is ahead of the database clock, because that clock was set back, a timer keeps its
    // duration.
    private readonly string _insertTimers = $"""
        insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id)
        select @i, @e, r.fire_at - case when @turn > {store.Now} + @tolerance then @turn - {store.Now} else 0 end,
          {(int)EventKind.TimerFired}, r.task_id from {store.Rows("@rows", "task_id bigint", "fire_at bigint")}
        """;

    private readonly string _insertActivities = InsertActivities(store);

    private readonly string _insertLateActivities = $"""
        {InsertActivities(store)}
        where not exists (select 1 from dt_inbox b where b.instance_id = @i and b.execution_id = @e and b.task_id = r.task_id
          and b.kind in ({(int)EventKind.TaskCompleted}, {(int)EventKind.TaskFailed}))
        on conflict (instance_id, execution_id, task_id) do nothing
        """;

    private static string InsertActivities(DurableStore store) =>
        $"""
            insert into dt_activity(
              instance_id, execution_id, task_id, name, version, queue, input, created_at, owner, claim, attempts, trace_parent)
            select @i, @e, r.task_id, r.name, r.version, r.queue, r.input, {store.Now}, r.owner, r.claim, r.attempts, @trace
            from {store.Rows("@rows", ActivityColumns)}
            """;

    private readonly string _insertHistory = $"""
        insert into dt_history(instance_id, execution_id, seq, kind, task_id, name, data, failure, at, message_id)
        select @i, @e, r.seq, r.kind, r.task_id, r.name, r.data, r.failure, r.at, r.message_id
        from {store.Rows("@rows", TypedHistoryColumns)}
        """;

    private const int FewRows = 6;

    private static readonly string[] HistoryColumns = ["seq", "kind", "task_id", "name", "data", "failure", "at", "message_id"];

    private static readonly string[][] FewHistoryNames =
    [
        .. Enumerable
            .Range(0, FewRows)
            .Select(row => HistoryColumns.Select(column => string.Create(CultureInfo.InvariantCulture, $"{column}_{row}")).ToArray()),
    ];

    private static readonly string[] FewHistoryTexts =
    [
        .. Enumerable
            .Range(0, FewRows + 1)
            .Select(rows =>
                $"insert into dt_history(instance_id, execution_id, {string.Join(", ", HistoryColumns)}) values "
                + string.Join(
                    ", ",
                    FewHistoryNames.Take(rows).Select(names => $"(@i, @e, {string.Join(", ", names.Select(name => "@" + name))})")
                )
            ),
    ];

    private readonly string _insertChildren = $"""
        insert into dt_instance(instance_id, execution_id, name, version, status, input,
          parent_id, parent_name, parent_execution, parent_task, created_at, updated_at, claim, trace_parent)
        select r.child_id, {store.Now}, r.name, r.version, {RowStatus.Pending}, r.input,
          @i, @name, @e, r.task_id, {store.Now}, {store.Now}, {store.Now}, @trace
        from {store.Rows("@rows", ChildColumns)} where true order by r.child_id on conflict (instance_id) do nothing
        """;

    private readonly string _collisions = $"""
        insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id, failure)
        select @i, @e, {store.Now}, {(int)EventKind.SubOrchestrationFailed}, r.task_id, @failure from {store.Rows("@rows", ChildColumns)}
        where not exists (select 1 from dt_instance c
          where c.instance_id = r.child_id and c.parent_id = @i and c.parent_execution = @e and c.parent_task = r.task_id)
        """;

    private readonly string _finishedChildren = $"""
        (select x.instance_id from dt_instance x where x.status in {RowStatus.Final}
          and x.instance_id in (select r.child_id from {store.Rows("@rows", "child_id text")}))
        """;

    private readonly string _childRows = store.Rows("@rows", ChildColumns);

    private static readonly TaskFailureDetails Collision = new EngineFailure(
        typeof(OrchestrationAlreadyExistsException).FullName!,
        "OrchestrationAlreadyExists: an active instance has the id given to this sub-orchestration",
        null,
        null
    );

    private static SqlStatement Activities(ExecutionIdentity execution, string? trace, string text, IReadOnlyList<ActivityRow> rows) =>
        new SqlStatement(text)
            .With("i", execution.InstanceId)
            .With("e", execution.ExecutionId)
            .With("trace", trace)
            .WithRows("rows", rows, (json, row) =>
            {
                json.WriteNumber("task_id", row.Task.TaskId);
                json.WriteString("name", row.Task.Name);
                json.WriteString("version", row.Task.Version);
                json.WriteString("queue", row.Task.Queue);
                json.WriteString("input", row.Task.Input);
                json.WriteString("owner", row.Owner);
                json.WriteNumber("claim", row.Claim);
                json.WriteNumber("attempts", row.Attempts);
            });

    private SqlStatement History(string instanceId, long executionId, int first, IReadOnlyList<HistoryEvent> events)
    {
        if (events.Count <= FewRows)
            return FewHistory(instanceId, executionId, first, events);
        return new SqlStatement(_insertHistory)
            .With("i", instanceId)
            .With("e", executionId)
            .WithRows("rows", events.Select((entry, index) => (entry, seq: first + index)), (json, row) =>
            {
                json.WriteNumber("seq", row.seq);
                json.WriteNumber("kind", (int)row.entry.Kind);
                json.WriteNumber("task_id", row.entry.TaskId);
                json.WriteString("name", row.entry.Name);
                json.WriteString("data", row.entry.Data);
                json.WriteString("failure", row.entry.Failure);
                json.WriteNumber("at", row.entry.At);
                json.WriteString("message_id", row.entry.MessageId);
            });
    }

    /// <summary>Uses parameters, because writing and reading JSON takes longer than the rows themselves.</summary>
    private static SqlStatement FewHistory(string instanceId, long executionId, int first, IReadOnlyList<HistoryEvent> events)
    {
        var statement = new SqlStatement(FewHistoryTexts[events.Count]).With("i", instanceId).With("e", executionId);
        for (var i = 0; i < events.Count; i++)
        {
            var (entry, names) = (events[i], FewHistoryNames[i]);
            statement
                .With(names[0], first + i)
                .With(names[1], (long)entry.Kind)
                .With(names[2], entry.TaskId)
                .With(names[3], entry.Name)
                .With(names[4], entry.Data)
                .With(names[5], entry.Failure)
                .With(names[6], entry.At)
                .With(names[7], entry.MessageId);
        }

        return statement;
    }

    /// <summary>A finished instance with a child's id is replaced; an active one makes the call fail, and the parent continues.</summary>
    private void AddChildren(List<SqlStatement> statements, Turn turn, bool final)
    {
        var children = turn.Outcome.Children;
        if (children.Count == 0)
            return;
        var identity = turn.Instance.Identity;
        SqlStatement OnChildren(string text) => Children(text, children);
        foreach (var table in (string[])["dt_inbox", "dt_activity", "dt_history", "dt_instance"])
            statements.Add(OnChildren($"delete from {table} where instance_id in {_finishedChildren}"));
        statements.Add(
            OnChildren(_insertChildren)
                .With("i", identity.InstanceId)
                .With("e", identity.ExecutionId)
                .With("name", identity.Name)
                .With("trace", turn.TraceParent)
        );
        var started = "c.instance_id = r.child_id and c.parent_id = @i and c.parent_execution = @e and c.parent_task = r.task_id";
        statements.Add(
            OnChildren(
                    $"""
                    insert into dt_inbox(instance_id, execution_id, visible_at, kind, name, data)
                    select c.instance_id, c.execution_id, {store.Now}, {(int)EventKind.ExecutionStarted}, r.name, r.input
                    from {_childRows} join dt_instance c on {started}
                    """
                )
                .With("i", identity.InstanceId)
                .With("e", identity.ExecutionId)
        );
        if (final)
            return;
        statements.Add(
            OnChildren(_collisions)
                .With("i", identity.InstanceId)
                .With("e", identity.ExecutionId)
                .With("failure", OrchestrationExecution.FailureText(Collision))
        );
    }

    /// <summary>
    /// Children that a rewound parent waits for again. A failed child is rewound too; one that completed while the parent was failed
    /// reports again; a running one is not changed; one that was terminated or purged starts again.
    /// </summary>
    private void AddReopenedChildren(List<SqlStatement> statements, Turn turn)
    {
        var children = turn.Outcome.ReopenedChildren;
        if (children.Count == 0)
            return;
        var identity = turn.Instance.Identity;
        SqlStatement OnChildren(string text) => Children(text, children).With("i", identity.InstanceId).With("e", identity.ExecutionId);
        const string Mine = "c.instance_id = r.child_id and c.parent_id = @i and c.parent_execution = @e and c.parent_task = r.task_id";
        var reason = turn.Outcome.Events.FirstOrDefault(entry => entry.Kind == EventKind.ExecutionRewound)?.Data;
        statements.Add(
            OnChildren(
                    $"""
                    insert into dt_inbox(instance_id, execution_id, visible_at, kind, data)
                    select c.instance_id, c.execution_id, {store.Now}, {(int)EventKind.ExecutionRewound}, @reason
                    from {_childRows} join dt_instance c on {Mine} where c.status = {RowStatus.Failed}
                    """
                )
                .With("reason", reason)
        );
        statements.Add(
            OnChildren(
                $"delete from dt_inbox where kind = {(int)EventKind.TaskFailed} and instance_id in ("
                    + $"select c.instance_id from {_childRows} join dt_instance c on {Mine} where c.status = {RowStatus.Failed})"
            )
        );
        statements.Add(
            OnChildren(
                $"""
                update dt_instance set status = {RowStatus.Running}, output = null, failure = null, completed_at = null,
                  attempts = 0, not_before = 0, updated_at = {store.Now}
                where status = {RowStatus.Failed} and instance_id in (select c.instance_id from {_childRows} join dt_instance c on {Mine})
                """
            )
        );
        statements.Add(
            OnChildren(
                $"""
                insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id, data)
                select @i, @e, {store.Now}, {(int)EventKind.SubOrchestrationCompleted}, r.task_id, c.output
                from {_childRows} join dt_instance c on {Mine} where c.status = {RowStatus.Completed}
                """
            )
        );
        var terminated = $"(select c.instance_id from {_childRows} join dt_instance c on {Mine} where c.status = {RowStatus.Terminated})";
        foreach (var table in (string[])["dt_inbox", "dt_activity", "dt_history", "dt_instance"])
            statements.Add(OnChildren($"delete from {table} where instance_id in {terminated}"));
        statements.Add(OnChildren(_insertChildren).With("name", identity.Name).With("trace", turn.TraceParent));
        statements.Add(
            OnChildren(
                $"""
                insert into dt_inbox(instance_id, execution_id, visible_at, kind, name, data)
                select c.instance_id, c.execution_id, {store.Now}, {(int)EventKind.ExecutionStarted}, r.name, r.input
                from {_childRows} join dt_instance c on {Mine} where c.status = {RowStatus.Pending}
                """
            )
        );
        statements.Add(OnChildren(_collisions).With("failure", OrchestrationExecution.FailureText(Collision)));
    }

    private static SqlStatement Children(string text, List<CreatedChild> children) =>
        new SqlStatement(text).WithRows("rows", children.OrderBy(child => child.InstanceId, StringComparer.Ordinal), (json, child) =>
        {
            json.WriteNumber("task_id", child.TaskId);
            json.WriteString("child_id", child.InstanceId);
            json.WriteString("name", child.Name);
            json.WriteString("version", child.Version);
            json.WriteString("input", child.Input);
        });
}
