using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Librarian.Tests.Domain.Drives;

/// <summary>Filling and ingest with all their parts, as a site has them.</summary>
internal static class DriveParts
{
    internal static DriveFilling Filling(
        CatalogDatabase database,
        SiteStores stores,
        CopyChecks checks,
        ErrorLog errors,
        IOptions<SiteOptions> options
    )
    {
        var raised = new FillErrors(errors, NullLogger<DriveFilling>.Instance);
        return new DriveFilling(
            database,
            stores,
            new UnfinishedCopies(database),
            new FillReservations(database, stores, raised, TimeProvider.System),
            new FillCopying(
                stores,
                checks,
                new FillRecording(database, TimeProvider.System),
                raised,
                new FillObstacles(database, stores, TimeProvider.System),
                options
            )
        );
    }

    internal static DriveIngest Ingest(
        CatalogDatabase database,
        SiteStores stores,
        CopyProbe probe,
        ErrorLog errors,
        DriveArchive archive,
        IOptions<SiteOptions> options
    )
    {
        var recording = new IngestRecording(database, errors, TimeProvider.System, NullLogger<DriveIngest>.Instance);
        var window = new IngestWindow(
            database,
            new IngestSorting(probe, stores),
            new IngestReservations(stores, errors, TimeProvider.System),
            new IngestCopying(database, archive, errors, options),
            recording
        );
        return new DriveIngest(database, archive, window, new IngestRelease(database, stores, archive, recording), TimeProvider.System);
    }
}
