using System.Diagnostics;
using System.Security.Cryptography;
using Librarian.Client;
using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;

namespace Librarian.Bench.Sites;

/// <summary>
/// How fast a site ingests what lies in its staging area: it is told of batches as a source tells it, and then catalogues them. Nothing
/// else is measured: neither the staging calls, nor the copies, nor the callbacks.
/// </summary>
internal static class StagedMeasure
{
    /// <summary>As in <c>Site:Peers:n:BatchSize</c> and <c>MaxBatchesInFlight</c> by default.</summary>
    private const int BatchSize = 128;
    private const int BatchesAtOnce = 4;
    private static long s_theirs;

    /// <returns>The time from the first call that says STAGED until all files are catalogued.</returns>
    public static async Task<TimeSpan> RunAsync(SiteProcess site, string folder, string name, int files)
    {
        using var client = Pair.Client(site);
        var sources = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        var batches = new List<List<long>>();
        foreach (var chunk in Enumerable.Range(0, files).Chunk(BatchSize))
        {
            var items = new List<CloneBatchItem>();
            foreach (var i in chunk)
            {
                var source = Path.Combine(sources, $"f{i}");
                await File.WriteAllBytesAsync(source, RandomNumberGenerator.GetBytes(4096));
                var sum = (await ContentDigest.OfAsync(source)).Checksum;
                items.Add(new CloneBatchItem(4096, sum, $"f{i}", $"{name}/{i % 100}/f{i}", SiteProcess.AdminUser, ++s_theirs));
            }

            var staged = Done(
                await client.StageCloneBatchAsync(new CloneBatchStageRequest(items, SiteProcess.AdminUser, 4096L * items.Count))
            );
            foreach (var slot in staged.Uploads)
                File.Copy(Path.Combine(sources, slot.UploadName), slot.StagingLocation);
            batches.Add([.. staged.Uploads.Select(u => u.DestinationTransferId)]);
        }

        var watch = Stopwatch.StartNew();
        await Parallel.ForEachAsync(batches, new ParallelOptions { MaxDegreeOfParallelism = BatchesAtOnce }, async (batch, stop) =>
            Done(await client.UpdateCheckinAsync(new CheckinUpdateRequest([], batch, TransferStatus.Staged), stop))
        );
        foreach (var batch in batches)
        {
            while (
                !Done(await client.GetCheckinStatusAsync(new CheckinStatusRequest([], batch)))
                    .DestinationTransferStatus.Values.All(s => s == TransferStatus.Completed)
            )
                await Task.Delay(10);
        }

        return watch.Elapsed;

        static T Done<T>(Reply<T> reply) => reply.IsSuccess ? reply.Value : throw new InvalidOperationException(reply.ToString());
    }
}
