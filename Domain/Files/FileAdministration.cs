using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Files;

/// <summary>Data that are already in a store and are to be catalogued.</summary>
/// <param name="Name">Name of the new file.</param>
/// <param name="Size">Declared size in bytes.</param>
/// <param name="Checksum">Declared checksum, kept verbatim.</param>
/// <param name="Uploader">Who made it.</param>
/// <param name="Source">Where it came from.</param>
/// <param name="Path">Absolute path inside the store.</param>
/// <param name="StoreName">Name of the store.</param>
/// <param name="CreateTime">Creation time for the catalog, in UTC; a time in the future counts as now.</param>
public sealed record StoredData(
    string Name,
    long Size,
    string Checksum,
    string Uploader,
    string Source,
    string Path,
    string StoreName,
    DateTime CreateTime
);

/// <summary>Outcome of <see cref="FileAdministration.AddAsync"/>.</summary>
public enum AddOutcome
{
    /// <summary>Verified and catalogued.</summary>
    Added,

    /// <summary>The name is already catalogued; nothing was read or changed.</summary>
    AlreadyThere,

    /// <summary>The store is unknown or not mounted.</summary>
    UnknownStore,

    /// <summary>Nothing is at the path, or the path is not inside the store.</summary>
    Missing,

    /// <summary>The data differ from the declaration.</summary>
    Mismatch,

    /// <summary>The catalog cannot hold a name or text of the request.</summary>
    Invalid,
}

/// <summary>Outcome of a deletion.</summary>
public enum DeleteOutcome
{
    Deleted,

    /// <summary>The catalog has no such copy.</summary>
    Unknown,

    /// <summary>The data could not be deleted. The row stays, and is marked unavailable if the data may be damaged.</summary>
    Failed,
}

