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

    /// <summary>Resolves every schedule.</summary>
    /// <exception cref="FunctionDiscoveryException">A schedule's setting is missing or wrong; all of them are named.</exception>
    public TimerLoop(
        FunctionCatalog catalog,
        ITimerStatusStore store,
        IServiceScopeFactory scopes,
        IConfiguration configuration,
        TimeProvider time,
        IHostApplicationLifetime lifetime,
        IOptions<TimerLoopOptions> options,
        ILogger<TimerLoop> logger
    )
    {
        _lifetime = lifetime;
        _runners = new Dictionary<string, TimerRunner>(StringComparer.OrdinalIgnoreCase);
        var owner = $"{ProcessIdentity.Current}|{Guid.NewGuid():N}";
        var clock = new ClockWatch(time, logger);
        var errors = new List<string>();
        foreach (var function in catalog.TimerFunctions)
        {
            if (function.IsDisabled(configuration))
            {
                Logs.FunctionDisabled(logger, function.Name);
            }
            else if (TimerSchedule.Resolve(function.Schedule, configuration) is not { } text)
            {
                errors.Add(
                    $"The schedule of {function.Describe()} is the setting '{TimerSchedule.SettingName(function.Schedule)}', "
                        + "which is not set; set it, such as to '0 */5 * * * *'."
                );
            }
            else if (!TimerSchedule.TryParse(text, out var schedule, out var mistake))
            {
                errors.Add($"The schedule '{text}' of {function.Describe()} {mistake}; write such as '0 */5 * * * *' or '00:00:20'.");
            }
            else
            {
                _runners.Add(function.Name, new TimerRunner(function, schedule, store, scopes, time, clock, options.Value, owner, logger));
            }
        }

        if (errors.Count > 0)
            throw new FunctionDiscoveryException(errors);
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
