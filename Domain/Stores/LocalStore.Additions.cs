using System.Collections.Concurrent;
using Librarian.Domain.Checksums;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    private const long SmallFile = 256 << 10;

    /// <summary>
    /// Copies files of another store into this one and verifies both sides: the source is compared with the expected content, and the copy
    /// is read back from the medium, not from memory. The file system is flushed once for all files, so that many small files cost few
    /// flushes.
    /// </summary>
    /// <remarks>
    /// Steps: copy into a staging entry that is named by the addition's id, flush, read back, rename without replacing, flush. A crash
    /// leaves those entries and, after the rename, data under their names that the caller has not recorded. Another call with the same
    /// additions removes the former and recognises the latter by reading them (<see cref="CommitFileAsync"/>). A failure of one file is its
    /// result and does not affect the others.
    /// </remarks>
    public Task<IReadOnlyList<AdditionResult>> AddAsync(
        LocalStore source,
        IReadOnlyList<Addition> additions,
        AdditionOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(additions);
        return BlockingWork.RunAsync(() => Add(source, additions, options ?? new AdditionOptions(), cancellationToken), cancellationToken);
    }

    private IReadOnlyList<AdditionResult> Add(
        LocalStore source,
        IReadOnlyList<Addition> additions,
        AdditionOptions options,
        CancellationToken stop
    )
    {
        var results = new AdditionResult?[additions.Count];
        var copies = new ConcurrentDictionary<int, StagedCopy>();
        using var batch = TryOpenBatch(source, out var closed);
        if (batch is null)
            return [.. additions.Select(addition => new AdditionResult(addition, AdditionStatus.IoError, closed!))];
        CopyAll(batch, additions, options, results, copies, stop);
        Reach("add.copied");
        if (Flush(batch.Staging) is { } unflushed)
            return Broken($"Store '{Options.Name}' could not be flushed: {unflushed}.", batch, additions, results, copies);
        Reach("add.flushed");

        // Reading small files back is mostly waiting for the medium, which serves several requests at once better than one after the other.
        var isSmall = additions.Count > 1 && options.Parallelism > 1 && additions.All(a => a.Expected.SizeBytes <= SmallFile);
        InParallel(
            additions.Count,
            isSmall ? 4 * options.Parallelism : options.Parallelism,
            i =>
            {
                if (results[i] is null && ReadBack(batch, additions[i], copies[i], stop) is { } failed)
                    results[i] = failed;
            },
            stop
        );
        Reach("add.verified");

        // Minutes may have passed since the batch began. Data are committed where the store's paths lead now, and only if that is still the
        // same store.
        if (WhyMoved(batch) is { } moved)
            return Broken(moved, batch, additions, results, copies);
        for (var i = 0; i < additions.Count; i++)
        {
            if (results[i] is not null)
                continue;
            results[i] = CommitCopied(batch, additions[i], copies[i], stop);
        }

        Reach("add.placed");
        if (Flush(batch.Store) is { } broken)
            return Broken($"Store '{Options.Name}' could not be flushed: {broken}.", batch, additions, results, copies);
        for (var i = 0; i < additions.Count; i++)
            Tidy(batch, additions[i], results[i]!, copies.GetValueOrDefault(i));
        return results!;
    }

    // Nothing is recorded as stored after a failed flush. The next attempt recognises data that were renamed already.
    private IReadOnlyList<AdditionResult> Broken(
        string why,
        AdditionBatch batch,
        IReadOnlyList<Addition> additions,
        AdditionResult?[] results,
        ConcurrentDictionary<int, StagedCopy> copies
    )
    {
        for (var i = 0; i < additions.Count; i++)
        {
            if (results[i] is null or { Status: AdditionStatus.Added })
                results[i] = new AdditionResult(
                    additions[i],
                    AdditionStatus.IoError,
                    $"{why} '{additions[i].Name}' does not count as stored; its source is untouched."
                );
            Tidy(batch, additions[i], results[i]!, copies.GetValueOrDefault(i));
        }

        return results!;
    }

    private void CopyAll(
        AdditionBatch batch,
        IReadOnlyList<Addition> additions,
        AdditionOptions options,
        AdditionResult?[] results,
        ConcurrentDictionary<int, StagedCopy> copies,
        CancellationToken stop
    ) =>
        InParallel(
            additions.Count,
            options.Parallelism,
            i =>
            {
                if (options.MayWrite?.Invoke() == false)
                    results[i] = new AdditionResult(
                        additions[i],
                        AdditionStatus.IoError,
                        $"Store '{Options.Name}' is not mounted any more. Nothing of '{additions[i].Name}' was kept."
                    );
                else if (CopyToStaging(batch, additions[i], options, stop, out var copy) is { } failed)
                    results[i] = failed;
                else
                    copies[i] = copy!;
            },
            stop
        );

    /// <summary>Why the store's paths lead elsewhere than when the batch began; null if they do not.</summary>
    private string? WhyMoved(AdditionBatch batch)
    {
        try
        {
            using var staging = OpenRoot(_stagingRoot);
            using var store = OpenRoot(_storeRoot);
            return staging.Status().Identity == batch.Staging.Status().Identity && store.Status().Identity == batch.Store.Status().Identity
                ? null
                : $"Other directories lie at the paths of store '{Options.Name}' than when the copies were begun: "
                    + "it was unmounted, or something was mounted over it. Mount it as before.";
        }
        catch (PosixException failure)
        {
            return $"Store '{Options.Name}' is not available any more: {failure.Message}. Mount it.";
        }
    }

    private AdditionBatch? TryOpenBatch(LocalStore source, out string? failed)
    {
        PosixDirectory? staging = null;
        try
        {
            staging = OpenRoot(_stagingRoot);
            var store = OpenRoot(_storeRoot);
            failed = null;
            return new AdditionBatch(staging, store, source);
        }
        catch (PosixException failure)
        {
            staging?.Dispose();
            failed = $"Store '{Options.Name}' is not available: {failure.Message}. Nothing was stored. Mount it and try again.";
            return null;
        }
    }

    private static EntryName StagedNameOf(Addition addition) => new(StagingName(addition.Id));

    private AdditionResult? CopyToStaging(
        AdditionBatch batch,
        Addition addition,
        AdditionOptions options,
        CancellationToken stop,
        out StagedCopy? copy
    )
    {
        copy = null;
        try
        {
            RemoveStaged(batch, addition);
            if (Recognise(batch, addition, options, stop, out copy) is { } taken)
                return taken;
            if (copy is not null)
                return null;
            var result = ReadSource(batch, addition, options, stop, out copy);
            if (
                result is { Status: AdditionStatus.SourceMissing or AdditionStatus.SourceError }
                && batch.RenewSourceParent(addition.Source)
            )
            {
                RemoveStaged(batch, addition);
                result = ReadSource(batch, addition, options, stop, out copy);
            }

            if (result is not null || copy is not { IsDirectory: true })
                return result;
            // Links are copied as links. One that leaves the directory would have another target here, and reading back cannot detect that.
            var inspection = TreeInspection.Inspect(batch.Staging, StagedNameOf(addition), checkOwners: false, stop);
            if (inspection.IsAcceptable)
                return null;
            if (copy.MembersFile is { } list)
                File.Delete(list);
            copy = null;
            return new AdditionResult(
                addition,
                AdditionStatus.Refused,
                $"'{addition.Source}' holds what no store takes: "
                    + $"{inspection.Findings[0].Finding} at '{inspection.Findings[0].Path}'. Replace links by the files they lead to."
            );
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.TooManyLinks)
        {
            return new AdditionResult(
                addition,
                AdditionStatus.NameTaken,
                $"Something that is no directory lies in the way of '{addition.Name}' in store '{Options.Name}'; "
                    + $"it was left as it is: {failure.Message}"
            );
        }
        catch (PosixException failure)
        {
            return new AdditionResult(addition, failure.IsNoSpace ? AdditionStatus.NoSpace : AdditionStatus.IoError, failure.Message);
        }
    }

    private static string? Flush(PosixDirectory root)
    {
        try
        {
            root.SyncFileSystem();
            return null;
        }
        catch (PosixException failure)
        {
            return failure.Message;
        }
    }

    /// <summary>Removes everything of an addition from staging, and the list of members of a copy that was not added.</summary>
    private void Tidy(AdditionBatch batch, Addition addition, AdditionResult result, StagedCopy? copy)
    {
        if (result.Status != AdditionStatus.Added && copy?.MembersFile is { } list)
            File.Delete(list);
        if (copy is { IsConsumed: true })
            return;
        try
        {
            RemoveStaged(batch, addition);
            // A commit that copies (across file systems) may have been interrupted between its rename and its clean-up.
            if (copy is null or { IsCommitted: true } || result.Status != AdditionStatus.Added)
                RemoveIncoming(addition.Id);
        }
        catch (PosixException)
        {
            // A failing medium keeps the leftovers; the sweep of staging removes them later.
        }
    }

    private void RemoveIncoming(Guid id)
    {
        using var root = TryOpenRoot(_storeRoot);
        using var incoming = root is null ? null : TryOpenIncoming(root, id, out _);
        incoming?.Remove(CancellationToken.None);
    }

    private static void RemoveStaged(AdditionBatch batch, Addition addition)
    {
        if (batch.Staging.Status(StagedNameOf(addition)) is not null)
            TreeRemoval.Remove(batch.Staging, StagedNameOf(addition), CancellationToken.None);
    }

    private static void InParallel(int count, int parallelism, Action<int> work, CancellationToken stop)
    {
        if (parallelism <= 1 || count <= 1)
        {
            for (var i = 0; i < count; i++)
            {
                stop.ThrowIfCancellationRequested();
                work(i);
            }

            return;
        }

        var next = -1;
        ConcurrentQueue<Exception> failures = [];
        var threads = Enumerable
            .Range(0, Math.Min(parallelism, count))
            .Select(_ => new Thread(() =>
            {
                try
                {
                    for (var i = Interlocked.Increment(ref next); i < count; i = Interlocked.Increment(ref next))
                    {
                        stop.ThrowIfCancellationRequested();
                        work(i);
                    }
                }
                catch (Exception failure)
                {
                    failures.Enqueue(failure);
                }
            })
            {
                IsBackground = true,
                Name = "store addition",
            })
            .ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        if (failures.TryDequeue(out var first))
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
    }

    /// <summary>A copy in staging with the expected content, and how to recognise it.</summary>
    private sealed record StagedCopy(
        ContentDescription Expected,
        string? Sha256,
        long Files,
        bool IsDirectory,
        string Written,
        string? MembersFile
    )
    {
        /// <summary>The data had their final name already.</summary>
        internal bool IsCommitted { get; init; }

        /// <summary>The result of reading back from the medium.</summary>
        internal DigestResult? Verified { get; set; }

        /// <summary>The rename moved the data out of staging.</summary>
        internal bool IsConsumed { get; set; }
    }
}
