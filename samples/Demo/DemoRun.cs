using System.Collections.Concurrent;
using System.Diagnostics;
using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Contracts;

namespace Librarian.Samples.Demo;

/// <summary>Progress of the demo, in uploads.</summary>
internal sealed class DemoCounts
{
    internal int Uploaded;
    internal int Cloned;
    internal int Acknowledged;
}

/// <summary>One upload of the demo and its outcome.</summary>
/// <param name="Source">Path of the source.</param>
/// <param name="Name">Name in both catalogs.</param>
internal sealed record DemoFile(string Source, string Name)
{
    /// <summary>Size and checksum.</summary>
    internal ContentDigest? Digest { get; set; }

    /// <summary>Path of the archive's copy, once the archive has verified it.</summary>
    internal string? Copy { get; set; }

    /// <summary>Whether mountain has recorded the acknowledgement of that copy.</summary>
    internal bool Acknowledged { get; set; }

    /// <summary>The difference between source and copy, or null.</summary>
    internal string? Difference { get; set; }
}

/// <summary>
/// Sends files through two sites: upload to mountain, clone to archive, acknowledgement to mountain, and an independent reading of each
/// copy.
/// </summary>
/// <param name="mountain">The source.</param>
/// <param name="archive">The destination.</param>
internal sealed class DemoRun(SiteProcess mountain, SiteProcess archive)
{
    internal const string Observer = "observer";

    // Two parallel uploads keep a small machine's disk busy without starving the sites.
    private const int ParallelUploads = 2;

    private static readonly TimeSpan s_pollInterval = TimeSpan.FromMilliseconds(200);

    internal string ObserverPassword { get; } = SiteProcess.NewPassword();

    /// <summary>Creates the accounts and registers each site as the other's peer (docs/spec/wire.md#identity).</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="IOException">A site refused.</exception>
    internal async Task ProvisionAsync(CancellationToken cancellationToken)
    {
        using var onMountain = mountain.Connect(SiteProcess.Administrator, mountain.Password);
        using var onArchive = archive.Connect(SiteProcess.Administrator, archive.Password);
        var (archivesPassword, mountainsPassword) = (SiteProcess.NewPassword(), SiteProcess.NewPassword());
        Require(await onMountain.CreateUserAsync(new(archive.Name, archivesPassword, AuthLevel.Callback), cancellationToken));
        Require(await onArchive.CreateUserAsync(new(mountain.Name, mountainsPassword, AuthLevel.ReadAppend), cancellationToken));
        Require(await onMountain.CreateUserAsync(new(Observer, ObserverPassword, AuthLevel.ReadAppend), cancellationToken));
        var known = Require(
            await onMountain.AddLibrarianAsync(
                new(archive.Name, "http://127.0.0.1", archive.Port, $"{mountain.Name}:{mountainsPassword}"),
                cancellationToken
            )
        );
        var knownBack = Require(
            await onArchive.AddLibrarianAsync(
                new(mountain.Name, "http://127.0.0.1", mountain.Port, $"{archive.Name}:{archivesPassword}"),
                cancellationToken
            )
        );
        if (!known.Success || !knownBack.Success)
            throw new IOException($"The sites could not reach each other. Read {mountain.LogPath} and {archive.LogPath}.");
    }

