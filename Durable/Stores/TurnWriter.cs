using System.Globalization;
using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>The inputs and decisions of one turn.</summary>
internal sealed record Turn(
    ClaimedInstance Instance,
    TurnOutcome Outcome,
    int FirstSequence,
    long At,
    IReadOnlyCollection<long> ConsumedMessages,
    IReadOnlyList<ActivityResult> ConsumedResults,
    bool Release
)
{
    /// <summary>Activities to insert.</summary>
    public IReadOnlyList<ActivityRow> Activities { get; init; } = [];

    /// <summary>Activities of earlier turns that need a row now, unless they have one.</summary>
    public IReadOnlyList<ActivityRow> LateActivities { get; init; } = [];

    /// <summary>W3C trace context for the activities and children of this turn.</summary>
    public string? TraceParent { get; init; }
}

/// <summary>
/// An activity's row. With an owner, the activity already runs there and was delivered <paramref name="Attempts"/> times.
/// </summary>
internal readonly record struct ActivityRow(ScheduledTask Task, string? Owner, long Claim, int Attempts);

/// <summary>
/// Writes a turn in one transaction (docs/spec/durable-engine.md#r1-one-transaction-per-turn): a crash at any point leaves the state before
/// or after the whole turn. To avoid deadlocks, the table order is always instance, inbox, activity, history, other instances (sorted by
/// id).
/// </summary>
internal sealed class TurnWriter(DurableStore store)
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

    // "is not distinct from" makes PostgreSQL use the primary key instead of the index over owners. That index holds everything a worker
    // owns, and the cost of a turn must not grow with the number of instances in its worker's memory.
    private readonly string _updateInstance = $"""
        update dt_instance set status = @status, custom_status = @custom, output = @output, failure = @failure,
          execution_id = @next, version = coalesce(@version, version), input = case when @next = execution_id then input else @input end,
          updated_at = {store.Now}, completed_at = case when @status in {DurableStore.Final} then {store.Now} end,
          attempts = 0, not_before = 0, owner = @owner
        where instance_id = @i and owner is not distinct from @me and claim = @claim
        """;

    private readonly string _deleteMessages = $"delete from dt_inbox where instance_id = @i and {store.In("id", "@ids")}";

    private readonly string _deleteTimers =
        $"delete from dt_inbox where instance_id = @i and execution_id = @e and kind = {(int)EventKind.TimerFired} "
        + $"and {store.In("task_id", "@tasks")}";

    private readonly string _deleteResults = $"""
        delete from dt_activity where instance_id = @i and execution_id = @e and owner is not distinct from @me
          and (task_id, claim) in (select r.task_id, r.claim from {store.Rows("@rows", "task_id bigint", "claim bigint")})
        """;

    // Compares the whole key: with only its first columns, PostgreSQL reads every activity of the execution that vacuum has not removed
    // yet.
    private const string DeleteResult = """
        delete from dt_activity where instance_id = @i and execution_id = @e and task_id = @task
          and owner is not distinct from @me and claim = @claim
        """;

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

    private static readonly TaskFailureDetails Collision = new EngineFailure(
        typeof(OrchestrationAlreadyExistsException).FullName!,
        "OrchestrationAlreadyExists: an active instance has the id given to this sub-orchestration",
        null,
        null
    );

    private readonly string _insertChildren = $"""
        insert into dt_instance(instance_id, execution_id, name, version, status, input,
          parent_id, parent_name, parent_execution, parent_task, created_at, updated_at, claim, trace_parent)
        select r.child_id, {store.Now}, r.name, r.version, {(int)OrchestrationRuntimeStatus.Pending}, r.input,
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
        (select x.instance_id from dt_instance x where x.status in {DurableStore.Final}
          and x.instance_id in (select r.child_id from {store.Rows("@rows", "child_id text")}))
        """;

    private readonly string _childRows = store.Rows("@rows", ChildColumns);

    private readonly string _notifyParent = $"""
        insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id, data, failure)
        select i.instance_id, i.execution_id, {store.Now}, @kind, @task, @data, @failure
        from dt_instance i where i.instance_id = @parent and i.execution_id = @execution and i.status in {DurableStore.Active}
        """;

    private readonly string _sendEvents = $"""
        insert into dt_inbox(instance_id, visible_at, kind, name, data)
        select i.instance_id, {store.Now}, {(int)EventKind.EventRaised}, r.name, r.data
        from {store.Rows("@rows", "task_id bigint", "target text", "name text", "data text")}
        join dt_instance i on i.instance_id = r.target where i.status in {DurableStore.Active} order by r.task_id
        """;

    private readonly string _terminateChildren = $"""
        insert into dt_inbox(instance_id, visible_at, kind, name, data)
        select i.instance_id, {store.Now}, {(int)EventKind.ExecutionTerminated}, '{ControlMessages.Recursive}', @output
        from dt_instance i where i.parent_id = @i and i.parent_execution = @e and i.status in {DurableStore.Active}
        """;

    /// <summary>
    /// Commits the turn. Throws <see cref="FenceException"/> if this claim no longer owns the instance or one of the consumed rows, or if
    /// the history has advanced.
    /// </summary>
    public Task CommitAsync(Turn turn, CancellationToken cancellationToken) => store.ExecuteAsync(Statements(turn), cancellationToken);

    /// <summary>The statements that <see cref="CommitAsync"/> runs.</summary>
    internal List<SqlStatement> Statements(Turn turn)
    {
        var (instance, outcome) = (turn.Instance, turn.Outcome);
        var identity = instance.Identity;
        var end = outcome.End;
        var continues = end?.ContinueAsNew == true;
        var final = end is not null && !continues;
        var next = continues ? identity.ExecutionId + 1 : identity.ExecutionId;
        var status = final ? end!.Status : (outcome.Suspended ? OrchestrationRuntimeStatus.Suspended : OrchestrationRuntimeStatus.Running);
        var statements = new List<SqlStatement>
        {
            new SqlStatement(_updateInstance)
                .With("status", (long)status)
                .With("custom", outcome.CustomStatus)
                .With("output", final ? end!.Output : null)
                .With("failure", OrchestrationExecution.FailureText(end?.Failure))
                .With("version", end?.NextVersion)
                .With("next", next)
                .With("input", continues ? end!.Output : null)
                .With("owner", turn.Release ? null : instance.Owner)
                .With("i", instance.InstanceId)
                .With("me", instance.Owner)
                .With("claim", instance.Claim)
                .Expect(1),
        };
        SqlStatement OnExecution(string text) => new SqlStatement(text).With("i", instance.InstanceId).With("e", identity.ExecutionId);

        if (turn.ConsumedMessages.Count > 0)
            statements.Add(
                new SqlStatement(_deleteMessages)
                    .With("i", instance.InstanceId)
                    .With("ids", turn.ConsumedMessages)
                    .Expect(turn.ConsumedMessages.Count)
            );
        if (end?.Status == OrchestrationRuntimeStatus.Failed)
        {
            // A result that arrived after this turn read its messages stays for a rewind.
            statements.Add(
                OnExecution(
                    "delete from dt_inbox where instance_id = @i "
                        + $"and (execution_id is null or execution_id <> @e or kind <> {(int)EventKind.TaskCompleted})"
                )
            );
        }
        else if (final)
        {
            statements.Add(new SqlStatement("delete from dt_inbox where instance_id = @i").With("i", instance.InstanceId));
        }
        else if (continues)
        {
            statements.Add(OnExecution("delete from dt_inbox where instance_id = @i and execution_id = @e"));
            statements.Add(
                new SqlStatement(
                    "insert into dt_inbox(instance_id, execution_id, visible_at, kind, name, data) "
                        + $"values (@i, @next, {store.Now}, {(int)EventKind.ExecutionStarted}, @name, @input)"
                )
                    .With("i", instance.InstanceId)
                    .With("next", next)
                    .With("name", identity.Name)
                    .With("input", end!.Output)
            );
        }
        else
        {
            if (outcome.CancelledTimers.Count > 0)
                statements.Add(OnExecution(_deleteTimers).With("tasks", [.. outcome.CancelledTimers.Select(id => (long)id)]));
            if (outcome.Timers.Count > 0)
            {
                statements.Add(
                    OnExecution(_insertTimers)
                        .With("turn", outcome.Events[0].At)
                        .With("tolerance", (long)ClockQueries.Tolerance.TotalMilliseconds)
                        .WithRows("rows", outcome.Timers, (json, timer) =>
                        {
                            json.WriteNumber("task_id", timer.TaskId);
                            json.WriteNumber("fire_at", timer.FireAt);
                        })
                );
            }
        }

        if (turn.ConsumedResults is [var only])
        {
            statements.Add(
                OnExecution(DeleteResult)
                    .With("task", only.Activity.TaskId)
                    .With("me", instance.Owner)
                    .With("claim", only.Activity.Claim)
                    .Expect(1)
            );
        }
        else if (turn.ConsumedResults.Count > 0)
        {
            statements.Add(
                OnExecution(_deleteResults)
                    .With("me", instance.Owner)
                    .WithRows("rows", turn.ConsumedResults, (json, result) =>
                    {
                        json.WriteNumber("task_id", result.Activity.TaskId);
                        json.WriteNumber("claim", result.Activity.Claim);
                    })
                    .Expect(turn.ConsumedResults.Count)
            );
        }

        if (end?.Status == OrchestrationRuntimeStatus.Terminated)
        {
            statements.Add(new SqlStatement("delete from dt_activity where instance_id = @i").With("i", instance.InstanceId));
        }
        else if (turn.Activities.Count > 0)
        {
            statements.Add(Activities(identity, turn.TraceParent, _insertActivities, turn.Activities));
        }

        // Their rows or results may still exist: an activity that outlives the end of its instance continues and reports as usual.
        if (turn.LateActivities.Count > 0)
            statements.Add(Activities(identity, turn.TraceParent, _insertLateActivities, turn.LateActivities));

        if (outcome.RewrittenHistory is { } kept && !continues)
        {
            statements.Add(OnExecution("delete from dt_history where instance_id = @i and execution_id = @e"));
            if (kept.Count > 0)
                statements.Add(History(instance.InstanceId, identity.ExecutionId, 0, kept));
        }

        if (continues)
        {
            statements.Add(OnExecution("delete from dt_history where instance_id = @i and execution_id = @e"));
            if (end!.Carried.Count > 0)
                statements.Add(History(instance.InstanceId, next, 0, end.Carried));
        }
        else
        {
            statements.Add(History(instance.InstanceId, identity.ExecutionId, turn.FirstSequence, outcome.Events));
        }

        AddChildren(statements, turn, final);
        AddReopenedChildren(statements, turn);
        if (final && identity.ParentId is { } parent && instance.ParentExecution is { } parentExecution)
        {
            var completed = end!.Status == OrchestrationRuntimeStatus.Completed;
            var failure = end.Failure
                ?? new EngineFailure(
                    "Librarian.Durable.OrchestrationTerminated",
                    $"sub-orchestration '{instance.InstanceId}' was terminated",
                    null,
                    null
                );
            statements.Add(
                new SqlStatement(_notifyParent)
                    .With("parent", parent)
                    .With("execution", parentExecution)
                    .With("task", instance.ParentTask)
                    .With("kind", (long)(completed ? EventKind.SubOrchestrationCompleted : EventKind.SubOrchestrationFailed))
                    .With("data", completed ? end.Output : null)
                    .With("failure", completed ? null : OrchestrationExecution.FailureText(failure))
            );
        }

        if (outcome.SentEvents.Count > 0)
        {
            statements.Add(new SqlStatement(_sendEvents).WithRows("rows", outcome.SentEvents, (json, sent) =>
                {
                    json.WriteNumber("task_id", sent.TaskId);
                    json.WriteString("target", sent.InstanceId);
                    json.WriteString("name", sent.Name);
                    json.WriteString("data", sent.Data);
                }));
        }

        if (end?.TerminateChildren == true)
            statements.Add(OnExecution(_terminateChildren).With("output", end.Output));
        return statements;
    }

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
                    from {_childRows} join dt_instance c on {Mine} where c.status = 3
                    """
                )
                .With("reason", reason)
        );
        statements.Add(
            OnChildren(
                $"delete from dt_inbox where kind = {(int)EventKind.TaskFailed} and instance_id in ("
                    + $"select c.instance_id from {_childRows} join dt_instance c on {Mine} where c.status = 3)"
            )
        );
        statements.Add(
            OnChildren(
                $"""
                update dt_instance set status = 0, output = null, failure = null, completed_at = null,
                  attempts = 0, not_before = 0, updated_at = {store.Now}
                where status = 3 and instance_id in (select c.instance_id from {_childRows} join dt_instance c on {Mine})
                """
            )
        );
        statements.Add(
            OnChildren(
                $"""
                insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id, data)
                select @i, @e, {store.Now}, {(int)EventKind.SubOrchestrationCompleted}, r.task_id, c.output
                from {_childRows} join dt_instance c on {Mine} where c.status = 1
                """
            )
        );
        var terminated = $"(select c.instance_id from {_childRows} join dt_instance c on {Mine} where c.status = 5)";
        foreach (var table in (string[])["dt_inbox", "dt_activity", "dt_history", "dt_instance"])
            statements.Add(OnChildren($"delete from {table} where instance_id in {terminated}"));
        statements.Add(OnChildren(_insertChildren).With("name", identity.Name).With("trace", turn.TraceParent));
        statements.Add(
            OnChildren(
                $"""
                insert into dt_inbox(instance_id, execution_id, visible_at, kind, name, data)
                select c.instance_id, c.execution_id, {store.Now}, {(int)EventKind.ExecutionStarted}, r.name, r.input
                from {_childRows} join dt_instance c on {Mine} where c.status = 6
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
