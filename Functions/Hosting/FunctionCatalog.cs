using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Microsoft.Azure.Functions.Worker.Extensions.Abstractions;

namespace Librarian.Functions.Hosting;

/// <summary>Functions break rules of the Functions host or of this site; nothing was started.</summary>
/// <param name="errors">Every mistake found, each with its method and its correction.</param>
public sealed class FunctionDiscoveryException(IReadOnlyList<string> errors)
    : InvalidOperationException($"FunctionDiscovery: {errors.Count} mistake(s), nothing was started.\n- {string.Join("\n- ", errors)}")
{
    public IReadOnlyList<string> Errors { get; } = errors;
}

/// <summary>All functions of the site, found once at start and checked against the rules of the Functions host.</summary>
public sealed partial class FunctionCatalog
{
    private FunctionCatalog(IReadOnlyList<HttpFunction> httpFunctions, IReadOnlyList<TimerFunction> timerFunctions)
    {
        HttpFunctions = httpFunctions;
        TimerFunctions = timerFunctions;
    }

    /// <summary>HTTP functions, ordered by name.</summary>
    public IReadOnlyList<HttpFunction> HttpFunctions { get; }

    /// <summary>Timer functions, ordered by name.</summary>
    public IReadOnlyList<TimerFunction> TimerFunctions { get; }

    /// <summary>Finds a function by its name, ignoring case; null if there is none.</summary>
    public FunctionDescriptor? Find(string? name) =>
        ((IEnumerable<FunctionDescriptor>)[.. HttpFunctions, .. TimerFunctions]).FirstOrDefault(f =>
            string.Equals(f.Name, name, StringComparison.OrdinalIgnoreCase)
        );

    /// <summary>Finds the functions of an assembly.</summary>
    /// <exception cref="FunctionDiscoveryException">Some functions break a rule; all of them are named.</exception>
    public static FunctionCatalog Discover(Assembly assembly) => Discover(assembly.GetTypes());

    /// <summary>Finds the functions of some classes.</summary>
    /// <exception cref="FunctionDiscoveryException">Some functions break a rule; all of them are named.</exception>
    public static FunctionCatalog Discover(IEnumerable<Type> types)
    {
        var errors = new List<string>();
        var found = new List<FunctionDescriptor>();
        const BindingFlags All =
            BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        foreach (var type in types)
        {
            foreach (var method in type.GetMethods(All))
            {
                if (method.GetCustomAttribute<FunctionAttribute>() is { } function && Read(function.Name, method, errors) is { } descriptor)
                    found.Add(descriptor);
            }
        }

        found.Sort((a, b) => StringComparer.OrdinalIgnoreCase.Compare(a.Name, b.Name));
        var http = found.OfType<HttpFunction>().ToArray();
        var timers = found.OfType<TimerFunction>().ToArray();
        CheckTogether(found, http, errors);
        return errors.Count == 0 ? new FunctionCatalog(http, timers) : throw new FunctionDiscoveryException(errors);
    }

    private static FunctionDescriptor? Read(string name, MethodInfo method, List<string> errors)
    {
        var before = errors.Count;
        void Error(string what) => errors.Add($"Function '{name}' ({method.DeclaringType?.FullName}.{method.Name}) {what}.");

        if (!NamePattern().IsMatch(name))
            Error("has a name the Functions host refuses; use a letter, then up to 127 letters, digits, '_' or '-'");
        if (string.Equals(name, "host", StringComparison.OrdinalIgnoreCase))
            Error("is named 'host', which the Functions host keeps for itself; rename it");
        if (
            !method.IsPublic
            || method.DeclaringType is not { IsVisible: true, ContainsGenericParameters: false }
            || method.IsGenericMethodDefinition
        )
            Error("is not a public, non-generic method of a public, non-generic class; make it one");
        else if (!method.IsStatic && method.DeclaringType.IsAbstract)
            Error("belongs to an abstract class, which cannot be created; make the class sealed");
        if (method.ReturnType == typeof(void) && method.IsDefined(typeof(AsyncStateMachineAttribute)))
            Error("is 'async void', whose end nobody can await; return Task");

        var parameters = method.GetParameters();
        var triggers = parameters.Where(p => p.IsDefined(typeof(TriggerBindingAttribute), inherit: true)).ToArray();
        if (triggers.Length != 1)
        {
            Error($"has {triggers.Length} trigger parameters; mark exactly one with [HttpTrigger] or [TimerTrigger]");
            return null;
        }

        FunctionDescriptor? descriptor = triggers[0].GetCustomAttribute<TriggerBindingAttribute>() switch
        {
            HttpTriggerAttribute http => ReadHttp(name, method, triggers[0], http, Error),
            TimerTriggerAttribute timer => ReadTimer(name, method, triggers[0], timer, Error),
            _ => null,
        };
        return errors.Count == before ? descriptor : null;
    }

