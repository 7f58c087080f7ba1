using Librarian.Durable;
using Microsoft.Extensions.Hosting;

// A worker in a process of its own, for tests that kill it: arguments are the database kind, its connection string and the node name.
var (kind, connectionString, node) = (args[0], args[1], args[2]);
var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
builder.Services.AddDurableTask(durable =>
{
    if (kind == "postgres") durable.UsePostgreSql(connectionString);
    else durable.UseSqlite(connectionString);
    durable.Configure(options =>
    {
        options.NodeName = node;
        if (args.Length > 3)
        {
            options.LeaseDuration = TimeSpan.FromMilliseconds(int.Parse(args[3]));
            options.LeaseMargin = options.LeaseDuration / 4;
            options.HeartbeatInterval = options.LeaseDuration / 6;
        }

        options.FirstBackoff = TimeSpan.FromMilliseconds(200);
    });
    durable.AddTasksFrom(typeof(Program).Assembly);
});
using var host = builder.Build();
await host.StartAsync();
Console.WriteLine("ready");
await host.WaitForShutdownAsync();

namespace Librarian.Tests.Durable.Crash
{
    /// <summary>Rounds of fan-out, one exactly-once effect each, now and then a child, a timer and a new generation.</summary>
    [DurableTask("load")]
    public sealed class LoadOrchestrator : TaskOrchestrator<LoadInput, int>
    {
        public override async Task<int> RunAsync(TaskOrchestrationContext context, LoadInput input)
        {
            var sum = input.Sum;
            for (var round = 0; round < input.Rounds; round++)
            {
                sum += (await Task.WhenAll(Enumerable.Range(0, 3).Select(i => context.CallActivityAsync<int>("work", i)))).Sum();
                await context.CallActivityAsync("effect", round);
                if (round % 3 == 2) sum += await context.CallSubOrchestratorAsync<int>("child", round);
                if (round % 4 == 3) await context.CreateTimer(TimeSpan.FromMilliseconds(5), CancellationToken.None);
            }

            if (input.Generations > 1) context.ContinueAsNew(input with { Generations = input.Generations - 1, Sum = sum });
            return sum;
        }
    }

    public sealed record LoadInput(int Rounds, int Generations, int Sum);

    [DurableTask("child")]
    public sealed class ChildOrchestrator : TaskOrchestrator<int, int>
    {
        public override Task<int> RunAsync(TaskOrchestrationContext context, int input) => context.CallActivityAsync<int>("work", 10);
    }

    [DurableTask("work")]
    public sealed class WorkActivity : TaskActivity<int, int>
    {
        public override async Task<int> RunAsync(TaskActivityContext context, int input)
        {
            await Task.Delay(input);
            return input;
        }
    }

    /// <summary>Waits for a file, so that a test can kill the process while it waits.</summary>
    [DurableTask("wait-for-file")]
    public sealed class WaitForFileActivity : TaskActivity<string, int>
    {
        public override async Task<int> RunAsync(TaskActivityContext context, string input)
        {
            await File.WriteAllTextAsync(input + ".started", "");
            while (!File.Exists(input)) await Task.Delay(10, context.CancellationToken);
            return context.DeliveryCount;
        }
    }

    [DurableTask("file")]
    public sealed class FileOrchestrator : TaskOrchestrator<string, int>
    {
        public override Task<int> RunAsync(TaskOrchestrationContext context, string input) => context.CallActivityAsync<int>("wait-for-file", input);
    }

    [DurableTask("effect")]
    public sealed class EffectActivity : TransactionalActivity<int, int>
    {
        public override async Task<int> RunAsync(TransactionalActivityContext context, int input)
        {
            await using var command = context.Connection.CreateCommand();
            command.Transaction = context.Transaction;
            command.CommandText = "insert into effect(operation) values (@operation)";
            var operation = command.CreateParameter();
            operation.ParameterName = "operation";
            operation.Value = context.OperationId;
            command.Parameters.Add(operation);
            return await command.ExecuteNonQueryAsync();
        }
    }
}
