using System.Data.Common;
using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>An instance that this worker owns. <paramref name="Claim"/> is its fencing token.</summary>
internal sealed record ClaimedInstance(
    ExecutionIdentity Identity,
    OrchestrationRuntimeStatus Status,
    string? CustomStatus,
    long? ParentExecution,
    int ParentTask,
    string Owner,
    long Claim,
    int Attempts
)
{
    public string InstanceId => Identity.InstanceId;

    /// <summary>W3C trace context of the operation that started the instance.</summary>
    public string? TraceParent { get; init; }
}

/// <summary>An activity that this worker owns.</summary>
internal sealed record ClaimedActivity(
    string InstanceId,
    long ExecutionId,
    int TaskId,
    string Name,
    string Queue,
    string? Input,
    string Owner,
    long Claim,
    int Attempts,
    string Version = ""
)
{
    /// <summary>W3C trace context of the turn that scheduled it.</summary>
    public string? TraceParent { get; init; }

    public string OperationId => $"{InstanceId}/{ExecutionId}/{TaskId}";
}

/// <summary>A message in the inbox. If <paramref name="ExecutionId"/> is null, the message is for the current execution.</summary>
internal sealed record InboxMessage(long Id, long? ExecutionId, HistoryEvent Event);

/// <summary>The end of an activity, recorded only if this worker still owns the activity.</summary>
internal sealed record ActivityResult(ClaimedActivity Activity, string? Output, string? Failure)
{
    public EventKind Kind => Failure is null ? EventKind.TaskCompleted : EventKind.TaskFailed;

    public HistoryEvent ToEvent(long at) => new(Kind, Activity.TaskId, Activity.Name, Output, Failure, at);
}

/// <summary>What a worker can claim. Names are in the form that <see cref="DurableStore.Fold"/> makes.</summary>
internal sealed record PollRequest(
    string Owner,
    int FreeInstances,
    TimeSpan FirstBackoff,
    IReadOnlyCollection<string> Orchestrators,
    IReadOnlyCollection<string> Activities,
    IReadOnlyList<(string Queue, int Free)> Queues
);

internal sealed class PollResult
{
    public List<ClaimedInstance> Instances { get; } = [];

    public List<ClaimedActivity> Activities { get; } = [];

    /// <summary>Instances that this worker owns already and that have messages.</summary>
    public List<string> Ready { get; } = [];

    public long Now { get; set; }

    /// <summary>Time (epoch milliseconds) at which the next row becomes due, if any row waits.</summary>
    public long? NextDue { get; set; }
}

/// <summary>The statements of workers, except turns (see <see cref="TurnWriter"/>): claims, loads and ends of activities.</summary>
internal sealed class WorkQueries(DurableStore store)
{
    /// <summary>Maximum number of messages that one turn takes.</summary>
    public const int Page = 1000;

    private const string InstanceColumns =
        "instance_id, execution_id, name, version, parent_id, parent_name, status, custom_status, "
        + "parent_execution, parent_task, owner, claim, attempts, trace_parent";

    private static readonly string[] ResultColumns =
    [
        "instance_id text",
        "execution_id bigint",
        "task_id bigint",
        "kind bigint",
        "name text",
        "data text",
        "failure text",
    ];

