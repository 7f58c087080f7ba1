using System.Data.Common;
using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

internal sealed partial class WorkQueries
{
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
        where i.status in {RowStatus.TakesResults}
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
          where i.status in {RowStatus.TakesResults})
        select distinct instance_id from gone
        """;

    private readonly string _escape = $"""
        insert into dt_inbox(instance_id, execution_id, visible_at, kind, data, message_id)
        select i.instance_id, i.execution_id, {store.Now}, {(int)EventKind.OrchestratorEscaped}, @data, @message from dt_instance i
        where i.instance_id = @i and i.execution_id = @e and i.status in {RowStatus.Active}
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

    /// <summary>Sends an execution the message that its code ran outside its flow of control; repeated calls store one message.</summary>
    public SqlStatement Escape(ExecutionIdentity identity, string what) =>
        new SqlStatement(_escape)
            .With("i", identity.InstanceId)
            .With("e", identity.ExecutionId)
            .With("data", what)
            .With("message", string.Create(System.Globalization.CultureInfo.InvariantCulture, $"escape:{identity.ExecutionId}"));

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
