using System.Reflection;

namespace Librarian.Functions.Hosting;

/// <summary>One function of the site.</summary>
/// <param name="Name">Unique name.</param>
/// <param name="Method">The method that runs.</param>
public abstract record FunctionDescriptor(string Name, MethodInfo Method)
{
    /// <summary>
    /// Whether an operator has switched the function off as for the Functions host: <c>AzureWebJobs.{Name}.Disabled=true</c>, or
    /// <c>AzureWebJobs__{Name}__Disabled=true</c> where the name of a variable cannot have dots (systemd, shells).
    /// </summary>
    public bool IsDisabled(IConfiguration configuration) =>
        bool.TryParse(configuration[$"AzureWebJobs.{Name}.Disabled"] ?? configuration[$"AzureWebJobs:{Name}:Disabled"], out var disabled)
        && disabled;

    /// <summary>Whether this site has the function: see <see cref="EnabledByAttribute"/>.</summary>
    public bool IsOffered(IConfiguration configuration) =>
        Method.GetCustomAttribute<EnabledByAttribute>() is not { } enabled
        || (bool.TryParse(configuration[enabled.Setting], out var on) && on);

    /// <summary>Name and method, for messages.</summary>
    internal string Describe() => $"function '{Name}' ({Method.DeclaringType?.FullName}.{Method.Name})";
}

/// <summary>A function that answers HTTP requests.</summary>
/// <param name="Name">Unique name.</param>
/// <param name="Method">The method that runs.</param>
/// <param name="Route">ASP.NET Core route template with a fixed first segment.</param>
/// <param name="Methods">HTTP methods, upper case.</param>
public sealed record HttpFunction(string Name, MethodInfo Method, string Route, IReadOnlyList<string> Methods)
    : FunctionDescriptor(Name, Method);

/// <summary>A function that runs on a schedule.</summary>
/// <param name="Name">Unique name.</param>
/// <param name="Method">The method that runs.</param>
/// <param name="Schedule">Schedule as written; it may be <c>%Setting%</c>.</param>
/// <param name="RunOnStartup">Whether it also runs after every start.</param>
public sealed record TimerFunction(string Name, MethodInfo Method, string Schedule, bool RunOnStartup) : FunctionDescriptor(Name, Method);
