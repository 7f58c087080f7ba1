using System.Net;
using System.Net.Sockets;
using System.Reflection;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Librarian.Functions.Hosting;

/// <summary>The site as a functions app: stand-alone, or custom handler of a Functions host when <see cref="CustomHandler.PortSetting"/> is set.</summary>
public static class FunctionsApplication
{
    /// <summary>Exit code of a process that could not go on; the Functions host and systemd then start another.</summary>
    public const int FatalExitCode = 1;

    /// <summary>
    /// A web application builder whose content root is the app's own directory: the official Functions image hands its own
    /// ASPNETCORE_CONTENTROOT down to the handler, and the site would read the host's appsettings.json.
    /// </summary>
    public static WebApplicationBuilder CreateBuilder(string[] args) =>
        WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });

    /// <summary>
    /// Adds the functions of an assembly. Under a Functions host this opens the handler's port at once and answers the readiness ping
    /// from now on, so call it before anything slow; log lines become single-line JSON.
    /// Timer functions need an <see cref="ITimerStatusStore"/>.
    /// </summary>
    /// <exception cref="FunctionDiscoveryException">A function breaks a rule.</exception>
    /// <exception cref="InvalidOperationException">The handler's port is not a number or is taken.</exception>
    public static WebApplicationBuilder AddFunctions(this WebApplicationBuilder builder, Assembly assembly) =>
        builder.AddFunctions(() => FunctionCatalog.Discover(assembly));

    /// <summary>As <see cref="AddFunctions(WebApplicationBuilder, Assembly)"/>, for functions found elsewhere.</summary>
    public static WebApplicationBuilder AddFunctions(this WebApplicationBuilder builder, FunctionCatalog catalog) => builder.AddFunctions(() => catalog);

    private static WebApplicationBuilder AddFunctions(this WebApplicationBuilder builder, Func<FunctionCatalog> discover)
    {
        // The port first: everything else may be slow, and the Functions host is already asking.
        if (CustomHandler.From(builder.Configuration) is { } handler) builder.AddCustomHandler(handler);

        var catalog = discover();
        builder.Services.AddSingleton(catalog);
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.Configure<RouteHandlerOptions>(options => options.ThrowOnBadRequest = true);
        if (catalog.TimerFunctions.Count > 0)
        {
            builder.Services.AddSingleton<TimerLoop>();
            builder.Services.AddHostedService(services => services.GetRequiredService<TimerLoop>());
        }

        return builder;
    }

    /// <summary>
    /// Runs until the process is told to stop.
    /// </summary>
    /// <returns>
    /// Exit code. Stand-alone: 0 after an ordinary stop, <see cref="FatalExitCode"/> when the start or a background service failed.
    /// Under a Functions host never 0, which the host takes for "do not start again" (functions-host.md §1.3); set
    /// <see cref="Environment.ExitCode"/> to 200 before stopping to ask it for a restart.
    /// </returns>
    public static async Task<int> RunFunctionsAsync(this WebApplication app)
    {
        BackgroundService[] background;
        var logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(FunctionsApplication).FullName!);
        var isHandler = app.Services.GetService<CustomHandler>() is not null;
        try
        {
            background = [.. app.Services.GetServices<IHostedService>().OfType<BackgroundService>()];
            await app.RunAsync();
        }
        catch (Exception exception)
        {
            Logs.SiteFailed(logger, exception, exception.Message);
            return FatalExitCode;
        }

        var failed = false;
        foreach (var service in background)
        {
            if (service.ExecuteTask is not { IsFaulted: true, Exception: { } exception }) continue;
            Logs.BackgroundServiceFailed(logger, exception, service.GetType().Name, exception.GetBaseException().Message);
            failed = true;
        }

        if (Environment.ExitCode != 0) return Environment.ExitCode;
        return failed || isHandler ? FatalExitCode : 0;
    }

    private static void AddCustomHandler(this WebApplicationBuilder builder, CustomHandler handler)
    {
        ReadinessListener listener;
        try
        {
            listener = ReadinessListener.Start(handler.Port);
        }
        catch (SocketException exception)
        {
            throw new InvalidOperationException(
                $"CustomHandlerPort: 127.0.0.1:{handler.Port} of {CustomHandler.PortSetting} cannot be opened ({exception.Message}). Nothing was started. Stop what holds the port; the Functions host then starts this process again.", exception);
        }

        var parent = ParentWatchdog.CurrentParent;
        builder.Services.AddSingleton(handler);
        builder.Services.AddHostedService(services => ActivatorUtilities.CreateInstance<ParentWatchdog>(services, parent));
        builder.Services.Configure<SocketTransportOptions>(options => options.CreateBoundListenSocket = endPoint =>
            endPoint.Equals(listener.EndPoint) ? listener.HandOver() : SocketTransportOptions.CreateDefaultBoundListenSocket(endPoint));

        // The handler inherits the host's environment, so every other source of addresses is emptied (functions-host.md §1.2). An
        // empty list, not an empty value: ASP.NET Core would look further, find ASPNETCORE_URLS and warn about it at every start.
        builder.Configuration[WebHostDefaults.ServerUrlsKey] = ";";
        builder.Services.Configure<KestrelServerOptions>(options =>
        {
            options.Configure(new ConfigurationBuilder().Build());
            options.Listen(IPAddress.Loopback, handler.Port);
        });
        builder.Logging.AddJsonConsole();
    }
}
