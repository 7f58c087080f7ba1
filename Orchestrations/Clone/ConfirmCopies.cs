using System.Text.Json.Serialization;
using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Peers;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Clone;

/// <summary>Input of <see cref="ConfirmCopies"/>.</summary>
/// <param name="Peer">The peer's name.</param>
/// <param name="After">Id of the last copy that this pass has handled.</param>
/// <param name="Waits">Pauses in a row, for the back-off.</param>
public sealed record ConfirmInput(string Peer, long After = 0, int Waits = 0);

/// <summary>Outcome of one page.</summary>
public enum ConfirmOutcome
{
    /// <summary>No copy at the peer is in doubt.</summary>
    Done,

    /// <summary>The peer was asked about a page; there may be more.</summary>
    [JsonStringEnumMemberName("Again")]
    Continue,

    /// <summary>The peer cannot be asked now, or left some copies undecided.</summary>
    Wait,
}

/// <summary>Answer of <see cref="ConfirmPage"/>; also the status of <see cref="ConfirmCopies"/>.</summary>
/// <param name="Outcome">What to do next.</param>
/// <param name="Message">For people.</param>
/// <param name="After">Id to continue after.</param>
public sealed record ConfirmStep(ConfirmOutcome Outcome, string Message, long After);

/// <summary>
/// Asks a peer about its copies in doubt, page by page, until none is left. Instance id <c>confirm-{peer}</c>. The catalog records which
/// copies are in doubt, so any step may be repeated, and a crash leaves them in doubt.
/// </summary>
[DurableTask(nameof(ConfirmCopies))]
public sealed class ConfirmCopies : TaskOrchestrator<ConfirmInput, string>
{
    private const int StepsPerGeneration = 100;

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, ConfirmInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        for (var steps = 0; steps < StepsPerGeneration; steps++)
        {
            var step = await context.CallActivityAsync<ConfirmStep>(nameof(ConfirmPage), input, PeerCalls.Options);
            context.SetCustomStatus(step);
            if (step.Outcome == ConfirmOutcome.Done)
                return step.Message;
            if (step.Outcome == ConfirmOutcome.Wait)
                await context.CreateTimer(PeerCalls.Pause(input.Waits, context.NewGuid()), CancellationToken.None);
            input =
                step.Outcome == ConfirmOutcome.Wait
                    ? input with
                    {
                        After = 0,
                        Waits = input.Waits + 1,
                    }
                    : input with
                    {
                        After = step.After,
                        Waits = 0,
                    };
        }

        context.ContinueAsNew(input);
        return "";
    }
}

