namespace Librarian.Functions.Hosting;

// The types in this file carry the names and signatures of Microsoft.Azure.Functions.Worker (Worker.Extensions.Abstractions,
// Worker.Extensions.Http, Worker.Extensions.Timer), so that function classes compile against those packages after one
// `global using` changes. Keep them that way: docs/adr/0001-custom-handler.md.

/// <summary>Marks a method as a function of this site.</summary>
/// <param name="name">Unique name, matching <c>^[a-z][a-z0-9_-]{0,127}$</c> regardless of case, not <c>host</c>. It names the
/// directory of the published <c>function.json</c>.</param>
[AttributeUsage(AttributeTargets.Method)]
public sealed class FunctionAttribute(string name) : Attribute
{
    /// <summary>The function's name.</summary>
    public string Name { get; } = name;
}

/// <summary>Base of all trigger attributes.</summary>
[AttributeUsage(AttributeTargets.Parameter)]
public abstract class TriggerBindingAttribute : Attribute;

/// <summary>What the Functions host itself checks before a request reaches the site.</summary>
public enum AuthorizationLevel
{
    /// <summary>Nothing: the site authorizes. The only level discovery accepts, because keys are unknown to a stand-alone site.</summary>
    Anonymous,

    /// <summary>A signed-in platform user.</summary>
    User,

    /// <summary>A function key.</summary>
    Function,

    /// <summary>A system key.</summary>
    System,

    /// <summary>The master key.</summary>
    Admin,
}

/// <summary>The function runs when an HTTP request matches <see cref="Route"/> and <see cref="Methods"/>.</summary>
public sealed class HttpTriggerAttribute : TriggerBindingAttribute
{
    /// <summary>Any method, <see cref="AuthorizationLevel.Function"/>.</summary>
    public HttpTriggerAttribute()
    {
    }

    /// <summary>The listed methods, <see cref="AuthorizationLevel.Function"/>.</summary>
    public HttpTriggerAttribute(params string[] methods) => Methods = methods;

    /// <summary>Any method, the given level.</summary>
    public HttpTriggerAttribute(AuthorizationLevel authLevel) => AuthLevel = authLevel;

    /// <summary>The listed methods, the given level.</summary>
    public HttpTriggerAttribute(AuthorizationLevel authLevel, params string[] methods)
    {
        AuthLevel = authLevel;
        Methods = methods;
    }

    /// <summary>ASP.NET Core route template without leading slash; the function's name when omitted.</summary>
    public string? Route { get; set; }

    /// <summary>HTTP methods served.</summary>
    public string[]? Methods { get; }

    /// <summary>What the Functions host checks.</summary>
    public AuthorizationLevel AuthLevel { get; } = AuthorizationLevel.Function;
}

/// <summary>The function runs on a schedule.</summary>
/// <param name="schedule">NCRONTAB of six fields (<c>{second} {minute} {hour} {day} {month} {day of week}</c>; five fields mean
/// second 0), an interval (<c>00:00:20</c>), or <c>%Setting%</c>, which is looked up in the configuration.</param>
public sealed class TimerTriggerAttribute(string schedule) : TriggerBindingAttribute
{
    /// <summary>The schedule as written.</summary>
    public string Schedule { get; } = schedule;

    /// <summary>Run once after every start of the site, too.</summary>
    public bool RunOnStartup { get; set; }

    /// <summary>Catch up with one run when occurrences were missed while no site ran. Default true.</summary>
    public bool UseMonitor { get; set; } = true;
}

/// <summary>What a timer function is told about its run.</summary>
public sealed class TimerInfo
{
    /// <summary>Recorded times before this run.</summary>
    public ScheduleStatus? ScheduleStatus { get; set; }

    /// <summary>True when this run makes up for occurrences missed while no site ran; they collapse into this one.</summary>
    public bool IsPastDue { get; set; }
}

/// <summary>Recorded times of a timer function, all UTC.</summary>
public sealed class ScheduleStatus
{
    /// <summary>Start of the previous recorded run; <see cref="DateTime.MinValue"/> when there was none.</summary>
    public DateTime Last { get; set; }

    /// <summary>The occurrence this run serves.</summary>
    public DateTime Next { get; set; }

    /// <summary>When the record was last written.</summary>
    public DateTime LastUpdated { get; set; }
}
