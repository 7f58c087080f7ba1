using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Azure.Functions.Worker.Builder;
using Microsoft.Azure.Functions.Worker.Core.FunctionMetadata;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging.Console;

namespace Librarian.Functions.Hosting;

/// <summary>The site as the isolated worker of a Functions host (docs/adr/0006-isolated-worker.md).</summary>
public static class SiteWorker
{
    /// <summary>Whether a Functions host started this process: the host passes its address.</summary>
    public static bool IsStartedByHost(string[] args) => args.Contains("--functions-uri", StringComparer.Ordinal);

    /// <summary>Builds the worker.</summary>
    /// <param name="args">Arguments from the host.</param>
    /// <param name="addSite">Adds functions and services, as for a stand-alone site.</param>
    /// <param name="useSite">Adds the site's pipeline, as for a stand-alone site.</param>
    public static IHost Build(string[] args, Action<IHostApplicationBuilder> addSite, Action<IApplicationBuilder> useSite)
    {
        ArgumentNullException.ThrowIfNull(addSite);
        var parent = ParentWatchdog.CurrentParent;
        var builder = FunctionsApplication.CreateBuilder(args);
        UseOwnSettings(builder);
        builder.UseMiddleware<UnpairedRequests>();
        builder.Services.TryAddSingleton<UnpairedRequests>();
        builder.Services.AddTransient<IStartupFilter>(services => services.GetRequiredService<UnpairedRequests>());
        builder.ConfigureFunctionsWebApplication();
        builder.UseMiddleware<SiteInvocations>();
        // UseMiddleware has registered the class, whose pipeline the container does not know.
        builder.Services.Replace(
            ServiceDescriptor.Singleton(services => ActivatorUtilities.CreateInstance<SiteInvocations>(services, useSite))
        );
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IFunctionMetadataTransformer, OfferedFunctions>());
        builder.Services.AddHostedService(services => ActivatorUtilities.CreateInstance<ParentWatchdog>(services, parent));
        // The worker inherits the host's environment, and the addresses in it are the host's.
        builder.Services.Configure<KestrelServerOptions>(kestrel => kestrel.Configure(new ConfigurationBuilder().Build()));
        // Log lines go to the host over its stream, which may lose the last ones of a process that ends; so critical ones also go to the
        // console.
        builder
            .Logging.AddConsole()
            .AddFilter<ConsoleLoggerProvider>(null, LogLevel.Critical)
            .AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);

        addSite(builder);
        // Last, so that it stops first: running requests finish while everything they need is still there.
        builder.Services.AddHostedService(services => services.GetRequiredService<SiteInvocations>());
        return builder.Build();
    }

    /// <summary>Reads the settings file beside the program instead of those in the directory where the host was started.</summary>
    private static void UseOwnSettings(FunctionsApplicationBuilder builder)
    {
        IConfigurationBuilder configuration = builder.Configuration;
        foreach (var inherited in configuration.Sources.OfType<JsonConfigurationSource>().ToArray())
            configuration.Sources.Remove(inherited);
        configuration.AddJsonFile(Path.Combine(AppContext.BaseDirectory, "appsettings.json"), optional: false);
    }
}
