using System.Data.Common;
using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>The statements of workers, except turns (see <see cref="TurnWriter"/>): claims, loads and ends of activities.</summary>
internal sealed partial class WorkQueries(DurableStore store)
{
    /// <summary>Maximum number of messages that one turn takes.</summary>
    public const int Page = 1000;

    private const string InstanceColumns =
        "instance_id, execution_id, name, version, parent_id, parent_name, status, custom_status, "
        + "parent_execution, parent_task, owner, claim, attempts, trace_parent";

    /// <summary>
    /// Work that was delivered three times without success (<see cref="Schema.SuspectAfter"/>) is suspect
    /// (docs/spec/durable-engine.md#r9-poison). Each claim sets a longer wait before the next delivery, in case this one fails too (success
    /// clears or deletes it), and a worker gets one suspect at a time, the one with the most deliveries first (<see cref="HasNoSuspect"/>).
    /// So innocent work that died together with poison a few times succeeds, or at least does not use up its deliveries before the poison
    /// does. The wait is random, because otherwise work that died together would return together each time.
    /// </summary>
    private static string Suspicion(DurableStore store)
    {
        var integer = store.IsShared ? "int" : "integer";
        var growth = $"(1 << cast(attempts - {Schema.SuspectAfter} as {integer}))";
        return $"case when attempts < {Schema.SuspectAfter} then 0 when attempts > 11 then {store.Now} + 300000 "
            + $"else {store.Now} + cast(@backoff * {growth} * {store.Jitter} as bigint) end";
    }

    private readonly string _claimInstances = $"""
        with c as materialized (
          select i.instance_id as c_id from dt_instance i
          where i.owner is null and i.not_before <= {store.Now} and i.attempts < {Schema.SuspectAfter}
            and {IsReady(store, drivenByInbox: true)}
          limit @n {ForUpdateOf(store, "i")}),
        s as materialized (
          select i.instance_id as c_id from dt_instance i
          where i.owner is null and i.not_before <= {store.Now} and i.attempts >= {Schema.SuspectAfter}
            and {IsReady(store, drivenByInbox: false)}
            and {HasNoSuspect(store)}
          order by i.attempts desc limit 1 {ForUpdateOf(store, "i")})
        update dt_instance set owner = @me, claim = claim + 1, attempts = attempts + 1, claimed_at = {store.Now},
          not_before = {Suspicion(store)}
        from (select c_id from c union all select c_id from s) as both_kinds where instance_id = c_id returning {InstanceColumns}
        """;

    private readonly string _claimActivities = $"""
        with c as materialized (
          select instance_id as c_i, execution_id as c_e, task_id as c_t from dt_activity
          where owner is null and attempts < {Schema.SuspectAfter} and queue = @queue and not_before <= {store.Now}
            and {IsNamed(store, "name")}
          order by created_at limit @n {store.SkipLocked}),
        s as materialized (
          select instance_id as c_i, execution_id as c_e, task_id as c_t from dt_activity
          where owner is null and attempts >= {Schema.SuspectAfter} and queue = @queue and not_before <= {store.Now}
            and {IsNamed(store, "name")}
            and @n > 0 and {HasNoSuspect(store)}
          order by attempts desc limit 1 {store.SkipLocked})
        update dt_activity set owner = @me, claim = claim + 1, attempts = attempts + 1, claimed_at = {store.Now},
          not_before = {Suspicion(store)}
        from (select c_i, c_e, c_t from c union all select c_i, c_e, c_t from s) as both_kinds
        where instance_id = c_i and execution_id = c_e and task_id = c_t
        returning instance_id, execution_id, task_id, name, queue, input, owner, claim, attempts, version, trace_parent
        """;

    private readonly string _ready = $"""
        select distinct b.instance_id from dt_inbox b join dt_instance i on i.instance_id = b.instance_id
        where b.visible_at <= {store.Now} and i.owner = @me
        """;

    private readonly string _nextDue = $"""
        select {store.Now}, (select min(visible_at) from dt_inbox where visible_at > {store.Now}),
          (select min(not_before) from dt_activity where owner is null and not_before > 0 and not_before > {store.Now}),
          (select min(not_before) from dt_instance where not_before > 0 and owner is null and not_before > {store.Now})
        """;

    private readonly string _history = """
        select kind, task_id, name, data, failure, at, message_id from dt_history
        where instance_id = @i and execution_id = @e order by seq
        """;

