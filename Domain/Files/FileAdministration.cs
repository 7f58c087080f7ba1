using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Files;

/// <summary>Data that lie in a store already and are to be catalogued.</summary>
/// <param name="Name">Name of the file to be.</param>
/// <param name="Size">Declared bytes.</param>
/// <param name="Checksum">Declared checksum, kept verbatim.</param>
/// <param name="Uploader">Who made it.</param>
/// <param name="Source">Where it came from.</param>
/// <param name="Path">Absolute path inside the store.</param>
/// <param name="StoreName">The store.</param>
/// <param name="CreateTime">UTC time to catalogue it under; a time in the future counts as now.</param>
public sealed record StoredData(string Name, long Size, string Checksum, string Uploader, string Source, string Path, string StoreName, DateTime CreateTime);

/// <summary>What became of <see cref="FileAdministration.AddAsync"/>.</summary>
public enum AddOutcome
{
    /// <summary>Verified and catalogued.</summary>
    Added,

    /// <summary>The name is catalogued already; nothing was looked at or changed.</summary>
    AlreadyThere,

    /// <summary>No such store, or it is not mounted.</summary>
    UnknownStore,

    /// <summary>Nothing at the path, or the path is not inside the store.</summary>
    Missing,

    /// <summary>The data differ from what was declared.</summary>
    Mismatch,

    /// <summary>A name or text that cannot be catalogued.</summary>
    Invalid,
}

/// <summary>What became of a deletion.</summary>
public enum DeleteOutcome
{
    /// <summary>Gone.</summary>
    Deleted,

    /// <summary>No such instance.</summary>
    Unknown,

    /// <summary>The data could not be deleted; the row stays, marked unavailable where the data may be damaged.</summary>
    Failed,
}

