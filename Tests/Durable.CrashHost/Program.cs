using System.Diagnostics;
using System.Globalization;
using Librarian.Durable;
using Librarian.Durable.Hosting;
using Librarian.Durable.Worker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

// A worker in its own process, for tests that kill it. Arguments: database kind, connection string, node name, then name=value:
//   lease=MS            lease duration (margin and heartbeat interval follow from it)
//   backoff=MS          first back-off
//   die-at=POINT        kills itself with SIGKILL at that point (see TurnTriggers)
//   deliveries=N        deliveries after which work is poison (for tests in which the work does not cause the kills)
//   record=FILE         file to which the activity "work" writes each run
var (kind, connectionString, node) = (args[0], args[1], args[2]);
var more = args.Skip(3).Select(a => a.Split('=', 2)).ToDictionary(a => a[0], a => a[1]);
Librarian.Tests.Durable.Crash.WorkActivity.Record = more.GetValueOrDefault("record");
var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
builder.Services.AddDurableTaskWorker(durable =>
{
    if (kind == "postgres")
        durable.UsePostgreSql(connectionString);
    else
        durable.UseSqlite(connectionString);
    durable.Configure(options =>
    {
        options.NodeName = node;
        if (more.TryGetValue("lease", out var lease))
        {
            options.LeaseDuration = TimeSpan.FromMilliseconds(int.Parse(lease, CultureInfo.InvariantCulture));
            options.LeaseMargin = options.LeaseDuration / 4;
            options.HeartbeatInterval = options.LeaseDuration / 6;
        }

        options.FirstBackoff = TimeSpan.FromMilliseconds(int.Parse(more.GetValueOrDefault("backoff", "200"), CultureInfo.InvariantCulture));
        if (more.TryGetValue("deliveries", out var deliveries))
            options.MaxDeliveries = int.Parse(deliveries, CultureInfo.InvariantCulture);
        options.PollInterval = TimeSpan.FromSeconds(1);
    });
    durable.AddTasks(tasks => tasks.AddTasksFrom(typeof(Program).Assembly));
});
using var host = builder.Build();
if (more.TryGetValue("die-at", out var point))
{
    host.Services.GetRequiredService<TurnTriggers>().Hit = (reached, _) =>
    {
        if (reached == point)
            Librarian.Tests.Durable.Crash.Death.Now();
        return Task.CompletedTask;
    };
}

await host.StartAsync();
Console.WriteLine("ready");
await host.WaitForShutdownAsync();

namespace Librarian.Tests.Durable.Crash
{
    /// <summary>Kills the process with SIGKILL: no handler, no flush, no finally.</summary>
    public static class Death
    {
        public static void Now()
        {
            Process.GetCurrentProcess().Kill();
            Thread.Sleep(Timeout.Infinite);
        }
    }

