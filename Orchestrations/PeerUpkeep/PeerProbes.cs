using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Drives;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.Repair;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.PeerUpkeep;

/// <summary>
/// Sends one small call to every peer for which a workflow waits: a peer that is back may have no reason to call. Its answer is a sign of
/// life here (<see cref="PeerConnections"/>); the call is authenticated and therefore a sign of life there.
/// </summary>
public sealed class PeerProbes(
    CatalogDatabase database,
    PeerDirectory directory,
    PeerConnections connections,
    PeerPresence presence,
    DurableTaskClient client
)
{
    private const int AtOnce = 8;
    private const int PageSize = 1000;
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private static readonly string[] Waiting = [nameof(SendClone), NotifySource.TaskName, nameof(RepairCopy), ReportDriveToSource.TaskName];
    private volatile bool _learnt;

    public async Task ProbeAsync(CancellationToken cancellationToken)
    {
        // On SQLite this is the only process, so after its first search it misses nothing. On PostgreSQL workflows of other processes may
        // wait.
        if (!_learnt || database.Kind != DatabaseKind.Sqlite)
            await LearnAsync(cancellationToken);
        _learnt = true;
        await Parallel.ForEachAsync(
            presence.Awaited,
            new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
            async (name, token) =>
            {
                if (await directory.FindAsync(name, token) is { } login && connections.For(login, Timeout) is { } peer)
                    await peer.Client.PingLoggedAsync(token);
            }
        );
    }

    /// <summary>Finds the workflows whose status says that they wait.</summary>
    private async Task LearnAsync(CancellationToken cancellationToken)
    {
        var query = new InstanceQuery
        {
            Statuses = [OrchestrationRuntimeStatus.Running],
            Names = Waiting,
            PageSize = PageSize,
            FetchInputsAndOutputs = true,
        };
        await foreach (var page in client.GetAllInstancesAsync(query).AsPages().WithCancellation(cancellationToken))
        {
            var waiting = page.Values.Where(i => IsWaiting(i.SerializedCustomStatus)).ToList();
            foreach (var instance in waiting)
            {
                if (instance.Name == nameof(SendClone) && instance.ReadInputAs<SendCloneInput>() is { } batch)
                    presence.AddWaiting(batch.Destination, instance.InstanceId);
                if (instance.Name == NotifySource.TaskName && instance.ReadInputAs<NotifySourceInput>() is { } notify)
                    presence.AddWaiting(notify.Source, instance.InstanceId);
            }

            await LearnRepairsAsync(waiting.FindAll(i => i.Name == nameof(RepairCopy)), cancellationToken);
            await LearnIncomingDrivesAsync(waiting.FindAll(i => i.Name == ReportDriveToSource.TaskName), cancellationToken);
        }
    }

    private async Task LearnRepairsAsync(List<OrchestrationMetadata> repairs, CancellationToken cancellationToken)
    {
        if (repairs.Count == 0)
            return;
        List<long> ids = [.. repairs.Select(r => r.ReadInputAs<RepairInput>()!.CorruptId)];
        await using var db = database.Open();
        var sources = await db
            .CorruptFiles.Where(c => ids.Contains(c.Id))
            .Join(db.Peers, c => c.FileSource, l => l.Name, (c, l) => new { c.Id, l.Name })
            .ToListAsync(cancellationToken);
        var holders = await db
            .CorruptFiles.Where(c => ids.Contains(c.Id))
            .Join(db.RemoteCopies, c => c.FileName, r => r.FileName, (c, r) => new { c.Id, r.Peer!.Name })
            .ToListAsync(cancellationToken);
        foreach (var entry in sources.Concat(holders))
            presence.AddWaiting(entry.Name, RepairCopy.InstanceId(entry.Id));
    }

    private async Task LearnIncomingDrivesAsync(List<OrchestrationMetadata> reports, CancellationToken cancellationToken)
    {
        if (reports.Count == 0)
            return;
        var byDrive = reports.ToDictionary(t => t.ReadInputAs<IncomingDriveInput>()!.ArrivalId, t => t.InstanceId);
        List<long> ids = [.. byDrive.Keys];
        await using var db = database.Open();
        var incoming = await db
            .IncomingDrives.Where(a => ids.Contains(a.Id))
            .Select(a => new { a.Id, a.Source })
            .ToListAsync(cancellationToken);
        foreach (var drive in incoming)
            presence.AddWaiting(drive.Source, byDrive[drive.Id]);
    }

    /// <summary>Statuses are the steps that the activities return, such as <see cref="BatchStep"/>.</summary>
    private static bool IsWaiting(string? status)
    {
        if (status is null)
            return false;
        try
        {
            using var document = JsonDocument.Parse(status);
            return document.RootElement is { ValueKind: JsonValueKind.Object } root
                && (
                    (
                        root.TryGetProperty("outcome", out var outcome)
                        && outcome.ValueKind == JsonValueKind.String
                        && outcome.ValueEquals("Wait"u8)
                    ) || (root.TryGetProperty("isReachable", out var reachable) && reachable.ValueKind == JsonValueKind.False)
                );
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
