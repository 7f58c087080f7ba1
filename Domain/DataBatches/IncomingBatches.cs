using System.Collections.Concurrent;
using System.Globalization;
using Librarian.Domain.Catalog;
using Librarian.Domain.Posix;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Microsoft.Extensions.Logging;

namespace Librarian.Domain.DataBatches;

/// <summary>
/// The data batches of this site (docs/spec/data-batches.md). State is on the stores; this class keeps batches open that are in use.
/// </summary>
/// <remarks>
/// A new batch is written below a name that begins with a dot, and renamed when it is complete on disk. A crash before the rename leaves
/// such a directory, which the sweep removes; a crash after it leaves the batch, which the sender finds when it posts the layout again.
/// </remarks>
public sealed class IncomingBatches(CatalogDatabase database, SiteStores stores, TimeProvider time, ILogger<IncomingBatches> log)
    : IDisposable
{
    private const uint Private = 0x1c0;
    private const string Old = ".old-";
    private static readonly EntryName Folder = new(".batches");
    private static readonly TimeSpan Lifetime = TimeSpan.FromDays(21);
    private static readonly TimeSpan MakingTime = TimeSpan.FromHours(1);
    private static readonly TimeSpan OpenFor = TimeSpan.FromMinutes(10);

    /// <summary>Most appends of an account at a time; each holds a buffer and a few open files.</summary>
    private const int MostAppends = 32;

    private readonly ConcurrentDictionary<string, int> _appends = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Open> _open = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var id in _open.Keys)
            Close(id);
    }

    /// <summary>Adds bytes to a segment, unless the account has too many appends running.</summary>
    public async Task<SegmentResult> AppendAsync(DataBatch batch, SegmentAppend append, Stream body, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(batch);
        try
        {
            return _appends.AddOrUpdate(batch.Account, 1, static (_, running) => running + 1) > MostAppends
                ? new SegmentResult(SegmentOutcome.Later, Message: $"The site takes {MostAppends} appends of an account at a time.")
                : await batch.AppendAsync(append, body, cancellationToken);
        }
        finally
        {
            _appends.AddOrUpdate(batch.Account, 0, static (_, running) => running - 1);
        }
    }

    /// <summary>The transfers of a batch that were abandoned: their bytes are dropped, so that they do not hold up the others.</summary>
    public Task<IReadOnlyList<long>> AbandonedAsync(DataBatch batch, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(batch);
        return BatchTransfers.AbandonedAsync(database, batch.TransferIds, cancellationToken);
    }

    /// <summary>Makes a batch, or finds the one that the account made with the same layout.</summary>
    /// <param name="layout">The layout, unpacked.</param>
    /// <param name="caller">The sender.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task<BatchOpening> MakeAsync(Stream layout, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(caller);
        try
        {
            var (start, transfer) = await LayoutSpool.ReadStartAsync(layout, cancellationToken);
            var storeId = await BatchTransfers.StoreOfAsync(database, transfer, caller, cancellationToken);
            if (stores.Configured.FirstOrDefault(s => s.Id == storeId) is not { } store)
                return Refuse(BatchRefusal.UnfitTransfer, $"There is no transfer {transfer} of yours.");
            if (await stores.FindAsync(store.Id, cancellationToken) is not { } mounted || mounted.TryOpenStaging() is not { } staging)
                return Refuse(BatchRefusal.StoreAway, stores.WhyAway(store.Id));
            using (staging)
                return await MakeAsync(store, mounted, staging, (start, layout), caller, cancellationToken);
        }
        catch (PosixException failure) when (failure.IsNoSpace)
        {
            return Refuse(BatchRefusal.Full, failure.Message);
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.TooManyLinks or Errno.Exists)
        {
            return Refuse(BatchRefusal.UnfitTransfer, $"Something else lies in staging: {failure.Message}");
        }
        catch (Exception error) when (error is LayoutException or InvalidDataException)
        {
            return Refuse(BatchRefusal.BadLayout, error.Message);
        }
    }

    /// <summary>Opens a batch of an account.</summary>
    public async Task<BatchOpening> FindAsync(string id, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(id);
        ArgumentNullException.ThrowIfNull(caller);
        var opening = await OpenAsync(id, cancellationToken);
        return opening.Batch is { } batch && batch.Account != caller.Username && !caller.IsAdmin
            ? Refuse(BatchRefusal.Unknown, "Make the batch with its layout.")
            : opening;
    }

    /// <summary>Forgets a batch. Its transfers stay.</summary>
    public async Task RemoveAsync(DataBatch batch, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (
            TryParse(batch.Id, out var storeId, out var name)
            && await stores.FindAsync(storeId, cancellationToken) is { } store
            && store.TryOpenStaging() is { } staging
        )
        {
            using (staging)
            using (var folder = staging.TryOpenDirectory(Folder))
            {
                if (folder is not null)
                    Remove(folder, new EntryName(name), batch.Id);
            }
        }
    }

    /// <summary>
    /// Closes batches that are not in use, and removes those whose transfers have all ended, and those to which nothing has been added for
    /// three weeks.
    /// </summary>
    /// <returns>How many were removed.</returns>
    public async Task<int> SweepAsync(CancellationToken cancellationToken)
    {
        var removed = 0;
        foreach (var (id, open) in _open)
        {
            if (!open.Batch.IsInUse && time.GetUtcNow() - open.UsedTime > OpenFor)
                Close(id);
        }

        foreach (var store in stores.Configured)
        {
            try
            {
                removed += await SweepAsync(store, cancellationToken);
            }
            catch (IOException error)
            {
                // The other stores are swept nevertheless.
                Logs.BatchesNotSwept(log, store.Store.Options.Name, error.Message);
            }
        }

        return removed;
    }

    /// <summary>
    /// The transfers of batches that are kept: their senders may come back after weeks. Null if a store is not mounted or cannot be listed,
    /// so that nothing is known about its batches.
    /// </summary>
    public async Task<HashSet<long>?> ArrivingAsync(CancellationToken cancellationToken)
    {
        var arriving = new HashSet<long>();
        foreach (var store in stores.Configured)
        {
            if (await stores.FindAsync(store.Id, cancellationToken) is not { } mounted || mounted.TryOpenStaging() is not { } staging)
                return null;
            using (staging)
            {
                using var folder = staging.TryOpenDirectory(Folder);
                using var entries = folder?.OpenStream();
                while (entries?.TryRead(out var entry) == true)
                {
                    if (!TryParse(string.Create(CultureInfo.InvariantCulture, $"{store.Id}-{entry.Name}"), out _, out _))
                        continue;
                    using var directory = folder!.TryOpenDirectory(entry.Name);
                    if (directory is not null && IdleTime(directory) <= Lifetime)
                        arriving.UnionWith(TransfersOf(directory) ?? []);
                }
            }
        }

        return arriving;
    }

    private static BatchOpening Refuse(BatchRefusal refusal, string message) => new(null, refusal, message);

    private static bool TryParse(string id, out long storeId, out string name)
    {
        var dash = id.IndexOf('-', StringComparison.Ordinal);
        (storeId, name) = (0, dash < 0 ? "" : id[(dash + 1)..]);
        return name.Length == 32
            && name.All(char.IsAsciiHexDigitLower)
            && long.TryParse(id.AsSpan(0, dash), NumberStyles.None, CultureInfo.InvariantCulture, out storeId)
            // One id per batch: no leading zeros.
            && id[..dash] == storeId.ToString(CultureInfo.InvariantCulture);
    }

    private async Task<BatchOpening> MakeAsync(
        SiteStore store,
        LocalStore mounted,
        PosixDirectory staging,
        (ReadOnlyMemory<byte> Start, Stream Others) layout,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        staging.MakeDirectory(Folder, Private);
        using var folder = staging.OpenDirectory(Folder);
        var temporary = new EntryName($".new-{Guid.NewGuid():N}");
        folder.MakeDirectory(temporary, Private);
        try
        {
            using var made = folder.OpenDirectory(temporary);
            if (await LayoutSpool.WriteAsync(made, caller.Username, layout.Start, layout.Others, cancellationToken) is not { } name)
                return Refuse(BatchRefusal.TooLarge, $"A layout has at most {LayoutSpool.LargestLayout} bytes; make several batches.");
            var id = string.Create(CultureInfo.InvariantCulture, $"{store.Id}-{name}");
            if (folder.Status(new EntryName(name)) is null)
            {
                using var parsed = await BlockingWork.RunAsync(() => new BatchLayout(made.OpenFile(LayoutSpool.Name)), cancellationToken);
                if (await BatchTransfers.ProblemAsync(database, parsed, store.Id, caller, cancellationToken) is { } problem)
                    return Refuse(BatchRefusal.UnfitTransfer, problem);
                var transfers = await BatchTransfers.FindAsync(database, parsed.Transfers, store.Id, cancellationToken);
                await BlockingWork.RunAsync(() => StagedTree.MakeAll(mounted, parsed, transfers), cancellationToken);
                await BatchTransfers.MarkAsync(database, parsed.Transfers, cancellationToken);
                Publish(folder, temporary, new EntryName(name));
            }

            return await OpenAsync(id, cancellationToken);
        }
        finally
        {
            TreeRemoval.Remove(folder, temporary, CancellationToken.None);
        }
    }

    /// <summary>Two senders may make one batch at the same time; the second finds that of the first.</summary>
    private static void Publish(PosixDirectory folder, EntryName temporary, EntryName name)
    {
        try
        {
            folder.Rename(temporary, folder, name);
        }
        catch (PosixException failure) when (failure.Errno is Errno.Exists or Errno.NotEmpty) { }

        folder.Sync();
    }

    private async Task<BatchOpening> OpenAsync(string id, CancellationToken cancellationToken)
    {
        if (_open.TryGetValue(id, out var known))
        {
            if (known.Batch.IsStored)
            {
                known.UsedTime = time.GetUtcNow();
                return new BatchOpening(known.Batch);
            }

            Close(id);
        }

        if (!TryParse(id, out var storeId, out var name) || stores.Configured.All(s => s.Id != storeId))
            return Refuse(BatchRefusal.Unknown, "Make the batch with its layout.");
        if (await stores.FindAsync(storeId, cancellationToken) is not { } store || store.TryOpenStaging() is not { } staging)
            return Refuse(BatchRefusal.StoreAway, stores.WhyAway(storeId));
        using (staging)
        {
            using var folder = staging.TryOpenDirectory(Folder);
            if (folder?.TryOpenDirectory(new EntryName(name)) is not { } directory)
                return Refuse(BatchRefusal.Unknown, "Make the batch with its layout.");
            var batch = await ReadAsync(id, storeId, store, directory, cancellationToken);
            var open = _open.GetOrAdd(id, new Open(batch) { UsedTime = time.GetUtcNow() });
            if (open.Batch != batch)
                batch.Dispose();
            return new BatchOpening(open.Batch);
        }
    }

    private async Task<DataBatch> ReadAsync(
        string id,
        long storeId,
        LocalStore store,
        PosixDirectory directory,
        CancellationToken cancellationToken
    )
    {
        BatchLayout? layout = null;
        try
        {
            layout = await BlockingWork.RunAsync(() => new BatchLayout(directory.OpenFile(LayoutSpool.Name)), cancellationToken);
            return new DataBatch(id, store, layout, directory, (ids, stop) => BatchTransfers.FindAsync(database, ids, storeId, stop));
        }
        catch
        {
            layout?.Dispose();
            directory.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Removes a batch. Its directory loses its name in one step, so that nobody finds half of it; a crash leaves a directory named
    /// <c>.old-</c>, which the sweep removes.
    /// </summary>
    private void Remove(PosixDirectory folder, EntryName name, string id)
    {
        var old = new EntryName($"{Old}{Guid.NewGuid():N}");
        try
        {
            folder.Rename(name, folder, old);
        }
        catch (PosixException failure) when (failure.Errno is Errno.NoEntry)
        {
            // Another process has removed it.
        }

        Close(id);
        TreeRemoval.Remove(folder, old, CancellationToken.None);
    }

    private void Close(string id)
    {
        // A call that still uses it ends with an error, and its sender asks again.
        if (_open.TryRemove(id, out var open))
            open.Batch.Dispose();
    }

    private async Task<int> SweepAsync(SiteStore store, CancellationToken cancellationToken)
    {
        var removed = 0;
        if (await stores.FindAsync(store.Id, cancellationToken) is not { } mounted || mounted.TryOpenStaging() is not { } staging)
            return 0;
        using (staging)
        {
            using var folder = staging.TryOpenDirectory(Folder);
            if (folder is null)
                return 0;
            using var entries = folder.OpenStream();
            while (entries.TryRead(out var entry))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (!await IsEndedAsync(store.Id, folder, entry.Name, cancellationToken))
                    continue;
                Remove(folder, entry.Name, string.Create(CultureInfo.InvariantCulture, $"{store.Id}-{entry.Name}"));
                removed++;
            }
        }

        if (removed > 0)
            Logs.BatchesSwept(log, removed, store.Store.Options.Name);
        return removed;
    }

    private async Task<bool> IsEndedAsync(long storeId, PosixDirectory folder, EntryName name, CancellationToken cancellationToken)
    {
        using var directory = folder.TryOpenDirectory(name);
        if (directory is null)
            return false;
        var idle = IdleTime(directory);
        if (idle > Lifetime)
            return true;
        if (!TryParse(string.Create(CultureInfo.InvariantCulture, $"{storeId}-{name}"), out _, out _))
            return idle > MakingTime || name.Text.StartsWith(Old, StringComparison.Ordinal);
        return TransfersOf(directory) is { } transfers && !await BatchTransfers.AnyOpenAsync(database, transfers, cancellationToken);
    }

    /// <summary>The transfers of a batch; null if its layout cannot be read, so that nothing is known about it.</summary>
    private long[]? TransfersOf(PosixDirectory directory)
    {
        try
        {
            using var layout = new BatchLayout(directory.OpenFile(LayoutSpool.Name));
            return [.. layout.Transfers];
        }
        catch (Exception error) when (error is IOException or LayoutException)
        {
            // Another process may be removing it. The others are looked at nevertheless; its age removes it in the end.
            Logs.LayoutUnreadable(log, directory.Path, error.Message);
            return null;
        }
    }

    private TimeSpan IdleTime(PosixDirectory directory)
    {
        var changed = directory.Status(SegmentJournal.Name) ?? directory.Status();
        return time.GetUtcNow() - DateTimeOffset.UnixEpoch.AddTicks(changed.ModifiedNanoseconds / 100);
    }

    private sealed class Open(DataBatch batch)
    {
        internal DataBatch Batch { get; } = batch;

        internal DateTimeOffset UsedTime { get; set; }
    }
}