    private static readonly string[] OwnedResultColumns =
    [
        "instance_id text",
        "execution_id bigint",
        "task_id bigint",
        "owner text",
        "claim bigint",
        "kind bigint",
        "name text",
        "data text",
        "failure text",
    ];

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
          or not exists (select 1 from dt_instance i where i.instance_id = @i and i.status = {(int)OrchestrationRuntimeStatus.Suspended}))
        order by visible_at, id limit @limit
        """;

    private readonly string _deleteActivities = $"""
        delete from dt_activity where (instance_id, execution_id, task_id, owner, claim) in
          (select r.instance_id, r.execution_id, r.task_id, r.owner, r.claim
           from {store.Rows("@rows", "instance_id text", "execution_id bigint", "task_id bigint", "owner text", "claim bigint")})
        returning instance_id, execution_id, task_id
        """;

    private readonly string _postResults = $"""
        insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id, name, data, failure)
        select r.instance_id, r.execution_id, {store.Now}, r.kind, r.task_id, r.name, r.data, r.failure
        from {store.Rows("@rows", ResultColumns)}
        join dt_instance i on i.instance_id = r.instance_id and i.execution_id = r.execution_id
        where i.status in {DurableStore.TakesResults}
        """;

    /// <summary>
    /// Combines the two statements above. SQLite cannot write inside a common table expression, and round trips cost it nothing.
    /// </summary>
    private readonly string _completeActivities = $"""
        with r as materialized (select * from {store.Rows("@rows", OwnedResultColumns)}),
        gone as (
          delete from dt_activity a using r
          where a.instance_id = r.instance_id and a.execution_id = r.execution_id and a.task_id = r.task_id
            and a.owner is not distinct from r.owner and a.claim = r.claim
          returning r.instance_id, r.execution_id, r.task_id, r.kind, r.name, r.data, r.failure),
        posted as (
          insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id, name, data, failure)
          select g.instance_id, g.execution_id, {store.Now}, g.kind, g.task_id, g.name, g.data, g.failure
          from gone g join dt_instance i on i.instance_id = g.instance_id and i.execution_id = g.execution_id
          where i.status in {DurableStore.TakesResults})
        select distinct instance_id from gone
        """;

    private readonly string _escape = $"""
        insert into dt_inbox(instance_id, execution_id, visible_at, kind, data, message_id)
        select i.instance_id, i.execution_id, {store.Now}, {(int)EventKind.OrchestratorEscaped}, @data, @message from dt_instance i
        where i.instance_id = @i and i.execution_id = @e and i.status in {DurableStore.Active}
        on conflict (instance_id, message_id) do nothing
        """;

    private readonly string _releaseActivity = $"""
        update dt_activity set owner = null, attempts = attempts - @back, not_before = {store.Now} + @delay
        where instance_id = @i and execution_id = @e and task_id = @t and owner is not distinct from @me and claim = @claim
        """;

    private const string Progress = """
        update dt_activity set progress = @progress
        where instance_id = @i and execution_id = @e and task_id = @t and owner is not distinct from @me and claim = @claim
        """;

    private readonly string _releaseInstance = $"""
        update dt_instance set owner = null, attempts = attempts - @back,
          not_before = case when @delay = 0 then 0 else {store.Now} + @delay end
        where instance_id = @i and owner is not distinct from @me and claim = @claim
        """;

    private const string Tracked = $"""
        select task_id from dt_activity where instance_id = @i and execution_id = @e
        union all select task_id from dt_inbox where instance_id = @i and execution_id = @e and kind in (4,5)
        """;

    /// <summary>Whether instance i has work for a worker that has registered @names.</summary>
    private static string IsReady(DurableStore store, bool drivenByInbox)
    {
        var hasMessage = drivenByInbox
            ? $"i.instance_id in (select b.instance_id from dt_inbox b where b.visible_at <= {store.Now})"
            : $"exists (select 1 from dt_inbox b where b.instance_id = i.instance_id and b.visible_at <= {store.Now})";
        var isNamed = IsNamed(store, "i.name");
        return $"""
            i.status in {DurableStore.Active}
            and {hasMessage}
            and ((i.status <> 7 and {isNamed})
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

    /// <summary>
    /// Records results of activities whose instance is not in this worker's memory. Idempotent: a result is dropped if its row is gone or
    /// has another owner (docs/spec/durable-engine.md#r4-results-are-repeated). Returns the instances that got a message.
    /// </summary>
    public Task<List<string>> CompleteAsync(IReadOnlyCollection<ActivityResult> results, CancellationToken cancellationToken) =>
        store.IsShared
            ? store.QueryAsync(
                [OnResults(_completeActivities, results)],
                static () => new List<string>(),
                static (posted, _, reader) => posted.Add(reader.GetString(0)),
                cancellationToken
            )
            : store.TransactAsync(session => CompleteAsync(session, results, cancellationToken), cancellationToken);

    /// <summary>
    /// As above, inside the open transaction of a transactional activity. On a shared database it locks the instance's row, so it commits
    /// before a turn of the instance begins to commit, or waits for that turn. Otherwise a rewound turn could open the activity again
    /// between the removal of its row and its message, and the effect would happen twice.
    /// </summary>
    public async Task<List<string>> CompleteAsync(StoreSession session, ActivityResult result, CancellationToken cancellationToken)
    {
        if (!store.IsShared)
            return await CompleteAsync(session, [result], cancellationToken);
        var posted = new List<string>();
        await session.QueryAsync(
            [
                new SqlStatement("select 1 from dt_instance where instance_id = @i for share").With("i", result.Activity.InstanceId),
                OnResults(_completeActivities, [result]),
            ],
            (index, reader) =>
            {
                if (index == 1)
                    posted.Add(reader.GetString(0));
            },
            cancellationToken
        );
        return posted;
    }

    private async Task<List<string>> CompleteAsync(
        StoreSession session,
        IReadOnlyCollection<ActivityResult> results,
        CancellationToken cancellationToken
    )
    {
        var mine = (
            await session.QueryAsync(
                OnResults(_deleteActivities, results),
                reader => (reader.GetString(0), reader.GetInt64(1), (int)reader.GetInt64(2)),
                cancellationToken
            )
        ).ToHashSet();
        var posted = results
            .Where(result => mine.Contains((result.Activity.InstanceId, result.Activity.ExecutionId, result.Activity.TaskId)))
            .ToList();
        if (posted.Count == 0)
            return [];
        await session.ExecuteAsync(OnResults(_postResults, posted), cancellationToken);
        return [.. posted.Select(result => result.Activity.InstanceId).Distinct(StringComparer.Ordinal)];
    }

    /// <summary>Sends an execution the message that its code ran outside its flow of control; repeated calls store one message.</summary>
    public SqlStatement Escape(ExecutionIdentity identity, string what) =>
        new SqlStatement(_escape)
            .With("i", identity.InstanceId)
            .With("e", identity.ExecutionId)
            .With("data", what)
            .With("message", string.Create(System.Globalization.CultureInfo.InvariantCulture, $"escape:{identity.ExecutionId}"));

    /// <summary>Releases an activity for another delivery; no effect if this claim no longer owns it.</summary>
    public SqlStatement ReleaseActivity(ClaimedActivity activity, TimeSpan delay, bool countsAsDelivery) =>
        new SqlStatement(_releaseActivity)
            .With("i", activity.InstanceId)
            .With("e", activity.ExecutionId)
            .With("t", activity.TaskId)
            .With("me", activity.Owner)
            .With("claim", activity.Claim)
            .With("delay", (long)delay.TotalMilliseconds)
            .With("back", countsAsDelivery ? 0 : 1);

    /// <summary>Writes progress; no effect if this claim no longer owns the activity.</summary>
    public static SqlStatement ReportProgress(ClaimedActivity activity, string? progress) =>
        new SqlStatement(Progress)
            .With("i", activity.InstanceId)
            .With("e", activity.ExecutionId)
            .With("t", activity.TaskId)
            .With("me", activity.Owner)
            .With("claim", activity.Claim)
            .With("progress", progress);

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

    private static SqlStatement OnResults(string text, IEnumerable<ActivityResult> results) =>
        new SqlStatement(text).WithRows(
            "rows",
            results.OrderBy(result => result.Activity.OperationId, StringComparer.Ordinal),
            (json, result) =>
            {
                json.WriteString("instance_id", result.Activity.InstanceId);
                json.WriteNumber("execution_id", result.Activity.ExecutionId);
                json.WriteNumber("task_id", result.Activity.TaskId);
                json.WriteString("owner", result.Activity.Owner);
                json.WriteNumber("claim", result.Activity.Claim);
                json.WriteNumber("kind", (int)result.Kind);
                json.WriteString("name", result.Activity.Name);
                json.WriteString("data", result.Output);
                json.WriteString("failure", result.Failure);
            }
        );

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

    private static ClaimedActivity ReadActivity(DbDataReader reader) =>
        new(
            reader.GetString(0),
            reader.GetInt64(1),
            (int)reader.GetInt64(2),
            reader.GetString(3),
            reader.GetString(4),
            reader.Text(5),
            reader.GetString(6),
            reader.GetInt64(7),
            (int)reader.GetInt64(8),
            reader.GetString(9)
        )
        {
            TraceParent = reader.Text(10),
        };
}
