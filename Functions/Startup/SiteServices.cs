using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Client.Wire;
using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Peers;
using Librarian.Domain.Stores;
using Librarian.Domain.TransferManagers;
using Librarian.Domain.Transfers;
using Librarian.Durable;
using Librarian.Functions.Timers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Drives;
using Librarian.Orchestrations.Ingest;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.Repair;
using Librarian.Orchestrations.Validation;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Startup;

/// <summary>Puts the rooms of a site together.</summary>
public static class SiteServices
{
    /// <summary>Adds everything a site needs, from its options down to the durable engine on the catalog's database.</summary>
    public static void AddSite(this WebApplicationBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var services = builder.Services;
        var section = builder.Configuration.GetSection(SiteOptions.Section);
        services.AddOptions<SiteOptions>().Bind(section, o => o.ErrorOnUnknownConfiguration = false).ValidateOnStart();
        services.AddSingleton<IValidateOptions<SiteOptions>, SiteOptionsValidator>();
        services.AddSingleton(TimeProvider.System);

        services.AddSingleton(provider => new CatalogDatabase(ConnectionString(provider.GetRequiredService<IOptions<SiteOptions>>().Value)));
        services.AddSingleton(provider => SiteKeys.OpenFernet(provider.GetRequiredService<IOptions<SiteOptions>>().Value, provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton<PasswordHasher>(_ => new PasswordHasher());
        services.AddSingleton(provider => new VerifiedCredentialCache(provider.GetRequiredService<TimeProvider>(),
            new VerifiedCredentialCacheOptions { Lifetime = provider.GetRequiredService<IOptions<SiteOptions>>().Value.CredentialLifetime }));
        services.AddSingleton<CredentialVerifier>();
        services.AddSingleton<AccountDirectory>();
        services.AddSingleton<PeerDirectory>();
        services.AddSingleton<PeerConnections>();
        services.AddSingleton<SiteStores>();
        services.AddSingleton<LocalTransferManager>();
        services.AddSingleton<IncomingTransfers>();
        services.AddSingleton<OutgoingTransfers>();
        services.AddSingleton<Checkin>();
        services.AddSingleton<ErrorLog>();
        services.AddSingleton<FileAdministration>();
        services.AddSingleton<Ingest>();
        services.AddSingleton<BatchWork>();
        services.AddSingleton<CloneScheduler>();
        services.AddSingleton<CloneCallbacks>();
        services.AddSingleton<PeerRemoval>();
        services.AddSingleton<InstanceChecks>();
        services.AddSingleton<FileValidator>();
        services.AddSingleton<Resending>();
        services.AddSingleton<RepairScheduler>();
        services.AddSingleton<StoreManifests>();
        services.AddSingleton(provider => SiteSigningKey.OpenOrCreate(Path.Combine(provider.GetRequiredService<IOptions<SiteOptions>>().Value.DataDirectory, "signing.key")));
        services.AddSingleton<SiteKeyring>();
        services.AddSingleton<DriveFilling>();
        services.AddSingleton<DriveDispatch>();
        services.AddSingleton<DriveDeliveries>();
        services.AddSingleton<DriveReceipts>();
        services.AddSingleton<DriveIngest>();
        services.AddSingleton<DriveOverview>();
        services.AddSingleton<DriveProgress>();
        services.AddSingleton<DriveCommands>();
        services.AddSingleton<DriveArrivals>();
        services.AddSingleton<Arrivals>();
        services.AddSingleton<SourceCallbacks>();
        services.AddSingleton<UploadCommits>();
        services.AddSingleton<ITimerStatusStore, CatalogTimerStatus>();

        // The demo and the tests start sites and must not leave them behind when they die.
        if (int.TryParse(Environment.GetEnvironmentVariable("LIBRARIAN_PARENT_PID"), out var parent))
            services.AddHostedService(provider => ActivatorUtilities.CreateInstance<ParentWatchdog>(provider, parent));

        // Started in this order: schema, keys and stores before the engine takes up work, the engine before the first request.
        services.AddHostedService<SiteStart>();
        var options = section.Get<SiteOptions>() ?? new SiteOptions();
        services.AddDurableTask(durable =>
        {
            if (CatalogDatabase.KindOf(ConnectionString(options)) == DatabaseKind.PostgreSql)
                durable.UsePostgreSql(provider => provider.GetRequiredService<CatalogDatabase>().ConnectionString);
            else
                durable.UseSqlite(provider => provider.GetRequiredService<CatalogDatabase>().ConnectionString, provider => provider.GetRequiredService<CatalogDatabase>().SqliteWriteTurn);
            durable.AddTasksFrom(typeof(SendClone).Assembly);
            durable.UseJson(new JsonSerializerOptions(JsonSerializerDefaults.Web) { Converters = { new JsonStringEnumConverter() } });
            durable.Configure(o =>
            {
                if (options.Name.Length > 0) o.NodeName = options.Name + "@" + Environment.MachineName;
                o.Queues[Queues.Ingest] = Ingest.MostAtOnce;
                o.Queues[DriveQueues.Media] = MostPluggedDrives;
            });
        });
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
            foreach (var converter in wire.Converters) http.SerializerOptions.Converters.Add(converter);
        });
        // 1024 files of 600 bytes are far below it; the framework's 30 MB would be in the way of larger batches only (wire.md §12).
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = 100 * 1024 * 1024;
            kestrel.AddServerHeader = false;
        });
    }

    /// <summary>Drives worked on at the same time; more wait for each other, half a minute at a time.</summary>
    private const int MostPluggedDrives = 8;

    /// <summary>Where the catalog is.</summary>
    internal static string ConnectionString(SiteOptions options) =>
        options.Database.Length > 0 ? options.Database : $"Data Source={Path.Combine(options.DataDirectory, "catalog.db")}";
}