    /// <summary>Uploads all files and waits until mountain has an acknowledgement for every copy at the archive.</summary>
    /// <param name="files">Files to send.</param>
    /// <param name="counts">Updated while the transfers run.</param>
    /// <param name="timeout">How long to wait without any progress.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The time that it took.</returns>
    /// <exception cref="IOException">An upload failed, or there was no progress for too long.</exception>
    internal async Task<TimeSpan> SendAsync(
        IReadOnlyList<DemoFile> files,
        DemoCounts counts,
        TimeSpan timeout,
        CancellationToken cancellationToken
    )
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var clock = Stopwatch.StartNew();
        ConcurrentQueue<DemoFile> uploaded = new();
        var uploading = UploadAsync(files, uploaded, counts, stop.Token);
        try
        {
            await FollowAsync(files.Count, uploaded, uploading, counts, timeout, stop.Token);
            await uploading;
            return clock.Elapsed;
        }
        finally
        {
            await stop.CancelAsync();
            await uploading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Reads every copy at the archive from disk and compares it with its source.</summary>
    /// <param name="files">Files that were sent.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>Whether all are equal.</returns>
    internal static async Task<bool> CompareAsync(IReadOnlyList<DemoFile> files, CancellationToken cancellationToken)
    {
        foreach (var file in files)
            file.Difference = await TreeComparison.DifferenceAsync(file.Source, file.Copy!, cancellationToken);
        return files.All(static file => file.Difference is null);
    }

    private static T Require<T>(Reply<T> reply) =>
        reply.IsSuccess ? reply.Value : throw new IOException($"Setting up the sites failed: {reply.Error}");

    private async Task UploadAsync(
        IReadOnlyList<DemoFile> files,
        ConcurrentQueue<DemoFile> uploaded,
        DemoCounts counts,
        CancellationToken cancellationToken
    )
    {
        using var client = mountain.Connect(Observer, ObserverPassword);
        var upload = new Upload(client, TimeProvider.System);
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = ParallelUploads, CancellationToken = cancellationToken };
        await Parallel.ForEachAsync(files, parallel, async (file, token) =>
        {
            var outcome = await upload.RunAsync(file.Source, file.Name, cancellationToken: token);
            if (outcome.Error is { } error)
                throw new IOException($"Uploading {file.Source} failed: {error}");
            file.Digest = outcome.Receipt!.Digest;
            uploaded.Enqueue(file);
            Interlocked.Increment(ref counts.Uploaded);
        });
    }

    private async Task FollowAsync(
        int total,
        ConcurrentQueue<DemoFile> uploaded,
        Task uploading,
        DemoCounts counts,
        TimeSpan timeout,
        CancellationToken cancellationToken
    )
    {
        using var onMountain = mountain.Connect(SiteProcess.Administrator, mountain.Password);
        using var onArchive = archive.Connect(SiteProcess.Administrator, archive.Password);
        List<DemoFile> open = [];
        var sinceMove = Stopwatch.StartNew();
        while (counts.Acknowledged < total)
        {
            if (uploading.IsFaulted)
                await uploading;
            var before = (counts.Uploaded, counts.Cloned, counts.Acknowledged);
            while (uploaded.TryDequeue(out var file))
                open.Add(file);
            foreach (var file in open)
                await CheckCopyAsync(file, onArchive, onMountain, counts, cancellationToken);
            open.RemoveAll(static file => file.Acknowledged);
            if (before != (counts.Uploaded, counts.Cloned, counts.Acknowledged))
                sinceMove.Restart();
            if (sinceMove.Elapsed > timeout)
            {
                throw new IOException(
                    $"Nothing moved for {timeout.TotalSeconds:0} seconds: {counts.Uploaded} of {total} uploaded, "
                        + $"{counts.Cloned} cloned, {counts.Acknowledged} acknowledged. "
                        + $"Nothing is lost; read {mountain.LogPath} and {archive.LogPath}."
                );
            }

            await Task.Delay(s_pollInterval, cancellationToken);
        }
    }

    private async Task CheckCopyAsync(
        DemoFile file,
        LibrarianClient onArchive,
        LibrarianClient onMountain,
        DemoCounts counts,
        CancellationToken cancellationToken
    )
    {
        if (file.Copy is null)
        {
            if (
                await FindAsync(onArchive, file, cancellationToken) is not { } hit
                || hit.Instances.FirstOrDefault(static copy => copy.Available) is not { } instance
            )
                return;
            if (hit.Checksum != file.Digest!.Checksum || hit.Size != file.Digest.Size)
                throw new IOException(
                    $"The archive cataloged {file.Name} as {hit.Size} bytes {hit.Checksum}, "
                        + $"the source has {file.Digest.Size} bytes {file.Digest.Checksum}."
                );
            file.Copy = instance.Path;
            counts.Cloned++;
        }

        if (
            await FindAsync(onMountain, file, cancellationToken) is { } known
            && known.RemoteInstances.Any(remote => remote.LibrarianName == archive.Name)
        )
        {
            file.Acknowledged = true;
            counts.Acknowledged++;
        }
    }

    private static async Task<FileSearchHit?> FindAsync(LibrarianClient client, DemoFile file, CancellationToken cancellationToken)
    {
        var found = await client.SearchFilesAsync(new FileSearchRequest(file.Name), cancellationToken);
        return found.IsSuccess
            ? found.Value.FirstOrDefault(hit => hit.Name == file.Name)
            : throw new IOException($"A search failed: {found.Error}");
    }
}
