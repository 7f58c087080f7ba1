using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Hosting;

namespace Librarian.Bench.Durable;

/// <summary>A worker in its own process.</summary>
internal sealed class WorkerProcess : IAsyncDisposable
{
    private readonly Process _process;

    private WorkerProcess(Process process) => _process = process;

    public static async Task<WorkerProcess> StartAsync(BenchDatabase database, string node, int slots, TimeSpan lease)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, UseShellExecute = false };
        foreach (
            var argument in new[]
            {
                typeof(WorkerProcess).Assembly.Location,
                "worker",
                database.Kind,
                database.ConnectionString,
                node,
                slots.ToString(CultureInfo.InvariantCulture),
                lease.TotalMilliseconds.ToString(CultureInfo.InvariantCulture),
            }
        )
            start.ArgumentList.Add(argument);
        var process = new WorkerProcess(Process.Start(start)!);
        if (await process._process.StandardOutput.ReadLineAsync() != "ready")
            throw new InvalidOperationException($"worker {node} did not start");
        return process;
    }

    /// <summary>Entry point of such a process.</summary>
    public static async Task<int> MainAsync(string[] args)
    {
        var lease = TimeSpan.FromMilliseconds(double.Parse(args[5], CultureInfo.InvariantCulture));
        using var host = new BenchDatabase(args[1], args[2]).Build(args[3], options =>
        {
            options.MaxConcurrentActivities = int.Parse(args[4], CultureInfo.InvariantCulture);
            options.LeaseDuration = lease;
            options.LeaseMargin = lease / 4;
            options.HeartbeatInterval = lease / 4;
        });
        await host.StartAsync();
        Console.WriteLine("ready");
        await host.WaitForShutdownAsync();
        return 0;
    }

    /// <summary>Kills the process with SIGKILL.</summary>
    public async Task KillAsync()
    {
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process.Dispose();
    }
}
