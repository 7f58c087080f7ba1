using System.Reflection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Hosting;

/// <summary>
/// A site's functions as a stand-alone application, and the parts that it shares with <see cref="SiteWorker"/>, the site inside a Functions
/// host.
/// </summary>
public static class SiteApplication
{
    /// <summary>Exit code of a process that could not go on; the Functions host and systemd then start another one.</summary>
    public const int FatalExitCode = 1;

    /// <summary>
    /// Creates a builder whose content root is the program's own directory: the official Functions image sets ASPNETCORE_CONTENTROOT, and
    /// the site would read the host's appsettings.json.
    /// </summary>
    public static WebApplicationBuilder CreateBuilder(string[] args)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        // The framework's host would log the same failure before RunFunctionsAsync does, with a stack trace.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        return builder;
    }

    /// <summary>Adds the functions of an assembly. Timer functions need an <see cref="ITimerStatusStore"/>.</summary>
    /// <exception cref="FunctionDiscoveryException">A function breaks a rule.</exception>
    public static void AddFunctions(this IHostApplicationBuilder builder, Assembly assembly) =>
        builder.AddFunctions(FunctionCatalog.Discover(assembly));

    /// <summary>As <see cref="AddFunctions(IHostApplicationBuilder, Assembly)"/>, for functions found elsewhere.</summary>
    public static void AddFunctions(this IHostApplicationBuilder builder, FunctionCatalog catalog)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(catalog);
        builder.Logging.AddConsoleFormatter<LogLineFormatter, ConsoleFormatterOptions>();
        builder.Services.Configure<ConsoleLoggerOptions>(options => options.FormatterName ??= LogLineFormatter.FormatterName);

        builder.Services.AddSingleton(catalog);
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.Configure<RouteHandlerOptions>(options => options.ThrowOnBadRequest = true);
        if (catalog.TimerFunctions.Count == 0)
            return;
        builder.Services.AddSingleton<TimerSchedules>();
        builder.Services.AddSingleton<TimerLoop>();
        builder.Services.AddHostedService(services => services.GetRequiredService<TimerLoop>());
    }

    /// <summary>Runs until the process is asked to stop.</summary>
    /// <returns>Exit code. Stand-alone: 0 after an ordinary stop, <see cref="FatalExitCode"/> if the start or a background service failed.
    /// Under a Functions host never 0, which the host reads as "do not start again" (docs/spec/functions-host.md#exit-codes); set
    /// <see cref="Environment.ExitCode"/> to 200 before stopping to ask it for a restart.</returns>
    public static async Task<int> RunFunctionsAsync(this IHost app)
    {
        ArgumentNullException.ThrowIfNull(app);
        BackgroundService[] background;
        var logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(SiteApplication).FullName!);
        var isWorker = app.Services.GetRequiredService<IServiceProviderIsService>().IsService(typeof(SiteInvocations));
        try
        {
            background = [.. app.Services.GetServices<IHostedService>().OfType<BackgroundService>()];
            await app.RunAsync();
        }
        catch (Exception refused) when (refused is StartRefusedException or OptionsValidationException)
        {
            Logs.SiteRefused(logger, refused.Message);
            return FatalExitCode;
        }
        catch (Exception exception)
        {
            Logs.SiteFailed(logger, exception, exception.Message);
            return FatalExitCode;
        }
        finally
        {
            // A thread of its own writes the console's lines, and the end of the process would not wait for it.
            await ((IAsyncDisposable)app).DisposeAsync();
        }

        var failed = false;
        foreach (var service in background)
        {
            if (service.ExecuteTask is not { IsFaulted: true, Exception: { } exception })
                continue;
            Logs.BackgroundServiceFailed(logger, exception, service.GetType().Name, exception.GetBaseException().Message);
            failed = true;
        }

        if (Environment.ExitCode != 0)
            return Environment.ExitCode;
        return failed || isWorker ? FatalExitCode : 0;
    }
}
