using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.TransferManagers;
using Microsoft.EntityFrameworkCore;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;

namespace Librarian.Orchestrations.Clone;

/// <summary>The cause of a peer's refusal to stage files.</summary>
internal enum StagingRefusal
{
    /// <summary>The peer as a whole cannot stage files now.</summary>
    PeerUnavailable,

    /// <summary>The peer has abandoned an earlier attempt and wants to be asked again (406).</summary>
    EarlierAttemptEnded,

    /// <summary>The peer has no space (413).</summary>
    Full,

    /// <summary>The peer has files of these names (409).</summary>
    Exists,

    /// <summary>Another transfer brings these files to the peer (425).</summary>
    UnderWay,

    /// <summary>The peer does not accept these files; any other refusal.</summary>
    NotAccepted,
}

/// <summary>
/// One attempt to get staging slots for the files of a batch. The peer accepts a request as a whole or not at all. If it refuses some files
/// by name, they are handled separately and the rest is requested again. If it names none, the request is halved until the file is found.
/// Only the catalog keeps state between attempts.
/// </summary>
internal sealed class StagingRun(
    BatchWork work,
    TransferIds transferIds,
    TransferManagerChoice managers,
    PeerClient peer,
    SendCloneInput input,
    int withSlot
)
{
    /// <summary>Requests per run. A run that stops here has made progress, because after eleven requests the first file is alone.</summary>
    private const int MaxCalls = 48;

    /// <summary>
    /// A peer that has refused this many single files in a row and accepted none refuses the site, not the files. For answers from 500
    /// upwards the limit is <see cref="MaxSingleServerErrors"/>.
    /// </summary>
    private const int MaxSingleRefusals = 8;

    private const int MaxSingleServerErrors = 2;

    /// <summary>
    /// After this many pauses the batch is split even if the peer answers 500, because upstream answers 500 for some files
    /// (docs/spec/wire.md#several-unfinished-transfers).
    /// </summary>
    private const int MaxFaultyAnswers = 4;

    private readonly Stack<List<OutgoingTransfer>> _requests = new();
    private readonly HashSet<long> _askedAgain = [];
    private int _withSlot = withSlot;
    private int _singleRefusals;
    private string? _store;

    /// <summary>Sends requests until every file has a staging slot or has been handled, or the peer as a whole refuses.</summary>
    public async Task<BatchStep> RunAsync(List<OutgoingTransfer> pending, CancellationToken stop)
    {
        _requests.Push(pending);
        for (var calls = 0; _requests.TryPop(out var files); calls++)
        {
            if (calls == MaxCalls)
                return await work.Calls.StepAsync(
                    StepOutcome.Continue,
                    input.QueueId,
                    $"{_withSlot} files have a staging slot, the others are asked for next.",
                    stop
                );
            // Read this before the request: then all ids that the peer gave out earlier are below the new ones, in whatever order answers
            // arrive.
            var highest = await transferIds.HighestRemoteIdAsync(input.Destination, stop);
            var reply = await peer.Client.StageCloneBatchAsync(
                new CloneBatchStageRequest(
                    [
                        .. files.Select(t => new CloneBatchItem(
                            t.TransferSize,
                            t.TransferChecksum,
                            t.FileName,
                            t.FileName,
                            t.File!.Uploader,
                            t.Id,
                            t.File.TreeDigest
                        )),
                    ],
                    work.SiteName,
                    files.Sum(t => t.TransferSize)
                ),
                stop
            );
            if (reply.IsSuccess)
                await AcceptAsync(files, reply.Value, highest, stop);
            else if (await RefusedAsync(files, reply.Error, stop) is { } step)
                return step;
        }

        return await work.Calls.StepAsync(
            StepOutcome.Done,
            input.QueueId,
            $"{_withSlot} files have a staging slot{(_store is null ? "" : " on store " + _store)}.",
            stop
        );
    }

    private async Task AcceptAsync(List<OutgoingTransfer> files, CloneBatchStageResponse answer, long highestBefore, CancellationToken stop)
    {
        if (_store is null)
            await work.Calls.RecordAcceptingFilesAsync(peer, stop);
        var slots = SlotsOf(answer);
        var policy = work.Policy(input.Destination);
        var manager = managers.ChooseFor(answer.AsyncTransferProviders, [.. slots.Values.Select(s => s.StagingLocation)], policy);
        var usable = files
            .Where(t => manager is not null && slots.TryGetValue(t.Id, out var p) && manager.CanReach(p.StagingLocation, policy))
            .ToList();
        List<long> numbers = [.. files.Select(t => slots.GetValueOrDefault(t.Id)?.DestinationTransferId).OfType<long>()];
        await transferIds.CheckRemoteIdsAsync(input.Destination, highestBefore, numbers, stop);
        await work.EndHoldersAsync(input.Destination, numbers, stop);
        await using (var db = work.Open())
        {
            var ids = files.ConvertAll(t => t.Id);
            foreach (
                var row in await db
                    .OutgoingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Initiated)
                    .ToListAsync(stop)
            )
            {
                if (!slots.TryGetValue(row.Id, out var slot))
                    continue;
                row.RemoteTransferId = slot.DestinationTransferId;
                row.DestPath = slot.StagingLocation;
                row.TransferManagerName = manager?.Name;
            }

            await db.SaveChangesAsync(stop);
        }

        foreach (var transfer in files)
            transfer.RemoteTransferId = slots.GetValueOrDefault(transfer.Id)?.DestinationTransferId;
        var refused = (answer.Refused ?? []).GroupBy(r => r.SourceTransferId).ToDictionary(g => g.Key, g => g.First().Reason);
        var unfit = files.FindAll(t => !slots.ContainsKey(t.Id) && refused.ContainsKey(t.Id));
        if (unfit.Count > 0)
            await work.AbandonAsync(null, unfit, refused[unfit[0].Id], stop);
        await work.AbandonAsync(
            peer,
            [.. files.Except(usable).Except(unfit)],
            manager is null
                ? $"'{input.Destination}' offers no transfer manager that works from this host."
                : $"'{input.Destination}' named a staging location outside Site:Peers:LocalRoots, or none.",
            stop
        );
        _withSlot += usable.Count;
        _store = answer.StoreName;
    }

    /// <summary>
    /// Slots by transfer, without those that are named twice: two files would overwrite each other, or it is not certain which file a slot
    /// is for.
    /// </summary>
    private static Dictionary<long, CloneBatchSlot> SlotsOf(CloneBatchStageResponse answer) =>
        answer
            .Uploads.GroupBy(u => u.DestinationTransferId)
            .Where(g => g.Count() == 1)
            .Select(g => g.Single())
            .GroupBy(u => u.StagingLocation, StringComparer.Ordinal)
            .Where(g => g.Count() == 1)
            .Select(g => g.Single())
            .GroupBy(u => u.SourceTransferId)
            .Where(g => g.Count() == 1)
            .ToDictionary(g => g.Key, g => g.Single());

    /// <summary>Returns null to continue with the remaining requests.</summary>
    private async Task<BatchStep?> RefusedAsync(List<OutgoingTransfer> files, ReplyError error, CancellationToken stop)
    {
        var refusal = Classify(error);
        if (refusal == StagingRefusal.PeerUnavailable)
            return await work.Calls.WaitAsync(input, error, stop);
        // The refusal has ended the earlier attempt at the peer, so the next request succeeds. Pause first: two processes of this site
        // could otherwise end each other's attempts in turn.
        if (refusal == StagingRefusal.EarlierAttemptEnded)
            return await work.Calls.StepAsync(StepOutcome.RetrySoon, input.QueueId, error.ToString()!, stop);
        if (refusal == StagingRefusal.Full)
            return await NoRoomAsync(files, error, stop);
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
            if (
                refusal == StagingRefusal.NotAccepted
                && _withSlot == 0
                && ++_singleRefusals > (((Refused)error).Status >= 500 ? MaxSingleServerErrors : MaxSingleRefusals)
            )
                return await work.Calls.StepAsync(
                    StepOutcome.Wait,
                    input.QueueId,
                    $"'{input.Destination}' refuses one file after the other: {error}",
                    stop
                );
        }
        else if (concerned.Count < files.Count)
        {
            _requests.Push([.. files.Except(concerned)]);
        }

        return refusal switch
        {
            StagingRefusal.Exists => await ReconcileAsync(concerned, error, stop),
            StagingRefusal.UnderWay => await DeferAsync(concerned, error, stop),
            _ => await AbandonAsync(concerned, error.ToString()!, stop),
        };
    }

    private StagingRefusal Classify(ReplyError error) =>
        error switch
        {
            Refused { Status: 500 } when input.Waits >= MaxFaultyAnswers => StagingRefusal.NotAccepted,
            Refused { Status: 413 } => StagingRefusal.Full,
            Refused { Status: 409 } => StagingRefusal.Exists,
            Refused { Status: 425 } => StagingRefusal.UnderWay,
            Refused { Status: 406 } => StagingRefusal.EarlierAttemptEnded,
            _ when PeerCalls.IsForLater(error) || PeerCalls.IsForPerson(error) => StagingRefusal.PeerUnavailable,
            _ => StagingRefusal.NotAccepted,
        };

    private void Halve(List<OutgoingTransfer> files)
    {
        var half = files.Count / 2;
        _requests.Push(files[half..]);
        _requests.Push(files[..half]);
    }

    /// <summary>
    /// The peer has no space for all of these files. If it has none for the smallest file of the batch, it is full. Otherwise it gets the
    /// smaller files as far as they fit, and the others are deferred so that they do not delay the rest.
    /// </summary>
    private async Task<BatchStep?> NoRoomAsync(List<OutgoingTransfer> files, ReplyError error, CancellationToken stop)
    {
        if (files.Count > 1 && _withSlot > 0)
        {
            Halve([.. files.OrderBy(t => t.TransferSize)]);
            return null;
        }

        List<OutgoingTransfer> all = [.. _requests.SelectMany(a => a).Concat(files).OrderBy(t => t.TransferSize)];
        _requests.Clear();
        if (files.Count > 1)
        {
            _requests.Push(all[1..]);
            _requests.Push(all[..1]);
            return null;
        }

        if (_withSlot == 0)
            return await work.Calls.FullAsync(input, error, stop);
        await work.DeferAsync(all, $"'{input.Destination}' has space for smaller files only: {error}", stop);
        return null;
    }

    private async Task<BatchStep?> ReconcileAsync(List<OutgoingTransfer> files, ReplyError error, CancellationToken stop)
    {
        var others = new List<OutgoingTransfer>();
        var probed = CopyEvidence.Split((error as Refused)?.CopyVerified);
        foreach (var transfer in files)
        {
            switch (await work.ReconcileAsync(peer, transfer, probed.ContainsKey(transfer.Id), stop))
            {
                case null:
                    return await work.Calls.WaitAsync(input, error, stop);
                case false:
                    others.Add(transfer);
                    break;
            }
        }

        return await AbandonAsync(others, $"'{input.Destination}' holds another file of this name, or no good copy of it.", stop);
    }

    /// <summary>
    /// If the peer still waits for an earlier attempt of this site, this site ends that attempt and asks again. Otherwise it defers the
    /// files: the transfers end, and the files are offered again after a growing pause.
    /// </summary>
    private async Task<BatchStep?> DeferAsync(List<OutgoingTransfer> files, ReplyError error, CancellationToken stop)
    {
        var fresh = files.FindAll(t => _askedAgain.Add(t.Id));
        if (fresh.Count > 0 && await work.EndEarlierAsync(peer, fresh, stop))
        {
            _requests.Push(files);
            return null;
        }

        await work.DeferAsync(files, $"Another transfer of it to '{input.Destination}' is under way there: {error}", stop);
        return null;
    }

    private async Task<BatchStep?> AbandonAsync(List<OutgoingTransfer> files, string reason, CancellationToken stop)
    {
        await work.AbandonAsync(null, files, reason, stop);
        return null;
    }
}
