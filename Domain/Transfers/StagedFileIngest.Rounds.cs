using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;

namespace Librarian.Domain.Transfers;

/// <remarks>
/// <para>Ingests small files in rounds. A round does each step for all of its files before the next step, in the order of a single file, so
/// that statements, threads and flushed directories count per round and not per file. Every file keeps its own lock, its own flush and its
/// own outcome.</para>
/// <para>A crash between two steps leaves the following; in each case the workflow or the timer hands the transfers to
/// <see cref="RunAsync"/>, which continues from there. After the locks – nothing. After <see cref="IncomingTransfer.FlushBegun"/> was
/// recorded for all, and after some or all were flushed and read – the data in staging, which are written anew, because nobody knows how
/// the flushes ended. After the names were reserved – the same, with the names kept for these transfers. After some or all renames, and
/// after some or all directories were flushed – each file under exactly one of its names: those in staging are written anew, those in the
/// store are recognised by size and checksum, and their entry is written anew. After the transaction that catalogues all – staging
/// directories, empty or not, removed by the sweep. A file is catalogued in no other step, so none is catalogued twice, and none is
/// lost.</para>
/// </remarks>
public sealed partial class StagedFileIngest
{
    /// <summary>Most files of a round: enough that the costs of a round no longer matter, and few enough to be done in a moment.</summary>
    public const int MostInRound = 256;

    /// <summary>Files of a round that are committed step by step at the same time, because a rename is not enough for them.</summary>
    private const int StepsAtOnce = 16;

    /// <summary>
    /// Ingests STAGED transfers of single small files together. Like <see cref="RunAsync"/> it may be called any number of times, also
    /// concurrently and with the same transfers.
    /// </summary>
    /// <param name="transfers">At most <see cref="MostInRound"/> transfers.</param>
    /// <param name="cancellationToken">Stops between steps.</param>
    /// <returns>
    /// The result of each transfer, in the order of the transfers. Null for one that is left to <see cref="RunAsync"/>, so that it does not
    /// hold up the others: a large file, a directory, a replacement, one that a crash interrupted, and one that another run is working on.
    /// </returns>
    public async Task<IReadOnlyList<IngestResult?>> RunRoundAsync(
        IReadOnlyList<StagedTransfer> transfers,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(transfers);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(transfers.Count, MostInRound, nameof(transfers));
        var policies = new Dictionary<long, DeletionPolicy>();
        var turns = new List<IDisposable>();
        var results = new Dictionary<long, IngestResult>();
        try
        {
            foreach (var transfer in transfers)
            {
                // Never waited for: another round that has some of these may wait for others of them.
                if (!policies.ContainsKey(transfer.Id) && _turns.TryEnter(transfer.Id) is { } turn)
                {
                    policies[transfer.Id] = transfer.Policy;
                    turns.Add(turn);
                }
            }

            var found = policies.Keys.Zip(await _transferLookups.RunAllAsync(policies.Keys, cancellationToken)).ToList();
            var members = new List<RoundMember>();
            foreach (var (id, (transfer, bad)) in found)
            {
                if (transfer is null)
                    results[id] = new IngestResult(IngestOutcome.NotExpected, $"There is no incoming transfer {id}.");
                else if (transfer.Status != TransferStatus.Staged)
                    results[id] = await EndedAsync(transfer, cancellationToken);
                else if (bad is null && MemberOf(transfer, policies[id]) is { } member)
                    members.Add(member);
            }

            foreach (var group in members.GroupBy(m => m.Transfer.StoreId))
            {
                if (await _stores.FindAsync(group.Key, cancellationToken) is { } store)
                    await IngestTogetherAsync(store, [.. group], results, cancellationToken);
                else
                    foreach (var (transfer, _, _) in group)
                        results[transfer.Id] = Result(transfer, IngestOutcome.TryLater, AwayMessage(transfer));
            }
        }
        finally
        {
            turns.ForEach(t => t.Dispose());
        }

        return [.. transfers.Select(t => results.GetValueOrDefault(t.Id))];
    }

