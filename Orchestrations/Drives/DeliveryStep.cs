using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Brings a frozen drive nearer to the end of its trip.</summary>
public sealed class DeliveryStep(
    CatalogDatabase database,
    DriveDispatch dispatch,
    DriveDeliveries deliveries,
    ReceiptApplication receipts,
    IOptions<SiteOptions> options,
    ILogger<AdvanceDrive> log
)
{
    private double Poll => options.Value.Drives.PollInterval.TotalSeconds;

    /// <summary>Writes the manifest, or looks whether the destination has acknowledged every file.</summary>
    public async Task<DriveStep> AwaitAsync(Drive drive, CancellationToken stop)
    {
        ArgumentNullException.ThrowIfNull(drive);
        if (!drive.ManifestOnDrive)
        {
            var written = await dispatch.WriteAsync(drive.Id, stop);
            if (!written.IsOk)
                return new DriveStep(AdvanceDrive.Problem, written.Message, Math.Min(Poll, 10));
            return new DriveStep(nameof(DriveState.InTransit), written.Message, 0);
        }

        await using (var db = database.Open())
        {
            if (await deliveries.FinishAsync(db, drive.Id, stop))
            {
                Logs.DriveReusable(log, drive.Name);
                return new DriveStep(
                    nameof(DriveState.Reusable),
                    $"Every file of drive '{drive.Name}' has been acknowledged; it may be recycled.",
                    AdvanceDrive.Rest
                );
            }
        }

        // A drive that has returned may hold the destination's receipt; then nobody has to transport the receipt separately.
        var medium = new DriveMedium(drive);
        var receipt = Path.Combine(medium.Root, ReceiptWriter.FileName);
        if (medium.IsPlugged && new FileInfo(receipt) is { Exists: true, LinkTarget: null })
        {
            var applied = await receipts.AcknowledgeAsync(receipt, acceptKey: null, stop);
            return applied.IsOk
                ? new DriveStep(nameof(DriveState.InTransit), applied.Message, Poll)
                : new DriveStep(AdvanceDrive.Problem, applied.Message, Poll);
        }

        return new DriveStep(nameof(DriveState.InTransit), $"Drive '{drive.Name}' is on its way to '{drive.Destination}'.", Poll);
    }
}
