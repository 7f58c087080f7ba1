using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Files;

/// <summary>What one local copy was found to be.</summary>
/// <param name="Instance">The copy.</param>
/// <param name="Checksum">As read, with prefix.</param>
/// <param name="Size">Bytes, as read.</param>
/// <param name="Matches">Whether it is what the catalog says.</param>
public sealed record InstanceCheck(Instance Instance, string Checksum, long Size, bool Matches);

/// <summary>Reads local copies and compares them with the catalog.</summary>
/// <remarks>
/// Findings are kept per copy: a good copy of a file says nothing about a bad one beside it (upstream W16). A copy that cannot be read is
/// neither good nor bad; it is left out of the answer and recorded as an error.
/// </remarks>
public sealed class InstanceChecks(CatalogDatabase database, SiteStores stores, ErrorLog errors, IOptions<SiteOptions> options, TimeProvider time) : IDisposable
{
    private readonly SemaphoreSlim _readers = new(options.Value.IngestParallelism);

    /// <summary>Checks every available copy of a file, several at the same time; null when the file is unknown.</summary>
    /// <param name="name">The file.</param>
    /// <param name="force">Read even what was read lately.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    public async Task<(FileRecord File, IReadOnlyList<InstanceCheck> Checks)?> CheckAsync(string name, bool force, CancellationToken cancellationToken)
    {
        FileRecord? file;
        await using (var db = database.Open())
        {
            file = await db.Files.AsNoTracking().Include(f => f.Instances).SingleOrDefaultAsync(f => f.Name == name, cancellationToken);
        }

        if (file is null) return null;
        var checks = await Task.WhenAll(file.Instances.Where(i => i.Available).OrderBy(i => i.Id).Select(i => CheckAsync(file, i, force, cancellationToken)));
        return (file, [.. checks.OfType<InstanceCheck>()]);
    }

    /// <inheritdoc />
    public void Dispose() => _readers.Dispose();

    private async Task<InstanceCheck?> CheckAsync(FileRecord file, Instance instance, bool force, CancellationToken cancellationToken)
    {
        var expected = new ContentDescription(Checksum.Parse(file.Checksum), file.Size);
        if (!force && instance is { CalculatedChecksum: { } known, CalculatedSize: { } size, ChecksumTime: { } read } && time.GetUtcNow().UtcDateTime - read < options.Value.ChecksumLifetime)
            return new InstanceCheck(instance, known, size, size == file.Size && Checksum.Parse(known).CompareTo(expected.Checksum) == ChecksumComparison.Equal);
        var store = stores.Find(instance.StoreId);
        var root = store?.Options.StorePath.TrimEnd('/') + "/";
        if (store is null || !instance.Path.StartsWith(root, StringComparison.Ordinal) || !StorePath.TryParse(instance.Path[root.Length..], out var path, out _))
        {
            await UnreadableAsync(instance, store is null ? "its store is not mounted" : "it lies outside its store", cancellationToken);
            return null;
        }

        DigestResult digest;
        await _readers.WaitAsync(cancellationToken);
        try
        {
            digest = await store.DigestAsync(path, [expected.Checksum.Algorithm], new DigestOptions { MaxParallelism = options.Value.ChecksumParallelism }, cancellationToken: cancellationToken);
        }
        finally
        {
            _readers.Release();
        }

        if (!digest.IsComplete)
        {
            await UnreadableAsync(instance, digest.Message ?? digest.Status.ToString(), cancellationToken);
            return null;
        }

        var check = new InstanceCheck(instance, digest.Checksums[expected.Checksum.Algorithm].Text, digest.SizeBytes, digest.Matches(expected));
        await RecordAsync(file, check, cancellationToken);
        return check;
    }

    /// <summary>One transaction: what was read, and whether the copy is on the list of corrupt ones.</summary>
    private async Task RecordAsync(FileRecord file, InstanceCheck check, CancellationToken cancellationToken)
    {
        var (now, id) = (time.GetUtcNow().UtcDateTime, check.Instance.Id);
        await using (var db = database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            var kept = await db.Instances.Where(i => i.Id == id).ExecuteUpdateAsync(s => s.SetProperty(i => i.CalculatedChecksum, check.Checksum)
                .SetProperty(i => i.CalculatedSize, check.Size).SetProperty(i => i.ChecksumTime, now), cancellationToken);
            if (kept == 0) return;
            if (check.Matches)
            {
                await db.CorruptFiles.Where(c => c.InstanceId == id).ExecuteDeleteAsync(cancellationToken);
            }
            else if (await db.CorruptFiles.Where(c => c.InstanceId == id).ExecuteUpdateAsync(s => s.SetProperty(c => c.Count, c => c.Count + 1)
                .SetProperty(c => c.Checksum, check.Checksum).SetProperty(c => c.Size, check.Size), cancellationToken) == 0)
            {
                db.CorruptFiles.Add(new CorruptFile
                {
                    FileName = file.Name,
                    FileSource = file.Source,
                    InstanceId = id,
                    InstancePath = check.Instance.Path,
                    CorruptTime = now,
                    Size = check.Size,
                    Checksum = check.Checksum,
                    Count = 1,
                });
                await db.SaveChangesAsync(cancellationToken);
            }

            await transaction.CommitAsync(cancellationToken);
        }

        if (!check.Matches)
            await errors.RaiseAsync(ErrorSeverity.Critical, ErrorCategory.DataIntegrity, $"copy {id}",
                $"The copy of '{file.Name}' at {check.Instance.Path} has {check.Size} bytes with {check.Checksum}; the catalog says {file.Size} bytes with {file.Checksum}. It is still there. Other copies are not affected.", cancellationToken);
    }

    private Task UnreadableAsync(Instance instance, string why, CancellationToken cancellationToken) =>
        errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.DataAvailability, $"copy {instance.Id}", $"The copy of '{instance.FileName}' at {instance.Path} could not be read: {why}. Whether it is good is not known.", cancellationToken);
}
