using System.Diagnostics;
using System.Reflection;

namespace Librarian.Functions.Hosting;

/// <summary>Runs the code of one timer function, each time in a scope of its own.</summary>
internal sealed class TimerFunctionRun(TimerFunction function, IServiceScopeFactory scopes)
{
    private static readonly ActivitySource Activities = new("Librarian.Functions.Hosting");

    private readonly ObjectFactory? _create = function.Method.IsStatic
        ? null
        : ActivatorUtilities.CreateFactory(function.Method.DeclaringType!, Type.EmptyTypes);

    public string Name => function.Name;

    /// <summary>Whether the function also runs when its process starts.</summary>
    public bool RunOnStartup => function.RunOnStartup;

    public async Task InvokeAsync(TimerInfo info, CancellationToken cancellationToken)
    {
        using var activity = Activities.StartActivity($"timer {function.Name}");
        await using var scope = scopes.CreateAsyncScope();
        var instance = _create?.Invoke(scope.ServiceProvider, null);
        try
        {
            var arguments = function
                .Method.GetParameters()
                .Select(p => p.ParameterType == typeof(TimerInfo) ? (object)info : cancellationToken)
                .ToArray();
            var result = function.Method.Invoke(instance, BindingFlags.DoNotWrapExceptions, binder: null, arguments, culture: null);
            if (result is Task task)
                await task;
            else if (result is ValueTask valueTask)
                await valueTask;
        }
        catch (Exception exception)
        {
            activity?.SetStatus(ActivityStatusCode.Error, exception.Message);
            throw;
        }
        finally
        {
            if (instance is IAsyncDisposable asyncDisposable)
                await asyncDisposable.DisposeAsync();
            else if (instance is IDisposable disposable)
                disposable.Dispose();
        }
    }
}