    /// <summary>
    /// For a suspended instance, reads only messages that it may take: the messages that it keeps could fill the page before a resume.
    /// </summary>
    private readonly string _inbox = $"""
        select id, execution_id, kind, task_id, name, data, failure, message_id from dt_inbox
        where instance_id = @i and visible_at <= {store.Now} and (@limit > {Page}
          or kind in ({(int)EventKind.ExecutionSuspended}, {(int)EventKind.ExecutionResumed}, {(int)EventKind.ExecutionTerminated},
            {(int)EventKind.LocalActivityLost})
          or not exists (select 1 from dt_instance i where i.instance_id = @i and i.status = {RowStatus.Suspended}))
        order by visible_at, id limit @limit
        """;

    private readonly string _releaseInstance = $"""
        update dt_instance set owner = null, attempts = attempts - @back,
          not_before = case when @delay = 0 then 0 else {store.Now} + @delay end
        where instance_id = @i and owner is not distinct from @me and claim = @claim
        """;

    /// <summary>Messages that end an activity, as SQL.</summary>
    private static readonly string Ends = $"({(int)EventKind.TaskCompleted},{(int)EventKind.TaskFailed})";

    private static readonly string Tracked = $"""
        select task_id from dt_activity where instance_id = @i and execution_id = @e
        union all select task_id from dt_inbox where instance_id = @i and execution_id = @e and kind in {Ends}
        """;

    /// <summary>Whether instance i has work for a worker that has registered @names.</summary>
    private static string IsReady(DurableStore store, bool drivenByInbox)
    {
        var hasMessage = drivenByInbox
            ? $"i.instance_id in (select b.instance_id from dt_inbox b where b.visible_at <= {store.Now})"
            : $"exists (select 1 from dt_inbox b where b.instance_id = i.instance_id and b.visible_at <= {store.Now})";
        var isNamed = IsNamed(store, "i.name");
        return $"""
            i.status in {RowStatus.Active}
            and {hasMessage}
            and ((i.status <> {RowStatus.Suspended} and {isNamed})
              or exists (select 1 from dt_inbox b where b.instance_id = i.instance_id and b.visible_at <= {store.Now}
                         and (b.kind = {(int)EventKind.ExecutionTerminated} or (b.kind = {(int)EventKind.ExecutionResumed} and {isNamed}))))
            """;
    }

    /// <summary>Whether a name in this column is one of @names, which are folded.</summary>
    private static string IsNamed(DurableStore store, string column) => store.In(store.Folded(column), "@names");

    /// <summary>
    /// Whether this worker owns no suspect that it claimed in the last 30 seconds. A suspect that runs longer (such as a copy of many hours
    /// that restarts interrupted) does not keep other suspects waiting.
    /// </summary>
    private static string HasNoSuspect(DurableStore store) =>
        string.Join(
            " and ",
            ((string[])["dt_instance", "dt_activity"]).Select(table =>
                $"not exists (select 1 from {table} w where w.owner = @me and w.attempts >= {Schema.SuspectAfter} "
                + $"and w.attempts > {Schema.SuspectAfter} and w.claimed_at > {store.Now} - 30000)"
            )
        );

    private static string ForUpdateOf(DurableStore store, string table) => store.IsShared ? $"for update of {table} skip locked" : "";

    /// <summary>
    /// Claims due instances and free activities in one transaction. If the answer is lost after the commit, this worker owns rows that it
    /// does not know; the reconcile sweep releases them.
    /// </summary>
    public Task<PollResult> PollAsync(PollRequest request, CancellationToken cancellationToken)
    {
        var backoff = (long)request.FirstBackoff.TotalMilliseconds;
        var statements = new List<SqlStatement> { new SqlStatement(_nextDue), new SqlStatement(_ready).With("me", request.Owner) };
        var queuesFrom = statements.Count;
        if (request.Activities.Count > 0)
        {
            foreach (var (queue, free) in request.Queues.Where(queue => queue.Free > 0))
            {
                statements.Add(
                    new SqlStatement(_claimActivities)
                        .With("queue", queue)
                        .With("names", request.Activities)
                        .With("n", free)
                        .With("me", request.Owner)
                        .With("backoff", backoff)
                );
            }
        }

        var instancesAt = statements.Count;
        if (request.FreeInstances > 0)
            statements.Add(
                new SqlStatement(_claimInstances)
                    .With("names", request.Orchestrators)
                    .With("n", request.FreeInstances)
                    .With("me", request.Owner)
                    .With("backoff", backoff)
            );
        return store.QueryAsync(
            statements,
            static () => new PollResult(),
            (result, index, reader) =>
            {
                if (index == 0)
                {
                    result.Now = reader.GetInt64(0);
                    result.NextDue = new[] { reader.Integer(1), reader.Integer(2), reader.Integer(3) }.Min();
                }
                else if (index < queuesFrom)
                {
                    result.Ready.Add(reader.GetString(0));
                }
                else if (index < instancesAt)
                {
                    result.Activities.Add(ReadActivity(reader));
                }
                else
                {
                    result.Instances.Add(ReadInstance(reader));
                }
            },
            cancellationToken
        );
    }

