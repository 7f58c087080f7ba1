using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.TransferManagers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;
using TransferStatus = Librarian.Domain.Catalog.TransferStatus;

namespace Librarian.Orchestrations.Clone;

/// <summary>Asks the neighbour for staging places (wire.md §6.6.2, §9.2); one bad file never holds up the rest of its batch.</summary>
/// <remarks>A crash after the neighbour's answer leaves places there that it gives up when we ask again (406, then 201).</remarks>
[DurableTask(nameof(StageBatch))]
public sealed class StageBatch(BatchWork work, LocalTransferManager local) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        List<OutgoingTransfer> open;
        await using (var db = work.Open())
        {
            open = await BatchWork.OpenTransfersAsync(db, input.QueueId, stop);
        }

        var pending = open.FindAll(t => t is { Status: TransferStatus.Initiated, RemoteTransferId: null });

        if (pending.Count == 0) return await work.StepAsync(StepOutcome.Done, input.QueueId, "All files have a place.", stop);
        var (peer, why) = await work.ConnectAsync(input.Destination, stop);
        if (peer is null) return await work.StepAsync(StepOutcome.Wait, input.QueueId, why, stop);
        // As upstream (wire.md §9.1): a neighbour that hangs shows it here, before it is asked for something whose fate would then be unknown.
        if ((await work.PingAsync(peer, stop)).Error is { } silence) return await work.WaitAsync(input, silence, stop);
        return await new StagingRun(work, local, peer, input, placed: open.Count(t => t.RemoteTransferId is not null)).RunAsync(pending, stop);
    }
}

/// <summary>What a neighbour's refusal of a staging request is about.</summary>
internal enum StagingRefusal
{
    /// <summary>The neighbour as a whole, now.</summary>
    Later,

    /// <summary>It has given up an earlier attempt and wants to be asked again (406).</summary>
    Moment,

    /// <summary>Its room (413).</summary>
    Full,

    /// <summary>Files that it has (409).</summary>
    Exists,

    /// <summary>Files that are on their way to it by another transfer (425).</summary>
    Arriving,

    /// <summary>Files that it does not take: any other refusal of a request.</summary>
    Bad,
}

/// <summary>
/// One try to get places for the files of a batch. The neighbour takes all or none of what it is asked for, so a refusal that concerns some
/// files is answered by asking for the rest: those that it names are dealt with by themselves; when it names none, halves are asked for
/// until the file is found. Nothing but the catalog is remembered between tries.
/// </summary>
internal sealed class StagingRun(BatchWork work, LocalTransferManager local, Peer peer, SendCloneInput input, int placed)
{
    /// <summary>Requests per run; a run that is cut off has made progress, for the first file is alone after eleven.</summary>
    private const int MaxCalls = 48;

    /// <summary>A neighbour that has refused so many single files one after another and taken none refuses us, not the files.</summary>
    private const int MaxSuspects = 8;

    /// <summary>After so many pauses even an error of the neighbour's own (500) is looked for in the files: upstream has such (wire.md §6.6.2 row 6).</summary>
    private const int PatienceWithFaults = 4;

    private readonly Stack<List<OutgoingTransfer>> _asks = new();
    private readonly HashSet<long> _askedAgain = [];
    private int _placed = placed;
    private int _suspects;
    private string? _store;

    /// <summary>Asks until every file has a place, has been dealt with, or the neighbour as a whole cannot be asked further now.</summary>
    public async Task<BatchStep> RunAsync(List<OutgoingTransfer> pending, CancellationToken stop)
    {
        _asks.Push(pending);
        for (var calls = 0; _asks.TryPop(out var files); calls++)
        {
            if (calls == MaxCalls) return await work.StepAsync(StepOutcome.Again, input.QueueId, $"{_placed} files have a place, the others are asked for next.", stop);
            var reply = await peer.Client.StageCloneBatchAsync(new CloneBatchStageRequest(
                [.. files.Select(t => new CloneBatchItem(t.TransferSize, t.TransferChecksum, t.FileName, t.FileName, t.File!.Uploader, t.Id))],
                work.SiteName, files.Sum(t => t.TransferSize)), stop);
            if (reply.IsSuccess) await AcceptAsync(files, reply.Value, stop);
            else if (await RefusedAsync(files, reply.Error, stop) is { } step) return step;
        }

        return await work.StepAsync(StepOutcome.Done, input.QueueId, $"{_placed} files have a place{(_store is null ? "" : " on store " + _store)}.", stop);
    }

    private async Task AcceptAsync(List<OutgoingTransfer> files, CloneBatchStageResponse answer, CancellationToken stop)
    {
        if (_store is null) await work.TakesFilesAsync(peer, stop);
        // A place named twice is no place: two files would overwrite each other there.
        var places = answer.Uploads.GroupBy(u => u.DestinationTransferId).Where(g => g.Count() == 1).Select(g => g.Single())
            .GroupBy(u => u.SourceTransferId).Where(g => g.Count() == 1).ToDictionary(g => g.Key, g => g.Single());
        var roots = work.Policy(input.Destination).LocalRoots;
        var provider = answer.AsyncTransferProviders.FirstOrDefault(p => p.Value is LocalProvider l && local.IsUsable(l.Hostnames));
        var usable = files.Where(t => provider.Value is not null && places.TryGetValue(t.Id, out var p) && LocalTransferManager.IsAllowed(p.StagingLocation, roots)).ToList();
        await using (var db = work.Open())
        {
            var ids = files.ConvertAll(t => t.Id);
            foreach (var row in await db.OutgoingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Initiated).ToListAsync(stop))
            {
                if (!places.TryGetValue(row.Id, out var place)) continue;
                row.RemoteTransferId = place.DestinationTransferId;
                row.DestPath = place.StagingLocation;
                row.TransferManagerName = provider.Value is null ? null : "local";
            }

            await db.SaveChangesAsync(stop);
        }