/// <summary>What an administrator does to the catalog by hand (wire.md §6.10.1, §6.10.6).</summary>
public sealed class FileAdministration(CatalogDatabase database, SiteStores stores, IOptions<SiteOptions> options, TimeProvider time, ILogger<FileAdministration> log)
{
    /// <summary>
    /// Catalogues data where they lie. They are read and compared first: upstream believes what it is told, and a wrong checksum in the
    /// catalog makes every later copy look corrupt.
    /// </summary>
    public async Task<(AddOutcome Outcome, string Message)> AddAsync(StoredData data, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(data);
        if (!StorePath.TryParse(data.Name, out var name, out var refusal)) return (AddOutcome.Invalid, $"name '{data.Name}': {StorePath.Describe(refusal)}");
        if (new[] { data.Checksum, data.Uploader, data.Source }.Any(t => t.Length is 0 or > CatalogContext.MaxText || t.Any(char.IsControl)) || data.Size < 0)
            return (AddOutcome.Invalid, "checksum, uploader and source must have 1 to 256 characters, none of them control characters, and size must not be negative.");
        await using var db = database.Open();
        var row = await db.Stores.AsNoTracking().SingleOrDefaultAsync(s => s.Name == data.StoreName, cancellationToken);
        if (row is null) return (AddOutcome.UnknownStore, "List the stores with admin/stores/list.");
        if (await db.Files.AnyAsync(f => f.Name == name.Value, cancellationToken)) return (AddOutcome.AlreadyThere, "");
        if (stores.Find(row.Id) is not { } store) return (AddOutcome.UnknownStore, "It is known but not mounted; mount it and try again.");
        var root = store.Options.StorePath.TrimEnd('/') + "/";
        if (!data.Path.StartsWith(root, StringComparison.Ordinal) || !StorePath.TryParse(data.Path[root.Length..], out var path, out _))
            return (AddOutcome.Missing, $"The path must be below {root} and contain no '..'.");
        var location = store.Locate(path);
        if (await SharedData.At(db, row.Id, location)
            .Select(i => i.FileName).FirstOrDefaultAsync(cancellationToken) is { } holder)
            return (AddOutcome.Invalid, $"The path belongs to the catalogued file '{holder}' or contains it; two files cannot share data.");
        var expected = new ContentDescription(Checksum.Parse(data.Checksum), data.Size);
        var digest = await store.DigestAsync(path, [expected.Checksum.Algorithm], new DigestOptions { FlushToDisk = true, MaxParallelism = options.Value.ChecksumParallelism }, cancellationToken: cancellationToken);
        if (digest.Status == DigestStatus.Missing) return (AddOutcome.Missing, "Nothing lies there.");
        if (!digest.IsComplete) return (AddOutcome.Mismatch, $"It cannot be read: {digest.Message ?? digest.Status.ToString()}.");
        if (!digest.Matches(expected)) return (AddOutcome.Mismatch, $"Declared {data.Size} bytes with {data.Checksum}, found {digest.SizeBytes} bytes with {digest.Checksums[expected.Checksum.Algorithm]}.");
        var now = time.GetUtcNow().UtcDateTime;
        // The caller's time, which upstream drops (W19): data that have lain here for years are not new.
        var created = DateTime.SpecifyKind(data.CreateTime, DateTimeKind.Utc);
        db.Files.Add(new FileRecord { Name = name.Value, CreateTime = created < now ? created : now, Size = data.Size, Checksum = data.Checksum, Uploader = data.Uploader, Source = data.Source });
        db.Instances.Add(new Instance { Path = location, FileName = name.Value, StoreId = row.Id, DeletionPolicy = DeletionPolicy.Disallowed, CreatedTime = now, Available = true });
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

    /// <summary>Forgets a local copy and, when asked, deletes its data. The file's own row stays.</summary>
    /// <remarks>
    /// The copy is marked unavailable first, so nobody starts to read it; then the data go, then the row. A crash leaves the row marked
    /// unavailable, and the same call finishes. Other local copies of the file are never touched.
    /// </remarks>
    public async Task<DeleteOutcome> DeleteLocalAsync(long instanceId, bool deleteData, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var instance = await db.Instances.AsNoTracking().SingleOrDefaultAsync(i => i.Id == instanceId, cancellationToken);
        if (instance is null) return DeleteOutcome.Unknown;
        if (deleteData)
        {
            var store = stores.Find(instance.StoreId);
            var root = store?.Options.StorePath.TrimEnd('/') + "/";
            if (store is null || !instance.Path.StartsWith(root, StringComparison.Ordinal) || !StorePath.TryParse(instance.Path[root.Length..], out var path, out _))
            {
                Logs.DataNotDeleted(log, instance.Path, store is null ? "its store is not mounted" : "it lies outside its store");
                return DeleteOutcome.Failed;
            }

            await db.Instances.Where(i => i.Id == instanceId).ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, false), cancellationToken);
            var removed = await store.DeleteAsync(path, cancellationToken);
            if (!removed.IsGone)
            {
                Logs.DataNotDeleted(log, instance.Path, removed.Message);
                return DeleteOutcome.Failed;
            }
        }

        await db.Instances.Where(i => i.Id == instanceId).ExecuteDeleteAsync(cancellationToken);
        Logs.InstanceForgotten(log, instance.FileName, instance.Path, deleteData);
        return DeleteOutcome.Deleted;
    }

    /// <summary>Forgets a neighbour's copy; nothing happens there.</summary>
    public async Task<DeleteOutcome> DeleteRemoteAsync(long instanceId, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.RemoteInstances.Where(r => r.Id == instanceId).ExecuteDeleteAsync(cancellationToken) > 0 ? DeleteOutcome.Deleted : DeleteOutcome.Unknown;
    }
}

/// <summary>Log lines of files; event ids 2300 to 2319.</summary>
internal static partial class Logs
{
    [LoggerMessage(2300, LogLevel.Warning, "The data at {Path} were not deleted, and its instance was kept: {Reason}")]
    public static partial void DataNotDeleted(ILogger logger, string path, string reason);

    [LoggerMessage(2301, LogLevel.Information, "The copy of {Name} at {Path} was removed from the catalog; its data too: {DataDeleted}")]
    public static partial void InstanceForgotten(ILogger logger, string name, string path, bool dataDeleted);
}