/// <summary>
/// Changes that an administrator makes to the catalog by hand (docs/spec/wire.md#add-file, docs/spec/wire.md#delete-instance).
/// </summary>
public sealed class FileAdministration(
    CatalogDatabase database,
    SiteStores stores,
    IOptions<SiteOptions> options,
    TimeProvider time,
    ILogger<FileAdministration> log
)
{
    /// <summary>
    /// Catalogues data without moving them. The data are read and compared first: upstream trusts the declaration, and a wrong checksum in
    /// the catalog makes every later copy look corrupt.
    /// </summary>
    public async Task<(AddOutcome Outcome, string Message)> AddAsync(StoredData data, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(data);
        if (!FileName.TryParse(data.Name, out var name, out var refusal))
            return (AddOutcome.Invalid, $"name '{data.Name}': {FileName.Describe(refusal)}");
        if (
            new[] { data.Checksum, data.Uploader, data.Source }.Any(t => t.Length is 0 or > CatalogContext.MaxText || t.Any(char.IsControl))
            || data.Size < 0
        )
            return (
                AddOutcome.Invalid,
                "checksum, uploader and source must have 1 to 256 characters, "
                    + "none of them control characters, and size must not be negative."
            );
        await using var db = database.Open();
        var row = await db.Stores.AsNoTracking().SingleOrDefaultAsync(s => s.Name == data.StoreName, cancellationToken);
        if (row is null)
            return (AddOutcome.UnknownStore, "List the stores with admin/stores/list.");
        if (await db.Files.AnyAsync(f => f.Name == name.Value, cancellationToken))
            return (AddOutcome.AlreadyThere, "");
        if (await stores.FindAsync(row.Id, cancellationToken) is not { } store)
            return (AddOutcome.UnknownStore, stores.WhyAway(row.Id));
        if (!FileName.TryParse(StoreRoots.Inside(store.Options.RootPath, data.Path), out var path, out _))
            return (AddOutcome.Missing, $"The path must be below {store.Options.RootPath} and contain no '..'.");
        if (await BlockedAsync(db, row.Id, name, path, cancellationToken) is { } blocked)
            return (AddOutcome.Invalid, blocked);
        if (await UnfitAsync(store, path, data, cancellationToken) is { } unfit)
            return unfit;
        var seen = await store.FingerprintAsync(path, cancellationToken);
        // The reading may have taken hours, in which another file may have got the data or the name.
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        if (await BlockedAsync(db, row.Id, name, path, cancellationToken) is { } meanwhile)
            return (AddOutcome.Invalid, meanwhile);
        var added = await CatalogueAsync(db, data, row.Id, (name, path), seen.Fingerprint, cancellationToken);
        if (added.Outcome == AddOutcome.Added)
            await transaction.CommitAsync(cancellationToken);
        return added;
    }

    /// <summary>Reads the data and compares them with the declaration; null when they can be catalogued.</summary>
    /// <summary>Why data cannot get a name now; null if they can.</summary>
    private static async Task<string?> BlockedAsync(
        CatalogContext db,
        long storeId,
        FileName name,
        FileName path,
        CancellationToken cancellationToken
    )
    {
        if (await SharedData.At(db, storeId, path.Value).Select(i => i.FileName).FirstOrDefaultAsync(cancellationToken) is { } holder)
            return $"The path belongs to the catalogued file '{holder}' or contains it; two files cannot share data.";
        if ((await NestedNames.BlockedAsync(db, [name.Value], cancellationToken)).GetValueOrDefault(name.Value) is { } nested)
            return nested;
        return await db.IncomingTransfers.AnyAsync(t => t.Committing && t.FileName == name.Value, cancellationToken)
            ? $"A transfer is storing '{name}' at this moment. Nothing was catalogued. Try again in a minute."
            : null;
    }

    private async Task<(AddOutcome Outcome, string Message)?> UnfitAsync(
        LocalStore store,
        FileName path,
        StoredData data,
        CancellationToken cancellationToken
    )
    {
        var expected = new ContentDescription(Checksum.Parse(data.Checksum), data.Size);
        var digest = await store.DigestAsync(
            path,
            [expected.Checksum.Algorithm],
            new DigestOptions
            {
                FlushToDisk = true,
                FromMedium = true,
                MaxParallelism = options.Value.ChecksumParallelism,
            },
            cancellationToken: cancellationToken
        );
        if (digest.Status == DigestStatus.Missing)
            return (AddOutcome.Missing, "Nothing lies there.");
        if (digest.Status == DigestStatus.FlushFailed)
            return (
                AddOutcome.Mismatch,
                $"The disk refused to keep it: {digest.Message}. What is in memory may not be what is on the disk. "
                    + "Write it to the store again, then add it."
            );
        if (!digest.IsComplete)
            return (AddOutcome.Mismatch, $"It cannot be read: {digest.Message ?? digest.Status.ToString()}.");
        if (!digest.Matches(expected))
            return (
                AddOutcome.Mismatch,
                $"Declared {data.Size} bytes with {data.Checksum}, "
                    + $"found {digest.SizeBytes} bytes with {digest.Checksums[expected.Checksum.Algorithm]}."
            );
        var inspection = await store.InspectAsync(path, cancellationToken);
        if (!inspection.IsAcceptable)
            return (
                AddOutcome.Invalid,
                $"No store takes what lies there: {inspection.Findings[0].Finding} at '{inspection.Findings[0].Path}'. "
                    + "Nothing was catalogued. Replace links by the files they lead to."
            );
        return null;
    }

    private async Task<(AddOutcome Outcome, string Message)> CatalogueAsync(
        CatalogContext db,
        StoredData data,
        long storeId,
        (FileName Name, FileName Path) at,
        string? fingerprint,
        CancellationToken cancellationToken
    )
    {
        var now = time.GetUtcNow().UtcDateTime;
        // Uses the caller's time, which upstream drops (weakness W19): data that have been here for years are not new.
        var created = DateTime.SpecifyKind(data.CreateTime, DateTimeKind.Utc);
        db.Files.Add(
            new FileRecord
            {
                Name = at.Name.Value,
                CreateTime = created < now ? created : now,
                Size = data.Size,
                Checksum = data.Checksum,
                Uploader = data.Uploader,
                Source = data.Source,
            }
        );
        db.Copies.Add(
            new FileCopy
            {
                Path = at.Path.Value,
                FileName = at.Name.Value,
                StoreId = storeId,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = now,
                Available = true,
                Fingerprint = fingerprint,
                VerifiedTime = now,
            }
        );
        try
        {
            await db.SaveChangesAsync(cancellationToken);
            return (AddOutcome.Added, "");
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return (AddOutcome.AlreadyThere, "");
        }
    }

    /// <summary>Removes a local copy from the catalog and, if requested, deletes its data. The file's own row stays.</summary>
    /// <remarks>
    /// The copy is marked unavailable first, so that nobody starts to read it; then the data are deleted, then the row. A crash leaves the
    /// row marked unavailable, and the same call finishes the deletion. Other local copies of the file are never touched.
    /// </remarks>
    public async Task<DeleteOutcome> DeleteLocalAsync(long copyId, bool deleteData, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var copy = await db.Copies.AsNoTracking().SingleOrDefaultAsync(i => i.Id == copyId, cancellationToken);
        if (copy is null)
            return DeleteOutcome.Unknown;
        if (deleteData)
        {
            var store = await stores.FindAsync(copy.StoreId, cancellationToken);
            if (store is null || !FileName.TryParse(copy.Path, out var path, out _))
            {
                Logs.DataNotDeleted(
                    log,
                    stores.Locate(copy.StoreId, copy.Path),
                    store is null ? stores.WhyAway(copy.StoreId) : "it lies outside its store"
                );
                return DeleteOutcome.Failed;
            }

            await db.Copies.Where(i => i.Id == copyId).ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, false), cancellationToken);
            var removed = await store.DeleteAsync(path, cancellationToken);
            if (!removed.IsGone)
            {
                Logs.DataNotDeleted(log, stores.Locate(copy.StoreId, copy.Path), removed.Message);
                return DeleteOutcome.Failed;
            }
        }

        await db.Copies.Where(i => i.Id == copyId).ExecuteDeleteAsync(cancellationToken);
        Logs.InstanceForgotten(log, copy.FileName, stores.Locate(copy.StoreId, copy.Path), deleteData);
        return DeleteOutcome.Deleted;
    }

    /// <summary>Removes a peer's copy from this catalog. Nothing changes at the peer.</summary>
    public async Task<DeleteOutcome> DeleteRemoteAsync(long copyId, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.RemoteCopies.Where(r => r.Id == copyId).ExecuteDeleteAsync(cancellationToken) > 0
            ? DeleteOutcome.Deleted
            : DeleteOutcome.Unknown;
    }
}
