using System.Data.Common;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using Librarian.Contracts;
using Librarian.Durable.Stores;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Repair;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable.Upgrade;

/// <summary>
/// Starts instances of everything that can be on its way, and writes the database into files: once as a worker leaves it that is killed
/// then, once as one does that is told to stop. It compiles with the release before as well (README.md).
/// </summary>
public sealed class FixtureMaker(TestDatabase database) : EngineTests(database)
{
    private const int TimerCreated = 6,
        ChildCompleted = 9;

    /// <summary>Writes <c>{build}-killed</c> and <c>{build}-stopped</c>.</summary>
    public async Task MakeAsync(string folder, string build)
    {
        var workflows = new Workflows(making: true);
        var host = await StartAsync(workflows.AddTo);
        await ScheduleAsync(host);
        await workflows.Hanging.WaitAsync(Limit);
        string? missing = null;
        await Wait.UntilAsync(async () => (missing = await MissingAsync()) is null, () => missing!, Limit);

        await WriteAsync(Path.Combine(folder, $"{build}-killed"));
        await host.StopAsync();
        await WriteAsync(Path.Combine(folder, $"{build}-stopped"));
    }

    private static async Task ScheduleAsync(EngineHost host)
    {
        var client = host.Client;
        foreach (
            var (id, name, input) in new (string, string, object)[]
            {
                ("timer-near", "sleeper", 30),
                ("timer-far", "sleeper", 600),
                ("timeout", "patient", 600),
                ("event", "listener", "event"),
                ("event-kept", "listener", "kept"),
                ("suspended", "listener", "suspended"),
                ("queued", "queued", 3),
                ("busy", "busy", 4),
                ("retry", "retrier", 5),
                ("retry-child", "guardian", 6),
                ("parent", "parent", 7),
                ("eternal", "eternal", 0),
                ("local", "steps", Workflows.Warm + 2),
                ("failed", "fragile", 8),
                ("failed-for-good", "fragile", 9),
                ("completed", "half", 41),
                ("terminated", "listener", "terminated"),
                (SendClone.InstanceId(Workflows.AwayBatch), nameof(SendClone), new SendCloneInput(Workflows.AwayBatch, "archive")),
                (SendClone.InstanceId(Workflows.SentBatch), nameof(SendClone), new SendCloneInput(Workflows.SentBatch, "archive")),
                (IncomingWorkflows.InstanceId(7), nameof(IngestStaged), new IngestInput(7, DeletionPolicy.Allowed)),
                ("tell-north", NotifySource.TaskName, new NotifySourceInput("north")),
                (RepairCopy.InstanceId(5), nameof(RepairCopy), new RepairInput(5)),
            }
        )
        {
            await client.ScheduleNewOrchestrationInstanceAsync(name, input, new StartOrchestrationOptions(id));
        }

        var tags = new Dictionary<string, string> { ["kind"] = "old 'build'" };
        var versioned = new StartOrchestrationOptions("versioned") { Version = "1.2", Tags = tags };
        await client.ScheduleNewOrchestrationInstanceAsync("versioned", 0, versioned);
        var at = DateTimeOffset.UtcNow.AddHours(10);
        await client.ScheduleNewOrchestrationInstanceAsync("half", 10, new StartOrchestrationOptions("later", at));
        await client.RaiseEventAsync("event-kept", "second", "early");
        await client.RaiseEventAsync("eternal", "next", "a");
        await client.RaiseEventAsync("eternal", "next", "b");
        await client.SuspendInstanceAsync("suspended", "for the upgrade");
        await client.RaiseEventAsync("suspended", "first", "kept while suspended");
        await client.TerminateInstanceAsync("terminated");
    }