/// <summary>
/// Asks about one page: in one call to a site of this project, file by file to a Python site. A copy that the peer holds is confirmed. A
/// copy that it does not hold is forgotten, so the file is offered again like any other that the peer lacks. All others stay in doubt.
/// </summary>
/// <remarks>
/// A copy that the peer acknowledges meanwhile is no longer in doubt, so an older answer does not remove it. After a crash between the
/// answer and the commit, the peer is asked again.
/// </remarks>
[DurableTask(nameof(ConfirmPage))]
public sealed class ConfirmPage(
    CatalogDatabase database,
    PeerConnections peers,
    OutgoingTransfers outgoing,
    EndedTransfers endedTransfers,
    ErrorLog errors,
    IOptions<SiteOptions> options,
    ILogger<ConfirmPage> log
) : TaskActivity<ConfirmInput, ConfirmStep>
{
    private const int SinglePage = 64;
    private const int AtOnce = 8;

    /// <inheritdoc />
    public override async Task<ConfirmStep> RunAsync(TaskActivityContext context, ConfirmInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        if (await peers.FindAsync(input.Peer, stop) is not { } peer)
            return await WaitOrEndAsync(input, $"'{input.Peer}' is not registered, or its registration cannot be used.", stop);
        List<CopyInDoubt> page;
        await using (var db = database.Open())
        {
            page = await db
                .RemoteCopies.Where(r => r.Peer!.Name == input.Peer && r.UnconfirmedSince != null && r.Id > input.After)
                .OrderBy(r => r.Id)
                .Join(
                    db.Files,
                    r => r.FileName,
                    f => f.Name,
                    (r, f) =>
                        new
                        {
                            r.Id,
                            r.StoreId,
                            Since = r.UnconfirmedSince!.Value,
                            f.Name,
                            f.Size,
                            f.Checksum,
                            f.TreeDigest,
                        }
                )
                .OrderBy(r => r.Id)
                .Select(r => new CopyInDoubt(r.Id, r.StoreId, r.Since, r.Name, r.Size, r.Checksum, r.TreeDigest))
                .Take(peer.Login.SendsCatalogHeaders ? CopiesRequest.MaxNames : SinglePage)
                .ToListAsync(stop);
        }

        if (page.Count == 0)
            return await WaitOrEndAsync(input, $"'{input.Peer}' did not say of every copy whether it holds it.", stop);
        var (answers, error) = peer.Login.SendsCatalogHeaders
            ? await AskTogetherAsync(peer, page, stop)
            : await AskEachAsync(peer, page, stop);
        await RecordAsync(input.Peer, page, answers, stop);
        return answers.Count == 0 && error is not null
            ? new ConfirmStep(ConfirmOutcome.Wait, error.ToString()!, input.After)
            : new ConfirmStep(ConfirmOutcome.Continue, $"'{input.Peer}' was asked about {page.Count} copies.", page[^1].Id);
    }

    private async Task<ConfirmStep> WaitOrEndAsync(ConfirmInput input, string why, CancellationToken stop)
    {
        await using var db = database.Open();
        if (await db.RemoteCopies.AnyAsync(r => r.Peer!.Name == input.Peer && r.UnconfirmedSince != null, stop))
            return new ConfirmStep(ConfirmOutcome.Wait, why, 0);
        await errors.SettleAsync(PeerCatalogs.ErrorKey(input.Peer), stop);
        return new ConfirmStep(ConfirmOutcome.Done, $"No copy at '{input.Peer}' is in doubt.", 0);
    }

    /// <summary>For each copy with a definite answer, the stores that hold it.</summary>
    private static async Task<(Dictionary<long, IReadOnlyList<long>> Stores, ReplyError? Error)> AskTogetherAsync(
        PeerClient peer,
        List<CopyInDoubt> page,
        CancellationToken stop
    )
    {
        var reply = await peer.Client.AskCopiesAsync(
            new CopiesRequest([.. page.Select(d => d.Name).Distinct(StringComparer.Ordinal)]),
            stop
        );
        if (!reply.IsSuccess)
            return ([], reply.Error);
        var held = reply
            .Value.Files.GroupBy(f => f.Name, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.First(), StringComparer.Ordinal);
        var undecided = reply.Value.Undecided.ToHashSet(StringComparer.Ordinal);
        return (
            page.Where(d => !undecided.Contains(d.Name))
                .ToDictionary(
                    d => d.Id,
                    d => held.TryGetValue(d.Name, out var file) && d.IsSame(file.Size, file.Checksum, file.TreeDigest) ? file.StoreIds : []
                ),
            null
        );
    }

    private static async Task<(Dictionary<long, IReadOnlyList<long>> Stores, ReplyError? Error)> AskEachAsync(
        PeerClient peer,
        List<CopyInDoubt> page,
        CancellationToken stop
    )
    {
        var answers = new Dictionary<long, IReadOnlyList<long>>();
        ReplyError? error = null;
        foreach (var some in page.Chunk(AtOnce))
        {
            var replies = await Task.WhenAll(some.Select(d => peer.Client.SearchFilesAsync(new FileSearchRequest(Name: d.Name), stop)));
            foreach (var (doubt, reply) in some.Zip(replies))
            {
                if (reply.IsSuccess)
                    answers[doubt.Id] =
                    [
                        .. reply
                            .Value.Where(f => f.Name == doubt.Name && doubt.IsSame(f.Size, f.Checksum, f.TreeDigest))
                            .SelectMany(f => f.Instances)
                            .Where(i => i is { Available: true, StoreId: not null })
                            .Select(i => i.StoreId!.Value)
                            .Distinct(),
                    ];
                else
                    error = reply.Error;
            }

            // The peer is away or refuses this site's account; further calls would fail in the same way.
            if (error is not null && (PeerCalls.IsForLater(error) || PeerCalls.IsForPerson(error)))
                break;
        }

        return (answers, error);
    }

    private async Task RecordAsync(
        string peer,
        List<CopyInDoubt> page,
        Dictionary<long, IReadOnlyList<long>> answers,
        CancellationToken stop
    )
    {
        if (answers.Count == 0)
            return;
        var there = page.FindAll(d => answers.TryGetValue(d.Id, out var stores) && stores.Contains(d.StoreId));
        var moved = page.FindAll(d => answers.TryGetValue(d.Id, out var stores) && stores.Count > 0 && !stores.Contains(d.StoreId));
        var gone = page.FindAll(d => answers.TryGetValue(d.Id, out var stores) && stores.Count == 0);
        // Record the error before the copies are forgotten: after a crash in between, the next answer does both again.
        if (gone is [var lostFirst, ..])
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.DataAvailability,
                $"copies gone at {peer}",
                $"'{peer}' no longer holds copies that it had acknowledged; the first of them is its copy of '{lostFirst.Name}'. "
                    + "This site offers the files to it again without a command, as long as it has a copy of its own. "
                    + "The log says how many copies are gone. Clear this entry when you have looked into it.",
                stop
            );
        }

        await using (var db = database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(stop))
        {
            List<long> lost = [.. gone.Concat(moved).Select(d => d.Id)];
            // A copy that came into doubt again meanwhile is in doubt because of a later catalog than the one that answered.
            foreach (var doubts in there.GroupBy(d => d.Since))
            {
                var kept = doubts.Select(d => d.Id).ToList();
                await db
                    .RemoteCopies.Where(r => kept.Contains(r.Id) && r.UnconfirmedSince == doubts.Key)
                    .ExecuteUpdateAsync(s => s.SetProperty(r => r.UnconfirmedSince, (DateTime?)null), stop);
            }

            await db.RemoteCopies.Where(r => lost.Contains(r.Id) && r.UnconfirmedSince != null).ExecuteDeleteAsync(stop);
            // The copy is on another store than before; it counts all the same.
            List<long> ended = [];
            foreach (var doubt in moved)
            {
                if (await outgoing.RecordCopyAsync(db, doubt.Name, peer, answers[doubt.Id][0], options.Value.Name, stop) is { } transfer)
                    ended.Add(transfer);
            }

            if (ended.Count > 0)
                await endedTransfers.PublishAsync(db, ended, stop);
            await transaction.CommitAsync(stop);
        }

        if (there.Count + moved.Count > 0)
            Logs.CopiesConfirmed(log, there.Count + moved.Count, peer);
        if (gone.Count == 0)
            return;
        outgoing.ForceFullScan(peer);
        Logs.CopiesGone(log, gone.Count, peer, gone[0].Name);
    }

    private sealed record CopyInDoubt(long Id, long StoreId, DateTime Since, string Name, long Size, string Checksum, string? TreeDigest)
    {
        public bool IsSame(long size, string checksum, string? treeDigest) =>
            size == Size
            && (treeDigest is null || TreeDigest is null || treeDigest == TreeDigest)
            && Contracts.Checksum.Parse(Checksum).CompareTo(Contracts.Checksum.Parse(checksum)) == ChecksumComparison.Equal;
    }
}
