using System.Collections.Concurrent;
using System.Data.Common;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;
using Librarian.Domain.Stores;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>
/// Commands of people for this site's drives. Each command is one transaction that changes the drive's row and wakes its workflow; the
/// workflow does the work.
/// </summary>
public sealed class DriveCommands(
    CatalogDatabase database,
    SiteStores stores,
    NewDriveCheck newDrives,
    DriveDispatch dispatch,
    DriveDeliveries deliveries,
    DriveReceipts receipts,
    SiteKeyring keyring,
    PeerConnections peers,
    EndedTransfers endedTransfers,
    SiteSigningKey key,
    DatabaseDurableTaskClient client,
    IOptions<SiteOptions> options,
    TimeProvider time
)
{
    private static readonly TimeSpan KeyTimeout = TimeSpan.FromSeconds(10);
    private readonly ConcurrentDictionary<string, (DateTime Written, long Length)> _applied = new();

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>Call this after a commit that started or woke a workflow.</summary>
    public void Signal() => client.SignalCommitted();

    /// <summary>
    /// Registers an empty, mounted drive and starts to fill it. A drive of this site that was abandoned, or whose first initialisation was
    /// interrupted, may be initialised again.
    /// </summary>
    /// <remarks>
    /// Directories and marker are written first, then the rows in one transaction. A crash in between leaves a marker without a row, which
    /// the same command accepts when it runs again.
    /// </remarks>
    public async Task<DriveAnswer> InitialiseAsync(NewDrive wanted, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(wanted);
        if (newDrives.Check(wanted) is { } refusal)
            return refusal;
        await using var db = database.Open();
        if (!await db.Peers.AnyAsync(l => l.Name == wanted.Destination, cancellationToken))
            return new DriveAnswer(
                "drive.unknown_destination",
                $"'{wanted.Destination}' is not a registered librarian here, so copies there could not be recorded. "
                    + "Nothing was written. Add it with 'librarian add-librarian' (it need not be reachable: --offline)."
            );
        var existing = await db.Drives.SingleOrDefaultAsync(d => d.Name == wanted.Name, cancellationToken);
        if (existing is { State: not DriveState.Lost })
            return new DriveAnswer(
                "drive.exists",
                $"Drive '{wanted.Name}' exists already and is {existing.State}. Nothing was written. Choose another name."
            );
        if (
            existing is null
            && (
                options.Value.Stores.Exists(s => s.Name == wanted.Name)
                || await db.Stores.AnyAsync(s => s.Name == wanted.Name, cancellationToken)
            )
        )
            return new DriveAnswer("drive.name_taken", $"A store is named '{wanted.Name}'. Nothing was written. Choose another name.");
        var found = await newDrives.InspectMediumAsync(db, wanted, existing, cancellationToken);
        if (!found.IsOk)
            return found;
        var identity = Guid.NewGuid();
        var drive = existing
            ?? new Drive
            {
                DriveId = identity,
                Name = wanted.Name,
                StoreId = 0,
                MountPath = wanted.Path,
                Destination = wanted.Destination,
                FullFraction = wanted.FullFraction,
                State = DriveState.Filling,
                StateSince = Now,
                Trip = 1,
            };
        (drive.DriveId, drive.MountPath, drive.Destination, drive.FullFraction, drive.State, drive.StateSince, drive.Problem) = (
            identity,
            wanted.Path,
            wanted.Destination,
            wanted.FullFraction,
            DriveState.Filling,
            Now,
            null
        );
        if (existing is not null)
            (drive.Trip, drive.ManifestTime, drive.ManifestSha256, drive.ManifestOnDrive) = (drive.Trip + 1, null, null, false);
        try
        {
            Directory.CreateDirectory(DriveStore.DataPathOf(wanted.Path));
            Directory.CreateDirectory(DriveStore.StagingPathOf(wanted.Path));
            if (!new DriveMedium(drive).HasDirectories)
                return new DriveAnswer(
                    "drive.not_empty",
                    $"'{DriveStore.DataDirectory}' or '{FileName.WorkingDirectory}' in {wanted.Path} is a link "
                        + "or another file system. Nothing was catalogued. Make a new file system on the drive and try again."
                );
            await DriveDeliveries
                .MarkerOf(drive, key.PublicKey, options.Value.Name, drive.Trip, Now)
                .WriteAsync(wanted.Path, cancellationToken);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "drive.write_failed",
                $"{wanted.Path} cannot be written by this site: {e.Message}. Nothing was catalogued. "
                    + "Mount it writable for the site's account and try again."
            );
        }

        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        if (existing is null)
        {
            var store = new StoreRecord
            {
                Name = wanted.Name,
                Ingestable = false,
                Enabled = true,
                StoreData = new System.Text.Json.Nodes.JsonObject
                {
                    ["staging_path"] = DriveStore.StagingPathOf(wanted.Path),
                    ["store_path"] = DriveStore.DataPathOf(wanted.Path),
                    ["drive"] = identity.ToString("D"),
                }.ToJsonString(),
            };
            db.Stores.Add(store);
            await db.SaveChangesAsync(cancellationToken);
            drive.StoreId = store.Id;
            db.Drives.Add(drive);
        }

        try
        {
            await db.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return new DriveAnswer(
                "drive.exists",
                $"Drive '{wanted.Name}' was initialised at this moment by somebody else. Look with 'librarian drive list'."
            );
        }

        await StartAsync(drive, transaction.GetDbTransaction(), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        Signal();
        await stores.RefreshDrivesAsync(db, cancellationToken);
        var unfit = (await new DriveMedium(drive).Store.ProbeNamesAsync(cancellationToken))?.Describe();
        return DriveAnswer.Done(
            $"Drive '{wanted.Name}' is initialised and is filled by itself with what '{wanted.Destination}' does not have."
                + (
                    unfit is null
                        ? ""
                        : $" This drive cannot hold {unfit}; such files are left out and wait for another drive, "
                            + "best one with a Linux file system."
                )
        );
    }

    /// <summary>Freezes a drive; its workflow then writes the manifest.</summary>
    public Task<DriveAnswer> FreezeAsync(string name, CancellationToken cancellationToken) =>
        ChangeAsync(name, (db, drive) => dispatch.FreezeAsync(db, drive, cancellationToken), cancellationToken);

    /// <summary>Lets the workflow wipe a reusable drive for its next trip.</summary>
    public Task<DriveAnswer> RecycleAsync(string name, CancellationToken cancellationToken) =>
        ChangeAsync(name, async (db, drive) => (await deliveries.RecycleAsync(db, drive, cancellationToken), []), cancellationToken);

    /// <summary>Abandons a drive and releases the files that it carries.</summary>
    public Task<DriveAnswer> AbandonAsync(string name, CancellationToken cancellationToken) =>
        ChangeAsync(name, async (db, drive) => (await deliveries.AbandonAsync(db, drive, cancellationToken), []), cancellationToken);

    /// <summary>Records a destination's report on its files, in one transaction.</summary>
    /// <param name="notified">At most <see cref="DriveDeliveries.MaxBatch"/> files.</param>
    /// <param name="destination">The site that reports.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="saidAt">UTC time when the receipt was written; null if the destination reports directly.</param>
    public async Task<IReadOnlyList<RefusedDelivery>> RecordAsync(
        IReadOnlyList<Delivery> notified,
        string destination,
        CancellationToken cancellationToken,
        DateTime? saidAt = null
    )
    {
        ArgumentNullException.ThrowIfNull(notified);
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var refused = await deliveries.RecordAsync(db, notified, destination, options.Value.Name, cancellationToken, saidAt);
        await endedTransfers.PublishAsync(db, [.. notified.Select(d => d.TransferId)], cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        Signal();
        return refused;
    }

    /// <summary>Applies a receipt. Applying it again is harmless, and costs nothing if its file has not changed.</summary>
    /// <param name="path">Path of the receipt.</param>
    /// <param name="acceptKey">Fingerprint that an administrator has compared; the destination's key is trusted from now on.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task<DriveAnswer> AcknowledgeAsync(string path, string? acceptKey, CancellationToken cancellationToken)
    {
        var stamp = File.Exists(path) ? (File.GetLastWriteTimeUtc(path), new FileInfo(path).Length) : default;
        if (acceptKey is null && _applied.TryGetValue(path, out var before) && before == stamp)
            return DriveAnswer.Done("The receipt was applied before.");
        // Check and apply the same bytes: a drive can change, or fail, between two reads.
        var copy = Path.Combine(dispatch.Archive, $"checked-{Guid.NewGuid():N}.receipt");
        try
        {
            await using (var from = DriveFile.TryOpenRead(path))
            {
                if (from is null)
                    return new DriveAnswer("receipt.missing", $"{path} does not exist. Nothing was changed.");
                await using var to = Domain.Security.PrivateFile.Create(copy);
                await from.CopyToAsync(to, cancellationToken);
            }

            var answer = await ApplyAsync(copy, acceptKey, cancellationToken);
            if (answer.IsOk)
                _applied[path] = stamp;
            return answer;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "receipt.unreadable",
                $"{path} cannot be read: {e.Message} Nothing was changed that the receipt does not say. "
                    + "It is tried again, or bring the receipt another way ('librarian drive receipt' at the destination)."
            );
        }
        finally
        {
            File.Delete(copy);
        }
    }

    private async Task<DriveAnswer> ApplyAsync(string path, string? acceptKey, CancellationToken cancellationToken)
    {
        var check = await ReceiptReader.CheckAsync(path, cancellationToken);
        if (check.Accepted)
            await LearnKeyAsync(check.Header.Site, check.Header.SiteKey, acceptKey, cancellationToken);
        var (drive, answer) = await receipts.ExamineAsync(path, keyring, cancellationToken);
        if (!answer.IsOk)
            return answer;
        var (recorded, refused) = (0L, 0L);
        await using (var cursor = await ReceiptCursor.OpenAsync(path, cancellationToken))
        {
            var page = new List<Delivery>(DriveDeliveries.MaxBatch);
            while (true)
            {
                var line = await cursor.ReadLineAsync(cancellationToken);
                if (line is not null)
                    page.Add(
                        new Delivery(
                            line.OutgoingTransferId,
                            line.Name,
                            line.Checksum,
                            line.Outcome == ReceiptOutcome.Stored ? line.StoreId ?? 0 : null,
                            line.Message
                        )
                    );
                if (page.Count == 0 || (line is not null && page.Count < DriveDeliveries.MaxBatch))
                {
                    if (line is null)
                        break;
                    continue;
                }

                var no = await RecordAsync(page, drive!.Destination, cancellationToken, check.Header!.Created);
                refused += no.Count;
                recorded += page.Count - no.Count;
                page.Clear();
                if (line is null)
                    break;
            }
        }

        var others = refused > 0 ? $", {refused} could not be (they were decided before, or are of another catalog)" : "";
        return DriveAnswer.Done($"{recorded} files of drive '{drive!.Name}' are recorded as the receipt says{others}.");
    }

    /// <summary>
    /// Learns another site's key if it is unknown: from that site over the authenticated connection, or from an administrator who has
    /// compared the fingerprint of <paramref name="claimed"/>.
    /// </summary>
    public async Task LearnKeyAsync(string site, SitePublicKey claimed, string? acceptKey, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(claimed);
        if (acceptKey is not null && string.Equals(Digits(acceptKey), Digits(claimed.Fingerprint), StringComparison.OrdinalIgnoreCase))
        {
            await keyring.PinAsync(site, claimed, SiteKeyring.Accepted, cancellationToken);
            return;
        }

        if (await keyring.FindAsync(site, cancellationToken) is not null)
            return;
        if (await peers.FindAsync(site, cancellationToken) is not { } peer || peers.For(peer.Login, KeyTimeout) is not { } quick)
            return;
        var answer = await quick.Client.GetSiteKeyAsync(cancellationToken);
        if (answer.IsSuccess && answer.Value.Site == site && SitePublicKey.TryParse(answer.Value.PublicKey, out var fetched))
            await keyring.PinAsync(site, fetched, SiteKeyring.Fetched, cancellationToken);

        static string Digits(string text) => string.Concat(text.Where(char.IsAsciiHexDigit));
    }

    /// <summary>Starts the alert that a drive is full, in the caller's transaction.</summary>
    /// <param name="db">The catalog.</param>
    /// <param name="drive">The drive.</param>
    /// <param name="transaction">The caller's transaction.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="unlessIn">
    /// Statuses of an earlier alert of this trip in which no new one is started; null: while the earlier one runs.
    /// </param>
    public async Task<Alert> AlertAsync(
        CatalogContext db,
        Drive drive,
        DbTransaction transaction,
        CancellationToken cancellationToken,
        IReadOnlyList<string>? unlessIn = null
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(drive);
        var load = await db
            .DriveContents.Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Stored)
            .GroupBy(c => 1)
            .Select(g => new { Files = g.LongCount(), Bytes = g.Sum(c => c.Size) })
            .SingleOrDefaultAsync(cancellationToken);
        var alert = new Alert(
            "drive-full",
            options.Value.Name,
            drive.Name,
            drive.Trip,
            drive.Destination,
            load?.Files ?? 0,
            load?.Bytes ?? 0,
            $"librarian drive manifest CONN {drive.Name}"
        );
        var start = new StartOrchestrationOptions(DriveAlert.InstanceId(alert.Drive, alert.Trip)) { DedupeStatuses = unlessIn };
        await client.ScheduleNewOrchestrationInstanceAsync(
            nameof(DriveAlert),
            new DriveAlertInput(alert, options.Value.Alerts.Webhooks.Count),
            start,
            transaction,
            cancellationToken
        );
        return alert;
    }

    /// <summary>Starts a workflow for every drive without one (terminated, or lost with a restored backup).</summary>
    public async Task WatchAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        foreach (var drive in await db.Drives.AsNoTracking().Where(d => d.State != DriveState.Lost).ToListAsync(cancellationToken))
        {
            await StartAsync(drive, transaction.GetDbTransaction(), cancellationToken);
            if (!client.StartsInTransaction)
                await RepeatAsync(db, drive, transaction.GetDbTransaction(), cancellationToken);
        }

        await transaction.CommitAsync(cancellationToken);
        Signal();
    }

    /// <summary>
    /// Repeats the events of the drive's last state change, which may have been lost after the commit: the wake-up, as long as an earlier
    /// pause may still run, and the alert, as long as the earlier alert can still be found, but at most for a day.
    /// </summary>
    private async Task RepeatAsync(CatalogContext db, Drive drive, DbTransaction transaction, CancellationToken cancellationToken)
    {
        var age = Now - drive.StateSince;
        if (age < AdvanceDrive.LongestPause(options.Value))
        {
            await client.RaiseEventAsync(
                DriveTrip.InstanceId(drive.Name),
                DriveTrip.WakeEvent,
                null,
                messageId: null,
                transaction,
                cancellationToken
            );
        }

        var found = options.Value.FinishedInstanceRetention;
        if (drive.State == DriveState.Full && age < (found < TimeSpan.FromDays(1) ? found : TimeSpan.FromDays(1)))
            await AlertAsync(db, drive, transaction, cancellationToken, unlessIn: Enum.GetNames<OrchestrationRuntimeStatus>());
    }

    private async Task StartAsync(Drive drive, DbTransaction transaction, CancellationToken cancellationToken)
    {
        await client.ScheduleNewOrchestrationInstanceAsync(
            nameof(DriveTrip),
            new DriveTripInput(drive.Id, drive.Name),
            new StartOrchestrationOptions(DriveTrip.InstanceId(drive.Name)),
            transaction,
            cancellationToken
        );
    }

    private async Task<DriveAnswer> ChangeAsync(
        string name,
        Func<CatalogContext, Drive, Task<(DriveAnswer Answer, IReadOnlyList<long> Ended)>> change,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var drive = await db.Drives.AsNoTracking().SingleOrDefaultAsync(d => d.Name == name, cancellationToken);
        if (drive is null)
            return new DriveAnswer(
                "drive.unknown",
                $"No drive of this site is named '{name}'. Nothing was changed. 'librarian drive list' shows them all."
            );
        var (answer, ended) = await change(db, drive);
        if (!answer.IsOk)
            return answer;
        foreach (var chunk in ended.Chunk(DriveDeliveries.MaxBatch))
            await endedTransfers.PublishAsync(db, chunk, cancellationToken);
        await StartAsync(drive, transaction.GetDbTransaction(), cancellationToken);
        await client.RaiseEventAsync(
            DriveTrip.InstanceId(name),
            DriveTrip.WakeEvent,
            null,
            messageId: null,
            transaction.GetDbTransaction(),
            cancellationToken
        );
        await transaction.CommitAsync(cancellationToken);
        Signal();
        return answer;
    }
}
