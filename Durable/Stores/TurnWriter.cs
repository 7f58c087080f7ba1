using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>
/// Writes a turn in one transaction (docs/spec/durable-engine.md#r1-one-transaction-per-turn): a crash at any point leaves the state before
/// or after the whole turn. To avoid deadlocks, the table order is always instance, inbox, activity, history, other instances (sorted by
/// id).
/// </summary>
internal sealed partial class TurnWriter(DurableStore store)
{
    // "is not distinct from" makes PostgreSQL use the primary key instead of the index over owners. That index holds everything a worker
    // owns, and the cost of a turn must not grow with the number of instances in its worker's memory.
    private readonly string _updateInstance = $"""
        update dt_instance set status = @status, custom_status = @custom, output = @output, failure = @failure,
          execution_id = @next, version = coalesce(@version, version), input = case when @next = execution_id then input else @input end,
          updated_at = {store.Now}, completed_at = case when @status in {RowStatus.Final} then {store.Now} end,
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

    private readonly string _notifyParent = $"""
        insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id, data, failure)
        select i.instance_id, i.execution_id, {store.Now}, @kind, @task, @data, @failure
        from dt_instance i where i.instance_id = @parent and i.execution_id = @execution and i.status in {RowStatus.Active}
        """;

    private readonly string _sendEvents = $"""
        insert into dt_inbox(instance_id, visible_at, kind, name, data)
        select i.instance_id, {store.Now}, {(int)EventKind.EventRaised}, r.name, r.data
        from {store.Rows("@rows", "task_id bigint", "target text", "name text", "data text")}
        join dt_instance i on i.instance_id = r.target where i.status in {RowStatus.Active} order by r.task_id
        """;

    private readonly string _terminateChildren = $"""
        insert into dt_inbox(instance_id, visible_at, kind, name, data)
        select i.instance_id, {store.Now}, {(int)EventKind.ExecutionTerminated}, '{ControlMessages.Recursive}', @output
        from dt_instance i where i.parent_id = @i and i.parent_execution = @e and i.status in {RowStatus.Active}
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
        AddMessages(statements, turn);
        AddResults(statements, turn);
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

        AddHistory(statements, turn);
        AddChildren(statements, turn, final);
        AddReopenedChildren(statements, turn);
        if (final)
            AddNotification(statements, turn);
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
            statements.Add(OnExecution(turn, _terminateChildren).With("output", end.Output));
        return statements;
    }

    /// <summary>What the turn does to the inbox and the timers of its instance.</summary>
    private void AddMessages(List<SqlStatement> statements, Turn turn)
    {
        var (instance, outcome) = (turn.Instance, turn.Outcome);
        var (identity, end) = (instance.Identity, outcome.End);
        var continues = end?.ContinueAsNew == true;
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
                    turn,
                    "delete from dt_inbox where instance_id = @i "
                        + $"and (execution_id is null or execution_id <> @e or kind <> {(int)EventKind.TaskCompleted})"
                )
            );
        }
        else if (end is not null && !continues)
        {
            statements.Add(new SqlStatement("delete from dt_inbox where instance_id = @i").With("i", instance.InstanceId));
        }
        else if (continues)
        {
            statements.Add(OnExecution(turn, "delete from dt_inbox where instance_id = @i and execution_id = @e"));
            statements.Add(
                new SqlStatement(
                    "insert into dt_inbox(instance_id, execution_id, visible_at, kind, name, data) "
                        + $"values (@i, @next, {store.Now}, {(int)EventKind.ExecutionStarted}, @name, @input)"
                )
                    .With("i", instance.InstanceId)
                    .With("next", identity.ExecutionId + 1)
                    .With("name", identity.Name)
                    .With("input", end!.Output)
            );
        }
        else
        {
            if (outcome.CancelledTimers.Count > 0)
                statements.Add(OnExecution(turn, _deleteTimers).With("tasks", [.. outcome.CancelledTimers.Select(id => (long)id)]));
            if (outcome.Timers.Count > 0)
            {
                statements.Add(
                    OnExecution(turn, _insertTimers)
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
    }

    private void AddResults(List<SqlStatement> statements, Turn turn)
    {
        var instance = turn.Instance;
        if (turn.ConsumedResults is [var only])
        {
            statements.Add(
                OnExecution(turn, DeleteResult)
                    .With("task", only.Activity.TaskId)
                    .With("me", instance.Owner)
                    .With("claim", only.Activity.Claim)
                    .Expect(1)
            );
        }
        else if (turn.ConsumedResults.Count > 0)
        {
            statements.Add(
                OnExecution(turn, _deleteResults)
                    .With("me", instance.Owner)
                    .WithRows("rows", turn.ConsumedResults, (json, result) =>
                    {
                        json.WriteNumber("task_id", result.Activity.TaskId);
                        json.WriteNumber("claim", result.Activity.Claim);
                    })
                    .Expect(turn.ConsumedResults.Count)
            );
        }
    }

    private void AddHistory(List<SqlStatement> statements, Turn turn)
    {
        var (identity, outcome) = (turn.Instance.Identity, turn.Outcome);
        var (instance, end) = (turn.Instance, outcome.End);
        var continues = end?.ContinueAsNew == true;
        if (outcome.RewrittenHistory is { } kept && !continues)
        {
            statements.Add(OnExecution(turn, "delete from dt_history where instance_id = @i and execution_id = @e"));
            if (kept.Count > 0)
                statements.Add(History(instance.InstanceId, identity.ExecutionId, 0, kept));
        }

        if (continues)
        {
            statements.Add(OnExecution(turn, "delete from dt_history where instance_id = @i and execution_id = @e"));
            if (end!.Carried.Count > 0)
                statements.Add(History(instance.InstanceId, identity.ExecutionId + 1, 0, end.Carried));
        }
        else
        {
            statements.Add(History(instance.InstanceId, identity.ExecutionId, turn.FirstSequence, outcome.Events));
        }
    }

    /// <summary>Notifies the parent of an instance that ends.</summary>
    private void AddNotification(List<SqlStatement> statements, Turn turn)
    {
        var (instance, end) = (turn.Instance, turn.Outcome.End);
        if (instance.Identity.ParentId is { } parent && instance.ParentExecution is { } parentExecution)
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
    }

    private static SqlStatement OnExecution(Turn turn, string text) =>
        new SqlStatement(text).With("i", turn.Instance.InstanceId).With("e", turn.Instance.Identity.ExecutionId);
}