    /// <summary>The member for a transfer that a round can ingest; null for others.</summary>
    private RoundMember? MemberOf(IncomingTransfer transfer, DeletionPolicy policy) =>
        transfer is { Store.Enabled: true, FlushBegun: false, Committing: false, TreeDigest: null }
        && transfer.TransferSize <= LocalStore.LargestInRound
        && FileName.TryParse(transfer.UploadName, out var uploadName, out _)
        && FileName.TryParse(transfer.FileName, out var destination, out _)
        && Guid.TryParse(transfer.StagingPath, out var staging)
            ? new RoundMember(
                transfer,
                policy,
                FileCommitOf(
                    transfer,
                    staging,
                    uploadName,
                    destination,
                    new ContentDescription(Checksum.Parse(transfer.TransferChecksum), transfer.TransferSize)
                )
            )
            : null;

    private async Task IngestTogetherAsync(
        LocalStore store,
        List<RoundMember> members,
        Dictionary<long, IngestResult> results,
        CancellationToken cancellationToken
    )
    {
        // A store that cannot be opened leaves them to RunAsync, which says why.
        using var round = await store.OpenRoundAsync(members.ConvertAll(m => m.Commit), cancellationToken);
        if (round is null)
            return;
        var locked = new List<RoundWork>();
        foreach (var (member, file) in members.Zip(round.Files))
        {
            if (file.Refusal is { } refusal)
                results[member.Transfer.Id] = Result(member.Transfer, IngestOutcome.TryLater, refusal.Message);
            else
                locked.Add(new RoundWork(member.Transfer, member.Policy, file));
        }

        var begun = await _beginnings.RunAllAsync(locked.Select(w => w.Transfer), cancellationToken);
        var work = new List<RoundWork>();
        foreach (var (one, now) in locked.Zip(begun))
        {
            if (now.Status != TransferStatus.Staged)
                results[now.Id] = await EndedAsync(now, cancellationToken);
            else if (now is { FlushBegun: false, Committing: false })
                work.Add(one);
        }

        var step = new RoundStep(store, round, results, [.. work.Select(w => w.Transfer.Id)]);
        try
        {
            work = await ReadAsync(step, work, cancellationToken);
            work = await ReserveAsync(step, work, cancellationToken);
            work = await CommitAsync(step, work, cancellationToken);
            await CatalogueAsync(step, work, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            await ForgetFlushesAsync(step.Forgettable);
            throw;
        }
    }

    /// <summary>Flushes and reads all; returns those whose data are as declared.</summary>
    private async Task<List<RoundWork>> ReadAsync(RoundStep step, List<RoundWork> work, CancellationToken cancellationToken)
    {
        await step.Store.DigestAsync(step.Round, [.. work.Select(w => w.File)], cancellationToken);
        // Failed flushes come first, and are recorded even when the run is being cancelled: the next run would find nothing wrong.
        var lost = work.FindAll(w => w.File.Digest?.Status == DigestStatus.FlushFailed);
        lost.ForEach(step.Keep);
        foreach (var one in lost)
            step.End(one, (await JudgeAsync(one.Transfer, one.File.Digest!, one.File.Commit.Expected, CancellationToken.None))!);

        cancellationToken.ThrowIfCancellationRequested();
        var good = new List<RoundWork>();
        var unread = new List<long>();
        foreach (var one in work.Except(lost))
        {
            if (one.File.Digest is not { } digest)
                unread.Add(one.Transfer.Id);
            else if (await JudgeAsync(one.Transfer, digest, one.File.Commit.Expected, cancellationToken) is { } unfit)
                step.End(one, unfit);
            else
                good.Add(one);
        }

        // What is no single small file is left to RunAsync, untouched.
        await ForgetFlushesAsync(unread);
        step.Forgettable.ExceptWith(unread);
        return good;
    }

    /// <summary>Reserves the names of all; returns those that got theirs.</summary>
    private async Task<List<RoundWork>> ReserveAsync(RoundStep step, List<RoundWork> work, CancellationToken cancellationToken)
    {
        var reserved = new List<RoundWork>();
        foreach (var (one, reservation) in work.Zip(await _reservations.RunAllAsync(work.Select(w => w.Transfer), cancellationToken)))
        {
            if (await EndReservationAsync(one.Transfer, reservation, cancellationToken) is { } refused)
                step.End(one, refused);
            else
                reserved.Add(one);
        }

        return reserved;
    }

    /// <summary>Commits all; returns those that are committed and not yet catalogued.</summary>
    private async Task<List<RoundWork>> CommitAsync(RoundStep step, List<RoundWork> work, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await step.Store.CommitAsync(step.Round, [.. work.Select(w => w.File)]);
        var committed = new List<RoundWork>();
        var others = new List<RoundWork>();
        foreach (var one in work)
        {
            switch (one.File.Committed)
            {
                case null:
                    others.Add(one);
                    break;
                case { Status: FileCommitStatus.Committed }:
                    committed.Add(one);
                    break;
                case var failed:
                    step.End(one, await WaitAsync(one.Transfer, failed));
                    break;
            }
        }

        await Parallel.ForEachAsync(
            others,
            new ParallelOptions { MaxDegreeOfParallelism = StepsAtOnce, CancellationToken = cancellationToken },
            async (one, stop) =>
            {
                var commit = one.File.Commit with { Verified = one.File.Digest };
                step.End(one, await CommitVerifiedAsync(one.Transfer, step.Store, commit, one.Policy, interrupted: false, stop));
            }
        );
        return committed;
    }

    /// <summary>Catalogues all in one transaction, and removes their staging directories.</summary>
    private async Task CatalogueAsync(RoundStep step, List<RoundWork> work, CancellationToken cancellationToken)
    {
        var recorded = new List<StagedRoundFile>();
        var records = await _records.RunAllAsync(
            work.Select(w => new Verified(
                w.Transfer,
                w.File.Commit.Destination.Value,
                w.Policy,
                w.File.Fingerprint,
                w.Transfer.TreeDigest
            )),
            cancellationToken
        );
        foreach (var (one, record) in work.Zip(records))
        {
            if (record != RecordOutcome.Recorded)
            {
                step.End(one, await EndRecordAsync(one.Transfer, record, cancellationToken));
                continue;
            }

            Logs.Ingested(_log, one.Transfer.FileName!, one.Transfer.TransferSize, one.Transfer.Id);
            recorded.Add(one.File);
            step.End(one, Stored(one.Transfer));
        }

        foreach (var (staging, reason) in await step.Store.RemoveStagedAsync(step.Round, recorded))
            Logs.StagingNotRemoved(_log, staging.ToString("D"), reason);
    }

    /// <summary>A transfer that a round can ingest.</summary>
    private sealed record RoundMember(IncomingTransfer Transfer, DeletionPolicy Policy, FileCommit Commit);

    /// <summary>A transfer of a round whose lock is held and whose flush is marked.</summary>
    private sealed record RoundWork(IncomingTransfer Transfer, DeletionPolicy Policy, StagedRoundFile File);

    /// <summary>What the steps of a round share.</summary>
    private sealed record RoundStep(LocalStore Store, StagedRound Round, Dictionary<long, IngestResult> Results, HashSet<long> Forgettable)
    {
        private readonly Lock _gate = new();

        /// <summary>
        /// Ends a transfer's part in the round. Its mark is settled: cleared with its end, or kept because a flush may have failed.
        /// </summary>
        public void End(RoundWork one, IngestResult result)
        {
            lock (_gate)
            {
                Results[one.Transfer.Id] = result;
                Forgettable.Remove(one.Transfer.Id);
            }
        }

        /// <summary>Keeps a transfer's mark, however the round ends.</summary>
        public void Keep(RoundWork one)
        {
            lock (_gate)
                Forgettable.Remove(one.Transfer.Id);
        }
    }
}
