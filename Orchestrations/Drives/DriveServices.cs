using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Security;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Registers hand-carried drives, sent and received.</summary>
public static class DriveServices
{
    public static IServiceCollection AddDrives(this IServiceCollection services)
    {
        services.AddSingleton(provider =>
            SiteSigningKey.OpenOrCreate(
                Path.Combine(provider.GetRequiredService<IOptions<SiteOptions>>().Value.DataDirectory, "signing.key")
            )
        );
        services.AddSingleton<SiteKeyring>();
        services.AddSingleton<NewDriveCheck>();
        services.AddSingleton<DriveArchive>();
        AddFilling(services);
        services.AddSingleton<ManifestArchive>();
        services.AddSingleton<DriveDispatch>();
        services.AddSingleton<DriveDeliveries>();
        services.AddSingleton<DriveRecycling>();
        services.AddSingleton<DriveWipe>();
        services.AddSingleton<DriveReceipts>();
        AddIngest(services);
        services.AddSingleton<DriveOverview>();
        services.AddSingleton<DriveProgress>();
        services.AddSingleton<StoreManifests>();
        services.AddSingleton<FullDriveAlert>();
        services.AddSingleton<DriveWorkflows>();
        services.AddSingleton<KeyLearning>();
        services.AddSingleton<DeliveryReports>();
        services.AddSingleton<ReceiptApplication>();
        services.AddSingleton<FillingStep>();
        services.AddSingleton<DeliveryStep>();
        services.AddSingleton<DriveInitialisation>();
        services.AddSingleton<DriveCommands>();
        services.AddSingleton<IncomingDriveCheck>();
        services.AddSingleton<IncomingDriveIntake>();
        services.AddSingleton<IEndedTransfersHandler, SettledDrives>();
        return services;
    }

    private static void AddFilling(IServiceCollection services)
    {
        services.AddSingleton<FillErrors>();
        services.AddSingleton<FillObstacles>();
        services.AddSingleton<UnfinishedCopies>();
        services.AddSingleton<FillReservations>();
        services.AddSingleton<FillRecording>();
        services.AddSingleton<FillCopying>();
        services.AddSingleton<DriveFilling>();
    }

    private static void AddIngest(IServiceCollection services)
    {
        services.AddSingleton<IngestSorting>();
        services.AddSingleton<IngestReservations>();
        services.AddSingleton<IngestCopying>();
        services.AddSingleton<IngestRecording>();
        services.AddSingleton<IngestRelease>();
        services.AddSingleton<IngestWindow>();
        services.AddSingleton<DriveIngest>();
    }
}
