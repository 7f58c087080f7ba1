using Microsoft.Extensions.Options;

namespace Librarian.Functions.Hosting;

public sealed class TimerLoopOptions
{
    /// <summary>
    /// How long a lease lasts without renewal before other processes take over, unless they can see that its process has ended. It is
    /// renewed after a third of this time. Default 1 minute.
    /// </summary>
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Longest wait before the clock and the stored record are read again, so that changes of the clock and writes of other processes are
    /// noticed. Default 1 minute.
    /// </summary>
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromMinutes(1);
}

/// <summary>
/// Runs the timer functions by the schedule recorded in <see cref="ITimerStatusStore"/>, both stand-alone and behind the Functions host,
/// whose calls only <see cref="Wake"/> it. Starts when the application has started.
/// </summary>
public sealed class TimerLoop : BackgroundService
{
    private readonly IHostApplicationLifetime _lifetime;
    private readonly Dictionary<string, TimerRunner> _runners;

    /// <summary>Makes a runner for every function.</summary>
    public TimerLoop(
        TimerSchedules schedules,
        ITimerStatusStore store,
        IServiceScopeFactory scopes,
        TimeProvider time,
        IHostApplicationLifetime lifetime,
        IOptions<TimerLoopOptions> options,
        ILogger<TimerLoop> logger
    )
    {
        ArgumentNullException.ThrowIfNull(schedules);
        ArgumentNullException.ThrowIfNull(options);
        _lifetime = lifetime;
        _runners = new Dictionary<string, TimerRunner>(StringComparer.OrdinalIgnoreCase);
        var owner = $"{ProcessIdentity.Current}|{Guid.NewGuid():N}";
        var clock = new ClockWatch(time, logger);
        foreach (var (function, schedule) in schedules.All)
        {
            var row = new TimerRow(function.Name, store, clock, time, options.Value, owner, logger);
            var run = new TimerFunctionRun(function, scopes);
            _runners.Add(function.Name, new TimerRunner(run, schedule, row, clock, time, options.Value.PollInterval, logger));
        }
    }

    /// <summary>
    /// Makes one function check its record at once. Nothing starts that is not due, so a call is always harmless; several calls before the
    /// check count as one.
    /// </summary>
    /// <returns>False if no such function runs here.</returns>
    public bool Wake(string functionName)
    {
        if (!_runners.TryGetValue(functionName, out var runner))
            return false;
        runner.Wake();
        return true;
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Functions may need the results of other services (migrations, repair after a crash), so wait until all have started.
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using (_lifetime.ApplicationStarted.Register(() => started.TrySetResult()))
        await using (stoppingToken.Register(() => started.TrySetCanceled(stoppingToken)))
        {
            await ((Task)started.Task).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (!stoppingToken.IsCancellationRequested)
            await Task.WhenAll(_runners.Values.Select(r => r.RunAsync(stoppingToken)));
    }
}
