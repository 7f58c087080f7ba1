using System.Data.Common;

namespace Librarian.Tests.Durable;

/// <summary>
/// What must hold in the tables once all work is done (docs/spec/durable-engine.md#invariants), whatever was killed on the way.
/// </summary>
public static class Invariants
{
    private static readonly (string What, string Sql)[] Violations =
    [
        ("instances that never ended", "select count(*) from dt_instance where status not in (1,3,5)"),
        (
            "messages left",
            "select count(*) from dt_inbox b "
                + "where not exists (select 1 from dt_instance i where i.instance_id = b.instance_id and i.status = 3 and b.kind = 4)"
        ),
        ("activities left", "select count(*) from dt_activity"),
        (
            "two ends of one task",
            "select count(*) from (select 1 from dt_history where kind in (4,5,7,9,10) "
                + "group by instance_id, execution_id, task_id having count(*) > 1) x"
        ),
        (
            "tasks scheduled twice",
            "select count(*) from (select 1 from dt_history where kind in (3,6,8,12) "
                + "group by instance_id, execution_id, task_id having count(*) > 1) x"
        ),
        (
            "scheduled activities without an end",
            "select count(*) from dt_history s join dt_instance i on i.instance_id = s.instance_id and i.status = 1 "
                + "where s.kind = 3 and not exists (select 1 from dt_history c where c.instance_id = s.instance_id "
                + "and c.execution_id = s.execution_id and c.task_id = s.task_id and c.kind in (4,5))"
        ),
        (
            "gaps in history",
            "select count(*) from (select max(seq) + 1 - count(*) as gap from dt_history "
                + "group by instance_id, execution_id) x where gap <> 0"
        ),
        (
            "owned by nobody on record",
            "select count(*) from dt_instance where owner is not null and owner not in (select id from dt_worker)"
        ),
    ];

    public static async Task AssertAsync(DbConnection connection)
    {
        foreach (var (what, sql) in Violations)
        {
            await using var command = connection.CreateCommand();
            command.CommandText = sql;
            var found = Convert.ToInt64(await command.ExecuteScalarAsync());
            Assert.True(found == 0, $"{found} {what}");
        }
    }
}