    /// <summary>
    /// Runs rounds of fan-out, each with one exactly-once effect and some with a child or a timer, then an activity that needs retries and
    /// an event that the test sends twice; continues as new until the last generation.
    /// </summary>
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
                if (round % 3 == 2)
                    sum += await context.CallSubOrchestratorAsync<int>("child", round);
                if (round % 4 == 3)
                    await context.CreateTimer(TimeSpan.FromMilliseconds(5), CancellationToken.None);
            }

            // Its task ids increase by two with each retry, so one of three attempts has a multiple of three.
            sum += await context.CallActivityAsync<int>(
                "flaky",
                null,
                TaskOptions.FromRetryPolicy(new RetryPolicy(3, TimeSpan.FromMilliseconds(2)))
            );
            sum += await context.WaitForExternalEvent<int>("bonus-" + input.Generations);
            if (input.Generations > 1)
                context.ContinueAsNew(input with { Generations = input.Generations - 1, Sum = sum });
            return sum;
        }
    }

    public sealed record LoadInput(int Rounds, int Generations, int Sum)
    {
        /// <summary>The result of the whole instance, computed without the engine.</summary>
        public static int Expected(int rounds, int generations) => generations * ((rounds * 3) + (rounds / 3 * 10) + 100 + 1000);
    }

    [DurableTask("child")]
    public sealed class ChildOrchestrator : TaskOrchestrator<int, int>
    {
        public override Task<int> RunAsync(TaskOrchestrationContext context, int input) => context.CallActivityAsync<int>("work", 10);
    }

    /// <summary>Waits for ever; the test terminates it.</summary>
    [DurableTask("endless")]
    public sealed class EndlessOrchestrator : TaskOrchestrator<int, int>
    {
        public override async Task<int> RunAsync(TaskOrchestrationContext context, int input)
        {
            while (true)
            {
                await context.CreateTimer(TimeSpan.FromMilliseconds(50), CancellationToken.None);
                await context.CallActivityAsync<int>("work", 1);
            }
        }
    }

    [DurableTask("work")]
    public sealed class WorkActivity : TaskActivity<int, int>
    {
        private static readonly Lock Gate = new();

        /// <summary>Each process needs its own file: .NET does not open files with O_APPEND, so a shared one would lose lines.</summary>
        public static string? Record { get; set; }

        public override async Task<int> RunAsync(TaskActivityContext context, int input)
        {
            await Task.Delay(input);
            if (Record is null)
                return input;
            lock (Gate)
                File.AppendAllText($"{Record}.{Environment.ProcessId}", context.OperationId + "\n");
            return input;
        }
    }

    [DurableTask("flaky")]
    public sealed class FlakyActivity : TaskActivity<int?, int>
    {
        public override Task<int> RunAsync(TaskActivityContext context, int? input) =>
            int.Parse(context.OperationId.Split('/')[^1], CultureInfo.InvariantCulture) % 3 == 0
                ? Task.FromResult(100)
                : throw new IOException("try again");
    }

    /// <summary>Waits for a file, so that a test can kill the process meanwhile.</summary>
    [DurableTask("wait-for-file")]
    public sealed class WaitForFileActivity : TaskActivity<string, int>
    {
        public override async Task<int> RunAsync(TaskActivityContext context, string input)
        {
            await File.WriteAllTextAsync(input + ".started", "");
            while (!File.Exists(input))
                await Task.Delay(10, context.CancellationToken);
            return context.DeliveryCount;
        }
    }

    [DurableTask("file")]
    public sealed class FileOrchestrator : TaskOrchestrator<string, int>
    {
        public override Task<int> RunAsync(TaskOrchestrationContext context, string input) =>
            context.CallActivityAsync<int>("wait-for-file", input);
    }

    /// <summary>Kills its process whenever it runs.</summary>
    [DurableTask("suicide")]
    public sealed class SuicideActivity : TaskActivity<int, int>
    {
        public override Task<int> RunAsync(TaskActivityContext context, int input)
        {
            Death.Now();
            return Task.FromResult(input);
        }
    }

    [DurableTask("survive")]
    public sealed class SurviveOrchestrator : TaskOrchestrator<int, string>
    {
        public override async Task<string> RunAsync(TaskOrchestrationContext context, int input)
        {
            try
            {
                return (
                    await context.CallActivityAsync<int>(
                        "suicide",
                        input,
                        TaskOptions.FromRetryPolicy(new RetryPolicy(10, TimeSpan.FromMilliseconds(1)))
                    )
                ).ToString(CultureInfo.InvariantCulture);
            }
            catch (TaskFailedException failure)
            {
                return failure.FailureDetails.ErrorType;
            }
        }
    }

    /// <summary>Kills its process from orchestrator code.</summary>
    [DurableTask("deadly")]
    public sealed class DeadlyOrchestrator : TaskOrchestrator<int, int>
    {
        public override Task<int> RunAsync(TaskOrchestrationContext context, int input)
        {
            Death.Now();
            return Task.FromResult(input);
        }
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
