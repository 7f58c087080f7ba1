namespace Librarian.Functions.Hosting;

/// <summary>The timer functions that run here, each with its schedule.</summary>
public sealed class TimerSchedules
{
    private readonly List<(TimerFunction Function, TimerSchedule Schedule)> _all = [];

    /// <summary>Resolves every schedule.</summary>
    /// <exception cref="FunctionDiscoveryException">A schedule's setting is missing or wrong; all of them are named.</exception>
    public TimerSchedules(FunctionCatalog catalog, IConfiguration configuration, ILogger<TimerLoop> logger)
    {
        ArgumentNullException.ThrowIfNull(catalog);
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
                _all.Add((function, schedule));
            }
        }

        if (errors.Count > 0)
            throw new FunctionDiscoveryException(errors);
    }

    internal IReadOnlyList<(TimerFunction Function, TimerSchedule Schedule)> All => _all;
}
