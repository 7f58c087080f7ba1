using System.Data.Common;
using System.Text.Encodings.Web;
using System.Text.Json;
using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>The statements of clients: starts, messages, queries and purges.</summary>
internal sealed partial class ClientQueries(DurableStore store)
{
    private static readonly DurableJson PlainJson = new(
        new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }
    );

    private const string Columns =
        "name, instance_id, status, created_at, updated_at, tags, version, parent_id, failure, input, output, custom_status";

    private readonly string _startRows = store.Rows(
        "@rows",
        "instance_id text",
        "name text",
        "version text",
        "input text",
        "tags text",
        "start_at bigint",
        "dedupe bigint"
    );

    private readonly string _post = $"""
        insert into dt_inbox(instance_id, visible_at, kind, name, data, message_id)
        select i.instance_id, {store.Now}, @kind, @name, @data, @message from dt_instance i
        where i.instance_id = @i and i.status in {RowStatus.Active}
        on conflict (instance_id, message_id) do nothing
        """;

    /// <summary>
    /// Starts instances in the session's transaction: removes predecessors whose status does not refuse the start, inserts those instances
    /// whose id is free, and gives each inserted one its first message. Returns the ids of the started instances.
    /// </summary>
    public async Task<HashSet<string>> StartAsync(
        StoreSession session,
        IReadOnlyCollection<StartRow> starts,
        string? traceParent,
        CancellationToken cancellationToken
    )
    {
        var integer = store.IsShared ? "int" : "integer";
        var replaced =
            $"(select x.instance_id from dt_instance x join {_startRows} on r.instance_id = x.instance_id "
            + $"where (r.dedupe & (1 << cast(x.status as {integer}))) = 0)";
        // The instance row is deleted last: until then it says which rows to remove.
        var removals = ((string[])["dt_inbox", "dt_activity", "dt_history", "dt_instance"])
            .Select(table => OnRows($"delete from {table} where instance_id in {replaced}", starts))
            .ToList();
        await session.ExecuteAsync(removals, cancellationToken);
        var tags = store.AsTags("r.tags");
        var started = (
            await session.QueryAsync(
                OnRows(
                        $"""
                        insert into dt_instance(
                          instance_id, execution_id, name, version, status, input, tags, created_at, updated_at, claim, trace_parent)
                        select r.instance_id, {store.Now}, r.name, r.version, {RowStatus.Pending}, r.input, {tags},
                          {store.Now}, {store.Now}, {store.Now}, @trace
                        from {_startRows} where true order by r.instance_id on conflict (instance_id) do nothing returning instance_id
                        """,
                        starts
                    )
                    .With("trace", traceParent),
                reader => reader.GetString(0),
                cancellationToken
            )
        ).ToHashSet(StringComparer.Ordinal);
        if (started.Count > 0)
        {
            await session.ExecuteAsync(
                OnRows(
                    $"""
                    insert into dt_inbox(instance_id, execution_id, visible_at, kind, name, data)
                    select i.instance_id, i.execution_id, coalesce(r.start_at, {store.Now}), {(int)EventKind.ExecutionStarted},
                      r.name, r.input
                    from {_startRows} join dt_instance i on i.instance_id = r.instance_id
                    """,
                    starts.Where(row => started.Contains(row.InstanceId))
                ),
                cancellationToken
            );
        }

        return started;
    }

    private static SqlStatement OnRows(string text, IEnumerable<StartRow> rows) =>
        new SqlStatement(text).WithRows("rows", rows.OrderBy(row => row.InstanceId, StringComparer.Ordinal), (json, row) =>
        {
            json.WriteString("instance_id", row.InstanceId);
            json.WriteString("name", row.Name);
            json.WriteString("version", row.Version);
            json.WriteString("input", row.Input);
            json.WriteString("tags", row.Tags);
            if (row.StartAt is { } at)
                json.WriteNumber("start_at", at);
            else
                json.WriteNull("start_at");
            json.WriteNumber("dedupe", row.DedupeMask);
        });

    /// <summary>Puts a message into the inbox of an active instance. It hits one row, or none if nothing was stored.</summary>
    public SqlStatement Post(string instanceId, EventKind kind, string? name, string? data, string? messageId) =>
        new SqlStatement(_post)
            .With("i", instanceId)
            .With("kind", (long)kind)
            .With("name", name)
            .With("data", data)
            .With("message", messageId);

    /// <summary>Ended instances, ordered by end time, then id.</summary>
    public async Task<Page<string>> ListIdsAsync(
        IEnumerable<OrchestrationRuntimeStatus>? statuses,
        DateTimeOffset? from,
        DateTimeOffset? to,
        int limit,
        (long At, string InstanceId)? after,
        CancellationToken cancellationToken
    )
    {
        var wanted = statuses?.Any() == true ? [.. statuses.Select(status => (long)status)] : RowStatus.Ended;
        await using var session = await store.OpenAsync(cancellationToken);
        var ended = store.In("status", "@statuses");
        var text = $"""
            select instance_id, completed_at from dt_instance where {ended} and completed_at >= @from and completed_at <= @to
              and (completed_at, instance_id) > (@at, @id) order by completed_at, instance_id limit @limit
            """;
        var statement = new SqlStatement(text)
            .With("statuses", wanted)
            .With("from", from?.ToUnixTimeMilliseconds() ?? 0)
            .With("to", to?.ToUnixTimeMilliseconds() ?? long.MaxValue)
            .With("at", after?.At ?? -1)
            .With("id", after?.InstanceId ?? "")
            .With("limit", limit + 1);
        var rows = await session.QueryAsync(statement, reader => (Id: reader.GetString(0), At: reader.GetInt64(1)), cancellationToken);
        var values = rows.Take(limit).ToList();
        return new(
            [.. values.Select(row => row.Id)],
            rows.Count > limit ? PageToken.Of(DateTimeOffset.FromUnixTimeMilliseconds(values[^1].At), values[^1].Id) : null
        );
    }

    public async Task<OrchestrationMetadata?> GetAsync(
        string instanceId,
        bool withData,
        DataConverter converter,
        CancellationToken cancellationToken
    )
    {
        await using var session = await store.OpenAsync(cancellationToken);
        var rows = await session.QueryAsync(
            new SqlStatement($"select {SelectList(withData)} from dt_instance where instance_id = @i").With("i", instanceId),
            reader => Read(reader, withData, converter),
            cancellationToken
        );
        return rows.Count == 0 ? null : rows[0];
    }

    public async Task<InstanceDetails?> DetailsAsync(string instanceId, DataConverter converter, CancellationToken cancellationToken)
    {
        await using var session = await store.OpenAsync(cancellationToken);
        var rows = await session.QueryAsync(
            new SqlStatement($"select {Columns} from dt_instance where instance_id = @i").With("i", instanceId),
            reader => new InstanceDetails(Read(reader, true, converter), reader.GetString(6), reader.Text(7)),
            cancellationToken
        );
        return rows.Count == 0 ? null : rows[0];
    }

    public async Task<List<PendingActivity>> PendingAsync(string instanceId, DataConverter converter, CancellationToken cancellationToken)
    {
        await using var session = await store.OpenAsync(cancellationToken);
        return await session.QueryAsync(
            new SqlStatement(
                "select execution_id, task_id, name, queue, created_at, attempts, owner, progress from dt_activity "
                    + "where instance_id = @i order by execution_id, task_id"
            ).With("i", instanceId),
            reader => new PendingActivity(
                $"{instanceId}/{reader.GetInt64(0)}/{reader.GetInt64(1)}",
                reader.GetString(2),
                reader.GetString(3),
                DateTimeOffset.FromUnixTimeMilliseconds(reader.GetInt64(4)),
                (int)reader.GetInt64(5)
            )
            {
                Worker = reader.Text(6),
                SerializedProgress = reader.Text(7),
                DataConverter = converter,
            },
            cancellationToken
        );
    }

    /// <summary>Rows after a position (creation time, id), so a page does not depend on changes to other rows.</summary>
    public async Task<List<OrchestrationMetadata>> ListAsync(
        OrchestrationQuery query,
        int limit,
        (long CreatedAt, string InstanceId)? after,
        DataConverter converter,
        CancellationToken cancellationToken
    )
    {
        var conditions = new List<string> { "true" };
        var values = new List<Action<SqlStatement>>();
        void Where(string condition, Action<SqlStatement> value)
        {
            conditions.Add(condition);
            values.Add(value);
        }

        if (query.CreatedFrom is { } from)
            Where("created_at >= @from", s => s.With("from", from.ToUnixTimeMilliseconds()));
        if (query.CreatedTo is { } to)
            Where("created_at <= @to", s => s.With("to", to.ToUnixTimeMilliseconds()));
        if (query.Statuses is { } statuses && statuses.Any())
            Where(store.In("status", "@statuses"), s => s.With("statuses", [.. statuses.Select(status => (long)status)]));
        var more = query as InstanceQuery;
        if (more?.Names is { Count: > 0 } names)
            Where(store.In("name", "@names"), s => s.With("names", [.. names]));
        // Not LIKE: ids may contain its wildcards.
        if (!string.IsNullOrEmpty(query.InstanceIdPrefix))
            Where("substr(instance_id, 1, length(@prefix)) = @prefix", s => s.With("prefix", query.InstanceIdPrefix));
        if (more?.Tags is { Count: > 0 } tags)
            Where(store.HasTags("@tags"), s => s.WithJson("tags", TagsText(tags)));
        if (more?.ParentsOnly == true)
            conditions.Add("parent_id is null");
        if (after is { } position)
            Where("(created_at, instance_id) > (@at, @id)", s => s.With("at", position.CreatedAt).With("id", position.InstanceId));
        var statement = new SqlStatement(
            $"select {SelectList(query.FetchInputsAndOutputs)} from dt_instance where {string.Join(" and ", conditions)} "
                + "order by created_at, instance_id limit @limit"
        ).With("limit", limit);
        foreach (var value in values)
            value(statement);
        await using var session = await store.OpenAsync(cancellationToken);
        return await session.QueryAsync(statement, reader => Read(reader, query.FetchInputsAndOutputs, converter), cancellationToken);
    }

    public static string? TagsText(IReadOnlyDictionary<string, string> tags) =>
        tags.Count == 0
            ? null
            : SqlStatement.Unescaped(JsonSerializer.Serialize(new Dictionary<string, string>(tags), PlainJson.DictionaryStringString));

    private static string SelectList(bool withData) =>
        withData ? Columns : Columns.Replace("input, output, custom_status", "null, null, null", StringComparison.Ordinal);

    private static OrchestrationMetadata Read(DbDataReader reader, bool withData, DataConverter converter) =>
        new(reader.GetString(0), reader.GetString(1))
        {
            RuntimeStatus = (OrchestrationRuntimeStatus)reader.GetInt64(2),
            CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(reader.GetInt64(3)),
            LastUpdatedAt = DateTimeOffset.FromUnixTimeMilliseconds(reader.GetInt64(4)),
            Tags = reader.Text(5) is { } tags
                ? JsonSerializer.Deserialize(tags, DurableJson.Default.DictionaryStringString)!
                : new Dictionary<string, string>(StringComparer.Ordinal),
            FailureDetails = reader.Text(8) is { } failure ? OrchestrationExecution.ReadFailure(failure) : null,
            SerializedInput = reader.Text(9),
            SerializedOutput = reader.Text(10),
            SerializedCustomStatus = reader.Text(11),
            DataConverter = withData ? converter : null,
        };
}
