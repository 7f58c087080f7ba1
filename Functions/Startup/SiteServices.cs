using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Client.Wire;
using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.DataBatches;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Durable.Hosting;
using Librarian.Functions.Timers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Drives;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.PeerUpkeep;
using Librarian.Orchestrations.Repair;
using Librarian.Orchestrations.TransferEvents;
using Librarian.Orchestrations.TransferManagers;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.DurableTask.Client;
using Microsoft.DurableTask.Worker;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Startup;

/// <summary>Registers the services of a site.</summary>
public static class SiteServices
{
    /// <summary>Adds everything that a site needs, from its options to the durable engine on the catalog's database.</summary>
    public static void AddSite(this IHostApplicationBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var services = builder.Services;
        var section = builder.Configuration.GetSection(SiteOptions.Section);
        services.AddOptions<SiteOptions>().Bind(section, o => o.ErrorOnUnknownConfiguration = false).ValidateOnStart();
        services.AddSingleton<IValidateOptions<SiteOptions>, SiteOptionsValidator>();
        services.AddSingleton(TimeProvider.System);

        services.AddSingleton(provider => new CatalogDatabase(
            SiteDirectory.CatalogConnection(provider.GetRequiredService<IOptions<SiteOptions>>().Value),
            [.. provider.GetServices<IInterceptor>()]
        ));
        services.AddSingleton(provider =>
            SiteKeys.OpenFernet(provider.GetRequiredService<IOptions<SiteOptions>>().Value, provider.GetRequiredService<TimeProvider>())
        );
        services.AddSingleton<Api.DataOffers>();
        services.AddSingleton<DatabaseWait>();
        services.AddSingleton<CatalogPreparation>();
        services.AddSingleton<ErrorLog>();
        services.AddSingleton(
            new StoreUser(ProcessIdentity.Current.ToString(), ProcessIdentity.IsRunning, static name => ProcessIdentity.HasEnded(name))
        );
        services.AddAccounts().AddPeers().AddStores().AddFiles().AddTransfers().AddDataBatches();
        services.AddTransferEvents().AddIncomingFiles().AddTransferManagers().AddCloning().AddDrives().AddRepair().AddPeerUpkeep();
        services.AddSingleton<ITimerStatusStore, CatalogTimerStatus>();

        // The demo and the tests start sites, which have to end when the demo or the tests die.
        if (int.TryParse(Environment.GetEnvironmentVariable("LIBRARIAN_PARENT_PID"), out var parent))
            services.AddHostedService(provider => ActivatorUtilities.CreateInstance<ParentWatchdog>(provider, parent));

        // Hosted services start in this order: schema, keys and stores before the engine takes up work, the engine before the first
        // request.
        services.AddHostedService<SiteStart>();
        AddWorkflows(services, section.Get<SiteOptions>() ?? new SiteOptions());
        AddHttp(services);
    }

    private static void AddWorkflows(IServiceCollection services, SiteOptions options)
    {
        AddDurable(services, options);
        services.AddDurableTaskWorker(durable =>
        {
            durable.AddTasks(tasks => tasks.AddTasksFrom(typeof(SendClone).Assembly));
            durable.UseJson(new JsonSerializerOptions(JsonSerializerDefaults.Web) { Converters = { new JsonStringEnumConverter() } });
            durable.Configure(o =>
            {
                if (options.Name.Length > 0)
                    o.NodeName = options.Name + "@" + Environment.MachineName;
                o.Queues[Queues.StagedFiles] = StagedFileIngest.MostAtOnce;
                o.Queues[DriveQueues.Media] = MostPluggedDrives;
            });
        });
    }

    private static void AddHttp(IServiceCollection services)
    {
        Security.BasicAuthentication.AddTo(services);
        services.ConfigureHttpJsonOptions(http =>
        {
            var wire = WireJson.Wire.Options;
            http.SerializerOptions.TypeInfoResolver = wire.TypeInfoResolver;
            http.SerializerOptions.PropertyNamingPolicy = wire.PropertyNamingPolicy;
            http.SerializerOptions.PropertyNameCaseInsensitive = wire.PropertyNameCaseInsensitive;
            http.SerializerOptions.NumberHandling = wire.NumberHandling;
            http.SerializerOptions.Encoder = wire.Encoder;
            http.SerializerOptions.RespectNullableAnnotations = wire.RespectNullableAnnotations;
            http.SerializerOptions.RespectRequiredConstructorParameters = wire.RespectRequiredConstructorParameters;
            http.SerializerOptions.AllowDuplicateProperties = wire.AllowDuplicateProperties;
            foreach (var converter in wire.Converters)
                http.SerializerOptions.Converters.Add(converter);
        });
        services.Configure<KestrelServerOptions>(kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = Api.BodyLimits.Usual;
            kestrel.AddServerHeader = false;
        });
    }

    /// <summary>Adds the built-in engine in the catalog's database, or an external hub.</summary>
    private static void AddDurable(IServiceCollection services, SiteOptions options)
    {
        // The validator refuses text that is not an address before anything uses it.
        if (Uri.TryCreate(options.Durable.Grpc, UriKind.Absolute, out var hub) && hub.Scheme is "http" or "https")
        {
            services.AddDurableTaskClient(durable => durable.UseHub(hub));
            services.AddDurableTaskWorker(durable => durable.UseHub(hub));
            services.AddSingleton<IInterceptor, HubCommits>();
            return;
        }

        var isPostgres = CatalogDatabase.KindOf(SiteDirectory.CatalogConnection(options)) == DatabaseKind.PostgreSql;
        static string Database(IServiceProvider provider) => provider.GetRequiredService<CatalogDatabase>().ConnectionString;
        services.AddDurableTaskClient(durable => _ = isPostgres ? durable.UsePostgreSql(Database) : durable.UseSqlite(Database));
        services.AddDurableTaskWorker(durable =>
            _ = isPostgres
                ? durable.UsePostgreSql(Database)
                : durable.UseSqlite(Database, provider => provider.GetRequiredService<CatalogDatabase>().SqliteWriteSemaphore)
        );
    }

    /// <summary>Drives worked on at the same time; more take turns of half a minute.</summary>
    private const int MostPluggedDrives = 8;
}
