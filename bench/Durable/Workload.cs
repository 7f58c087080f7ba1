using System.Collections.Concurrent;
using System.Diagnostics;
using Librarian.Durable;
using Microsoft.DurableTask;

namespace Librarian.Bench.Durable;

public sealed record FanInput(int Width, int Milliseconds);

/// <summary>The measured workload: no-op activities, so that only the engine's own cost counts.</summary>
internal static class Workload
{
    /// <summary>Times at which the steps of a <c>chain</c> ran, to show the cost over time.</summary>
    public static readonly ConcurrentQueue<long> StepTimes = new();

    public static void Register(DurableTaskRegistry tasks) =>
        tasks
            .AddOrchestratorFunc<int, int>("chain", async (c, steps) =>
            {
                var n = 0;
                for (var i = 0; i < steps; i++)
                    n = await c.CallActivityAsync<int>("plus-one", n);
                return n;
            })
            .AddOrchestratorFunc<FanInput, int>("fan", async (c, input) =>
                (
                    await Task.WhenAll(Enumerable.Range(0, input.Width).Select(_ => c.CallActivityAsync<int>("sleep", input.Milliseconds)))
                ).Length
            )
            .AddOrchestratorFunc<FanInput, int>("parent", async (c, input) =>
                (
                    await Task.WhenAll(
                        Enumerable.Range(0, input.Width).Select(_ => c.CallSubOrchestratorAsync<int>("chain", input.Milliseconds))
                    )
                ).Sum()
            )
            .AddOrchestratorFunc<DateTime, int>("timer", async (c, due) =>
            {
                await c.CreateTimer(due, CancellationToken.None);
                return 1;
            })
            .AddOrchestratorFunc<int, int>("event", async (c, _) =>
                await c.CallActivityAsync<int>("plus-one", await c.WaitForExternalEvent<int>("go"))
            )
            .AddOrchestratorFunc<int, int>("long-history", async (c, steps) =>
            {
                for (var i = 0; i < steps; i += 50)
                    await Task.WhenAll(Enumerable.Range(0, 50).Select(n => c.CallActivityAsync<int>("plus-one", n)));
                c.SetCustomStatus("built");
                while (await c.WaitForExternalEvent<int>("tick") is var tick and > 0)
                    c.SetCustomStatus(tick);
                return steps;
            })
            .AddOrchestratorFunc<string, int>("hold", (c, file) => c.CallActivityAsync<int>("hold", file))
            .AddActivityFunc<int, int>("plus-one", (_, n) =>
            {
                StepTimes.Enqueue(Stopwatch.GetTimestamp());
                return Task.FromResult(n + 1);
            })
            .AddActivityFunc<int, int>("sleep", async (_, milliseconds) =>
            {
                if (milliseconds > 0)
                    await Task.Delay(milliseconds);
                return 1;
            })
            .AddActivityFunc<string, int>("hold", async (c, file) =>
            {
                await File.WriteAllTextAsync(file + ".started", "");
                while (!File.Exists(file))
                    await Task.Delay(5, c.CancellationToken);
                return c.DeliveryCount;
            });
}
