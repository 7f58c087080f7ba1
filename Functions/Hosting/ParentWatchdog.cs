using System.Runtime.InteropServices;

namespace Librarian.Functions.Hosting;

/// <summary>
/// Ends this process when the process that started it is gone. A Functions host can die without ending its worker, and the orphan would go
/// on working beside the next one (docs/spec/functions-host.md#orphaned-workers). Asks the site to stop, and ends the process after a grace
/// period.
/// </summary>
public sealed partial class ParentWatchdog(int parent, TimeProvider time, IHostApplicationLifetime lifetime, ILogger<ParentWatchdog> logger)
    : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);

    public static int CurrentParent => getppid();

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Compared with the parent at start, not with 1: inside a container the host itself may be process 1.
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            while (getppid() == parent)
                await timer.WaitForNextTickAsync(stoppingToken);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            return;
        }

        Logs.ParentGone(logger, parent);
        Environment.ExitCode = SiteApplication.FatalExitCode;

        // Not awaited: the ordinary stop waits for this service and would then always take the whole grace period.
        _ = InsistAsync();
        lifetime.StopApplication();
    }

    private async Task InsistAsync()
    {
        await Task.Delay(Grace, time);
        Environment.Exit(SiteApplication.FatalExitCode);
    }

    [DllImport("libc")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int getppid();
}