    /// <summary>
    /// Reads the history of an execution (unless <paramref name="historyOf"/> is null) and the due messages of its instance: a page of
    /// those that it may take or, with <paramref name="everything"/>, all of them.
    /// </summary>
    public async Task<(List<HistoryEvent> History, List<InboxMessage> Inbox)> LoadAsync(
        string instanceId,
        long? historyOf,
        CancellationToken cancellationToken,
        bool everything = false
    )
    {
        var history = new List<HistoryEvent>();
        var inbox = new List<InboxMessage>();
        await using var session = await store.OpenAsync(cancellationToken);
        SqlStatement messages = new SqlStatement(_inbox).With("i", instanceId).With("limit", everything ? long.MaxValue : Page);
        SqlStatement[] statements = historyOf is { } execution
            ? [messages, new SqlStatement(_history).With("i", instanceId).With("e", execution)]
            : [messages];
        await session.QueryAsync(
            statements,
            (index, reader) =>
            {
                if (index == 0)
                {
                    inbox.Add(
                        new(
                            reader.GetInt64(0),
                            reader.Integer(1),
                            new(
                                (EventKind)reader.GetInt64(2),
                                (int)reader.GetInt64(3),
                                reader.Text(4),
                                reader.Text(5),
                                reader.Text(6),
                                0,
                                reader.Text(7)
                            )
                        )
                    );
                }
                else
                {
                    history.Add(
                        new(
                            (EventKind)reader.GetInt64(0),
                            (int)reader.GetInt64(1),
                            reader.Text(2),
                            reader.Text(3),
                            reader.Text(4),
                            reader.GetInt64(5),
                            reader.Text(6)
                        )
                    );
                }
            },
            cancellationToken
        );
        return (history, inbox);
    }

    /// <summary>Releases an instance; no effect if this claim no longer owns it.</summary>
    public SqlStatement ReleaseInstance(ClaimedInstance instance, TimeSpan delay, int attemptsBack) =>
        new SqlStatement(_releaseInstance)
            .With("i", instance.InstanceId)
            .With("me", instance.Owner)
            .With("claim", instance.Claim)
            .With("delay", (long)delay.TotalMilliseconds)
            .With("back", attemptsBack);

    /// <summary>
    /// Activities of an execution that have a row, or a result in the inbox. One statement, so that it does not miss an activity whose row
    /// is just being replaced by its result.
    /// </summary>
    public async Task<HashSet<int>> TrackedTasksAsync(ExecutionIdentity execution, CancellationToken cancellationToken)
    {
        await using var session = await store.OpenAsync(cancellationToken);
        return
        [
            .. await session.QueryAsync(
                new SqlStatement(Tracked).With("i", execution.InstanceId).With("e", execution.ExecutionId),
                reader => (int)reader.GetInt64(0),
                cancellationToken
            ),
        ];
    }

    /// <summary>Runs releases; each is independent and may be repeated.</summary>
    public Task ExecuteAsync(IReadOnlyList<SqlStatement> statements, CancellationToken cancellationToken) =>
        store.ExecuteAsync(statements, cancellationToken);

    private static ClaimedInstance ReadInstance(DbDataReader reader) =>
        new(
            new(reader.GetString(0), reader.GetInt64(1), reader.GetString(2), reader.GetString(3), reader.Text(4), reader.Text(5)),
            (OrchestrationRuntimeStatus)reader.GetInt64(6),
            reader.Text(7),
            reader.Integer(8),
            (int)(reader.Integer(9) ?? -1),
            reader.GetString(10),
            reader.GetInt64(11),
            (int)reader.GetInt64(12)
        )
        {
            TraceParent = reader.Text(13),
        };
}
