using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Security;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Makes an empty file system a drive of this site.</summary>
public sealed class DriveInitialisation(
    CatalogDatabase database,
    SiteStores stores,
    NewDriveCheck newDrives,
    SiteSigningKey key,
    DriveWorkflows workflows,
    IOptions<SiteOptions> options,
    TimeProvider time
)
{
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
        if (await WhyNameRefusedAsync(db, wanted, existing, cancellationToken) is { } taken)
            return taken;
        var found = await newDrives.InspectMediumAsync(db, wanted, existing, cancellationToken);
        if (!found.IsOk)
            return found;
        var drive = NextTrip(wanted, existing);
        if (await PrepareAsync(drive, cancellationToken) is { } failed)
            return failed;
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        if (existing is null)
            await AddAsync(db, drive, cancellationToken);
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

        await workflows.StartAsync(drive, transaction.GetDbTransaction(), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        workflows.Signal();
        await stores.RefreshDrivesAsync(db, cancellationToken);
        return DriveAnswer.Done(await DescribeAsync(drive, cancellationToken));
    }

    private async Task<DriveAnswer?> WhyNameRefusedAsync(
        CatalogContext db,
        NewDrive wanted,
        Drive? existing,
        CancellationToken cancellationToken
    )
    {
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
        return null;
    }

    /// <summary>The row of a new drive, or that of a lost drive, changed for its next trip.</summary>
    private Drive NextTrip(NewDrive wanted, Drive? existing)
    {
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
                StateSince = time.GetUtcNow().UtcDateTime,
                Trip = 1,
            };
        (drive.DriveId, drive.MountPath, drive.Destination, drive.FullFraction, drive.State, drive.StateSince, drive.Problem) = (
            identity,
            wanted.Path,
            wanted.Destination,
            wanted.FullFraction,
            DriveState.Filling,
            time.GetUtcNow().UtcDateTime,
            null
        );
        if (existing is not null)
            (drive.Trip, drive.ManifestTime, drive.ManifestSha256, drive.ManifestOnDrive) = (drive.Trip + 1, null, null, false);
        return drive;
    }

    /// <summary>Writes directories and marker; returns the obstacle, or null.</summary>
    private async Task<DriveAnswer?> PrepareAsync(Drive drive, CancellationToken cancellationToken)
    {
        try
        {
            Directory.CreateDirectory(DriveStore.DataPathOf(drive.MountPath));
            Directory.CreateDirectory(DriveStore.StagingPathOf(drive.MountPath));
            if (!new DriveMedium(drive).HasDirectories)
                return new DriveAnswer(
                    "drive.not_empty",
                    $"'{DriveStore.DataDirectory}' or '{FileName.WorkingDirectory}' in {drive.MountPath} is a link "
                        + "or another file system. Nothing was catalogued. Make a new file system on the drive and try again."
                );
            await DriveMedium
                .MarkerOf(drive, key.PublicKey, options.Value.Name, drive.Trip, time.GetUtcNow().UtcDateTime)
                .WriteAsync(drive.MountPath, cancellationToken);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "drive.write_failed",
                $"{drive.MountPath} cannot be written by this site: {e.Message}. Nothing was catalogued. "
                    + "Mount it writable for the site's account and try again."
            );
        }
    }

    /// <summary>Adds the drive and its store to the unit of work.</summary>
    private static async Task AddAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        var store = new StoreRecord
        {
            Name = drive.Name,
            Ingestable = false,
            Enabled = true,
            StoreData = new System.Text.Json.Nodes.JsonObject
            {
                ["staging_path"] = DriveStore.StagingPathOf(drive.MountPath),
                ["store_path"] = DriveStore.DataPathOf(drive.MountPath),
                ["drive"] = drive.DriveId.ToString("D"),
            }.ToJsonString(),
        };
        db.Stores.Add(store);
        await db.SaveChangesAsync(cancellationToken);
        drive.StoreId = store.Id;
        db.Drives.Add(drive);
    }

    private static async Task<string> DescribeAsync(Drive drive, CancellationToken cancellationToken)
    {
        var unfit = (await new DriveMedium(drive).Store.ProbeNamesAsync(cancellationToken))?.Describe();
        return $"Drive '{drive.Name}' is initialised and is filled by itself with what '{drive.Destination}' does not have."
            + (
                unfit is null
                    ? ""
                    : $" This drive cannot hold {unfit}; such files are left out and wait for another drive, "
                        + "best one with a Linux file system."
            );
    }
}