        foreach (var transfer in files) transfer.RemoteTransferId = places.GetValueOrDefault(transfer.Id)?.DestinationTransferId;
        await work.FailAsync(peer, [.. files.Except(usable)], provider.Value is null
            ? $"'{input.Destination}' offers no transfer manager that works from this host."
            : $"'{input.Destination}' named a staging location outside Site:Peers:LocalRoots, or none.", stop);
        _placed += usable.Count;
        _store = answer.StoreName;
    }

    /// <summary>Null: go on with what is still to be asked for.</summary>
    private async Task<BatchStep?> RefusedAsync(List<OutgoingTransfer> files, ReplyError error, CancellationToken stop)
    {
        var about = Understand(error);
        if (about == StagingRefusal.Later) return await work.WaitAsync(input, error, stop);
        // Asking again succeeds. Wait a moment in case two of us ask in turns.
        if (about == StagingRefusal.Moment) return await work.StepAsync(StepOutcome.Soon, input.QueueId, error.ToString()!, stop);
        if (about == StagingRefusal.Full) return await NoRoomAsync(files, error, stop);
        var named = ((Refused)error).Ids("source_transfer_ids").ToHashSet();
        List<OutgoingTransfer> concerned = named.Count == 0 ? [] : files.FindAll(t => named.Contains(t.Id));
        if (concerned.Count == 0)
        {
            if (files.Count > 1)
            {
                Halve(files);
                return null;
            }

            concerned = files;
            if (about == StagingRefusal.Bad && _placed == 0 && ++_suspects > (((Refused)error).Status >= 500 ? 2 : MaxSuspects))
                return await work.StepAsync(StepOutcome.Wait, input.QueueId, $"'{input.Destination}' refuses one file after the other: {error}", stop);
        }
        else if (concerned.Count < files.Count)
        {
            _asks.Push([.. files.Except(concerned)]);
        }

        return about switch
        {
            StagingRefusal.Exists => await ReconcileAsync(concerned, error, stop),
            StagingRefusal.Arriving => await StandBackAsync(concerned, error, stop),
            _ => await GiveUpAsync(concerned, error.ToString()!, stop),
        };
    }

    private StagingRefusal Understand(ReplyError error) => error switch
    {
        Refused { Status: 500 } when input.Waits >= PatienceWithFaults => StagingRefusal.Bad,
        Refused { Status: 413 } => StagingRefusal.Full,
        Refused { Status: 409 } => StagingRefusal.Exists,
        Refused { Status: 425 } => StagingRefusal.Arriving,
        Refused { Status: 406 } => StagingRefusal.Moment,
        _ when PeerCalls.IsForLater(error) || PeerCalls.IsForPerson(error) => StagingRefusal.Later,
        _ => StagingRefusal.Bad,
    };

    private void Halve(List<OutgoingTransfer> files)
    {
        var half = files.Count / 2;
        _asks.Push(files[half..]);
        _asks.Push(files[..half]);
    }

    /// <summary>
    /// No room for these together. If there is none for the smallest of the batch, the neighbour is full. Otherwise the smaller ones go in as
    /// far as there is room, and those that do not fit wait for another day without holding up the rest.
    /// </summary>
    private async Task<BatchStep?> NoRoomAsync(List<OutgoingTransfer> files, ReplyError error, CancellationToken stop)
    {
        if (files.Count > 1 && _placed > 0)
        {
            Halve([.. files.OrderBy(t => t.TransferSize)]);
            return null;
        }

        List<OutgoingTransfer> all = [.. _asks.SelectMany(a => a).Concat(files).OrderBy(t => t.TransferSize)];
        _asks.Clear();
        if (files.Count > 1)
        {
            _asks.Push(all[1..]);
            _asks.Push(all[..1]);
            return null;
        }

        if (_placed == 0) return await work.FullAsync(input, error, stop);
        await work.FailAsync(null, all, $"'{input.Destination}' has room for smaller files only: {error}", stop, TransferStatus.Cancelled);
        return null;
    }

    private async Task<BatchStep?> ReconcileAsync(List<OutgoingTransfer> files, ReplyError error, CancellationToken stop)
    {
        var others = new List<OutgoingTransfer>();
        foreach (var transfer in files)
        {
            switch (await work.ReconcileAsync(peer, transfer, stop))
            {
                case null: return await work.WaitAsync(input, error, stop);
                case false: others.Add(transfer); break;
            }
        }

        return await GiveUpAsync(others, $"'{input.Destination}' holds another file of this name, or no copy of it that can be used.", stop);
    }

    /// <summary>
    /// If it is an earlier attempt of ours that the neighbour still waits for, it learns that nothing will come of it, and is asked again.
    /// Otherwise the files stand back: the transfer ends, and the file is offered again after a pause that grows.
    /// </summary>
    private async Task<BatchStep?> StandBackAsync(List<OutgoingTransfer> files, ReplyError error, CancellationToken stop)
    {
        var fresh = files.FindAll(t => _askedAgain.Add(t.Id));
        if (fresh.Count > 0 && await work.EndEarlierAsync(peer, fresh, stop))
        {
            _asks.Push(files);
            return null;
        }

        await work.FailAsync(null, files, $"Another transfer of it to '{input.Destination}' is under way there: {error}", stop, TransferStatus.Cancelled);
        return null;
    }

    private async Task<BatchStep?> GiveUpAsync(List<OutgoingTransfer> files, string reason, CancellationToken stop)
    {
        await work.FailAsync(null, files, reason, stop);
        return null;
    }
}
