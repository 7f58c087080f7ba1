using System.Data.Common;
using System.Globalization;
using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

internal sealed partial class ClientQueries
{
    /// <summary>
    /// Makes a failed instance active again and posts a message that makes its next worker rewind it; false if it is not failed. It is one
    /// transaction: of two clients only one succeeds, and a start that replaces the instance comes entirely before or after it.
    /// </summary>
    public Task<bool> RewindAsync(string instanceId, string? reason, CancellationToken cancellationToken) =>
        store.TransactAsync(
            async session =>
            {
                var execution = await session.QueryAsync(
                    new SqlStatement(
                        $"""
                        update dt_instance set status = {RowStatus.Running}, output = null, failure = null,
                          completed_at = null, attempts = 0, not_before = 0, updated_at = {store.Now}
                        where instance_id = @i and status = {RowStatus.Failed} returning execution_id
                        """
                    ).With("i", instanceId),
                    reader => reader.GetInt64(0),
                    cancellationToken
                );
                if (execution.Count == 0)
                    return false;
                // Failures of activities that ended after the instance failed: these activities run again, like those that failed before.
                await session.ExecuteAsync(
                    new SqlStatement($"delete from dt_inbox where instance_id = @i and kind = {(int)EventKind.TaskFailed}").With(
                        "i",
                        instanceId
                    ),
                    cancellationToken
                );
                await session.ExecuteAsync(
                    new SqlStatement(
                        "insert into dt_inbox(instance_id, execution_id, visible_at, kind, data) "
                            + $"values (@i, @e, {store.Now}, {(int)EventKind.ExecutionRewound}, @reason)"
                    )
                        .With("i", instanceId)
                        .With("e", execution[0])
                        .With("reason", reason),
                    cancellationToken
                );
                return true;
            },
            cancellationToken
        );

    /// <summary>The current execution's history, in order.</summary>
    public async Task<List<OrchestrationHistoryEvent>> HistoryAsync(string instanceId, CancellationToken cancellationToken)
    {
        await using var session = await store.OpenAsync(cancellationToken);
        return await session.QueryAsync(
            new SqlStatement(
                """
                select h.seq, h.kind, h.task_id, h.name, h.data, h.failure, h.at from dt_history h
                join dt_instance i on i.instance_id = h.instance_id and i.execution_id = h.execution_id
                where h.instance_id = @i order by h.seq
                """
            ).With("i", instanceId),
            ReadHistory,
            cancellationToken
        );
    }

    private static OrchestrationHistoryEvent ReadHistory(DbDataReader reader)
    {
        var kind = (EventKind)reader.GetInt64(1);
        var taskId = (int)reader.GetInt64(2);
        var (name, data, failure) = (reader.Text(3), reader.Text(4), reader.Text(5));
        var row = new OrchestrationHistoryEvent(
            (int)reader.GetInt64(0),
            kind.ToString(),
            DateTimeOffset.FromUnixTimeMilliseconds(reader.GetInt64(6)),
            taskId < 0 ? null : taskId
        )
        {
            Name = kind == EventKind.ExecutionCompleted ? null : name,
            FailureDetails = failure is null ? null : OrchestrationExecution.ReadFailure(failure),
        };
        return kind switch
        {
            EventKind.ExecutionStarted or EventKind.TaskScheduled or EventKind.EventRaised or EventKind.EventSent => row with
            {
                Input = data,
            },
            EventKind.TaskCompleted or EventKind.SubOrchestrationCompleted => row with { Result = data },
            EventKind.TimerCreated when long.TryParse(data, NumberStyles.None, CultureInfo.InvariantCulture, out var at) => row with
            {
                FireAt = DateTimeOffset.FromUnixTimeMilliseconds(at),
            },
            EventKind.SubOrchestrationCreated => row with { ChildInstanceId = data },
            EventKind.ExecutionCompleted => row with { OrchestrationStatus = name, Result = data },
            _ => row with { Reason = data },
        };
    }
}