    /// <summary>What is still to happen before every instance is where it is to be caught; null when nothing is.</summary>
    private async Task<string?> MissingAsync()
    {
        foreach (
            var id in new[]
            {
                "timer-near",
                "timer-far",
                "timeout",
                "retry",
                "retry-child",
                "tell-north",
                IncomingWorkflows.InstanceId(7),
                RepairCopy.InstanceId(5),
                SendClone.InstanceId(Workflows.AwayBatch),
                SendClone.InstanceId(Workflows.SentBatch),
            }
        )
        {
            var timers = await Count($"select count(*) from dt_history where instance_id = '{id}' and kind = {TimerCreated}");
            if (timers == 0)
                return $"a timer of {id}";
        }

        foreach (
            var (what, count) in new[]
            {
                ("dt_instance where instance_id in ('event','event-kept','child') and status = 0 and custom_status = '\"waits\"'", 3),
                ("dt_history where instance_id = 'event-kept' and name = 'second'", 1),
                ("dt_instance where instance_id = 'suspended' and status = 7", 1),
                ("dt_inbox where instance_id = 'suspended' and name = 'first'", 1),
                ("dt_history where instance_id = 'versioned' and kind = 2", 1),
                ("dt_instance where instance_id = 'eternal' and custom_status = '\"generation 2\"'", 1),
                ($"dt_history where instance_id = 'parent' and kind = {ChildCompleted}", 1),
                ("dt_instance where instance_id in ('failed','failed-for-good') and status = 3", 2),
                ("dt_instance where instance_id = 'completed' and status = 1", 1),
                ("dt_instance where instance_id = 'terminated' and status = 5", 1),
                ("dt_activity where instance_id = 'busy' and progress is not null", 1),
                ("dt_activity where instance_id = 'queued' and owner is null", 1),
                ("dt_activity where instance_id = 'local'", 1),
            }
        )
        {
            var found = await Count("select count(*) from " + what);
            if (found != count)
                return $"{count} and not {found} {what}";
        }

        return null;
    }

    private async Task WriteAsync(string file)
    {
        if (Database.IsPostgres)
        {
            await WriteAsync(file + ".sql.gz", new MemoryStream(Encoding.UTF8.GetBytes(await DumpAsync())));
            return;
        }

        var copy = file + ".db";
        File.Delete(copy);
        await Execute($"vacuum into '{copy}'");
        await WriteAsync(copy + ".gz", File.OpenRead(copy));
        File.Delete(copy);
    }

    private static async Task WriteAsync(string file, Stream content)
    {
        await using (content)
        await using (var zip = new GZipStream(File.Create(file), CompressionLevel.SmallestSize))
        {
            await content.CopyToAsync(zip);
        }
    }

    /// <summary>The engine's statements, and one for each row. pg_dump writes settings and commands of one version of the server.</summary>
    private async Task<string> DumpAsync()
    {
        var text = new StringBuilder();
        foreach (var statement in Schema.Statements(postgres: true))
            text.Append(statement.Trim()).Append(";\n");
        await using var connection = Database.Connect(await Database.ConnectionStringAsync());
        await connection.OpenAsync();
        await using var transaction = await connection.BeginTransactionAsync(System.Data.IsolationLevel.RepeatableRead);
        foreach (var table in new[] { "dt_instance", "dt_history", "dt_inbox", "dt_activity", "dt_worker" })
        {
            await using var command = connection.CreateCommand();
            command.CommandText = $"select * from {table} order by 1, 2, 3";
            await using var reader = await command.ExecuteReaderAsync();
            var columns = string.Join(',', Enumerable.Range(0, reader.FieldCount).Select(reader.GetName));
            while (await reader.ReadAsync())
            {
                var values = string.Join(',', Enumerable.Range(0, reader.FieldCount).Select(i => Literal(reader, i)));
                text.Append(CultureInfo.InvariantCulture, $"insert into {table}({columns}) overriding system value values ({values});\n");
            }
        }

        text.Append("select setval(pg_get_serial_sequence('dt_inbox','id'), (select coalesce(max(id), 1) from dt_inbox));\n");
        return text.ToString();
    }

    /// <summary>Without control characters: stack traces have line ends, and ids of the engine's own begin with one.</summary>
    private static string Literal(DbDataReader reader, int column)
    {
        if (reader.IsDBNull(column))
            return "null";
        if (reader.GetValue(column) is not string value)
            return reader.GetInt64(column).ToString(CultureInfo.InvariantCulture);
        var escaped = new StringBuilder("E'");
        foreach (var character in value)
        {
            if (char.IsControl(character))
                escaped.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:x4}");
            else if (character is '\'' or '\\')
                escaped.Append('\\').Append(character);
            else
                escaped.Append(character);
        }

        return escaped.Append('\'').ToString();
    }
}