    private static HttpFunction ReadHttp(
        string name,
        MethodInfo method,
        ParameterInfo trigger,
        HttpTriggerAttribute attribute,
        Action<string> error
    )
    {
        if (trigger.ParameterType != typeof(HttpRequest))
            error($"has [HttpTrigger] on '{trigger.Name}', which is no HttpRequest; put it on one");
        if (attribute.AuthLevel != AuthorizationLevel.Anonymous)
            error(
                $"asks for AuthorizationLevel.{attribute.AuthLevel}, which a stand-alone site would not check; "
                    + "use Anonymous and let the site authorize"
            );
        var methods = (attribute.Methods ?? []).Select(m => m.ToUpperInvariant()).Distinct(StringComparer.Ordinal).ToArray();
        if (methods.Length == 0)
            error("names no HTTP method; list them, such as \"get\"");
        if (methods.FirstOrDefault(m => !KnownMethods.Contains(m, StringComparer.Ordinal)) is { } unknown)
            error($"names the HTTP method '{unknown}'; the Functions host knows {string.Join(", ", KnownMethods)}");
        var route = string.IsNullOrEmpty(attribute.Route) ? name : attribute.Route;
        if (FunctionRoute.Check(route) is { } mistake)
            error($"has the route '{route}', which {mistake}");
        return new HttpFunction(name, method, route, methods);
    }

    private static TimerFunction ReadTimer(
        string name,
        MethodInfo method,
        ParameterInfo trigger,
        TimerTriggerAttribute attribute,
        Action<string> error
    )
    {
        if (trigger.ParameterType != typeof(TimerInfo))
            error($"has [TimerTrigger] on '{trigger.Name}', which is no TimerInfo; make it one");
        if (
            method.GetParameters().FirstOrDefault(p => p.Position != trigger.Position && p.ParameterType != typeof(CancellationToken)) is
            { } other
        )
            error(
                $"has the parameter '{other.Name}'; "
                    + "a timer function takes TimerInfo and CancellationToken, the rest comes through the constructor"
            );
        if (
            method.ReturnType != typeof(void)
            && method.ReturnType != typeof(ValueTask)
            && !typeof(Task).IsAssignableFrom(method.ReturnType)
        )
            error($"returns {method.ReturnType.Name}; return void, Task or ValueTask");
        if (attribute.UseMonitor)
            error(
                "has the Functions host monitor it, which needs Azure storage; write UseMonitor = false, the site keeps the record itself"
            );
        if (TimerSchedule.SettingName(attribute.Schedule) is null && !TimerSchedule.TryParse(attribute.Schedule, out _, out var mistake))
            error($"has the schedule '{attribute.Schedule}', which {mistake}; write such as '0 */5 * * * *', '00:00:20' or '%Setting%'");
        return new TimerFunction(name, method, attribute.Schedule, attribute.RunOnStartup);
    }

    private static void CheckTogether(List<FunctionDescriptor> all, HttpFunction[] http, List<string> errors)
    {
        foreach (var same in all.GroupBy(f => f.Name, StringComparer.OrdinalIgnoreCase).Where(g => g.Count() > 1))
            errors.Add($"The name '{same.Key}' is used by {string.Join(" and ", same.Select(f => f.Describe()))}; rename one.");

        for (var i = 0; i < http.Length; i++)
        {
            for (var j = i + 1; j < http.Length; j++)
            {
                if (FunctionRoute.Conflict(http[i], http[j]) is { } conflict)
                    errors.Add(conflict + ".");
            }
        }
    }

    private static readonly string[] KnownMethods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

    // The rule of the Functions host (docs/spec/functions-host.md#function-names).
    [GeneratedRegex("^[a-z][a-z0-9_-]{0,127}$", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1000)]
    private static partial Regex NamePattern();
}
