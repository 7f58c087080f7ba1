using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using ErrorCategory = Librarian.Domain.Catalog.ErrorCategory;
using ErrorSeverity = Librarian.Domain.Catalog.ErrorSeverity;
using TransferStatus = Librarian.Domain.Catalog.TransferStatus;

namespace Librarian.Orchestrations.Ingest;

/// <summary>Input of <see cref="TellSource"/>.</summary>
/// <param name="Source">The neighbour's name.</param>
/// <param name="Waits">Pauses of earlier generations, for the back-off.</param>
public sealed record TellSourceInput(string Source, int Waits = 0);

/// <summary>What a look at a source's callbacks came to.</summary>
public enum TellOutcome
{
    /// <summary>Nothing is left to be told.</summary>
    Done,

    /// <summary>Some have been told; there may be more.</summary>
    Again,

    /// <summary>It cannot be told now.</summary>
    Wait,
}

/// <summary>Answer of <see cref="TellBatch"/>; also the status that <see cref="TellSource"/> shows.</summary>
/// <param name="Outcome">What to do next.</param>
/// <param name="Message">For people.</param>
public sealed record TellStep(TellOutcome Outcome, string Message);

/// <summary>
/// Calls one source back about everything of its that has ended here (wire.md §9.1 step 6). Instance id <c>tell-{source}</c>: one such workflow
/// per source, so that a source that is away costs one call per pause, however many files wait for it. It goes on for as long as it takes.
/// </summary>
/// <remarks>
/// What is to be told stands in the catalog; the workflow only paces the calls. When all is told it stays for a moment, since the next file is
/// likely near, and ends. A wake-up that comes in the very turn in which it ends is lost with it, and the timer makes up for it.
/// </remarks>
[DurableTask(nameof(TellSource))]
public sealed class TellSource : TaskOrchestrator<TellSourceInput, string>
{
    /// <summary>Event that says that there is more to tell.</summary>
    public const string MoreEvent = "More";

    private const int StepsPerGeneration = 100;
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(30);

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, TellSourceInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var waits = input.Waits;
        for (var steps = 0; steps < StepsPerGeneration; steps++)
        {
            var step = await context.CallActivityAsync<TellStep>(nameof(TellBatch), input, PeerCalls.Options);
            context.SetCustomStatus(step);
            if (step.Outcome == TellOutcome.Wait)
            {
                await context.CreateTimer(PeerCalls.Pause(waits++, context.NewGuid()), CancellationToken.None);
                continue;
            }

            waits = 0;
            if (step.Outcome == TellOutcome.Again) continue;
            if (!await IsMoreAsync()) return step.Message;
            // A new generation, because an event is taken once per generation: the next wake-up must not count as a repetition of this one.
            break;
        }

        context.ContinueAsNew(input with { Waits = waits });
        return "";

        async Task<bool> IsMoreAsync()
        {
            try
            {
                await context.WaitForExternalEvent<string?>(MoreEvent, Linger);
                return true;
            }
            catch (TaskCanceledException)
            {
                return false;
            }
        }
    }
}

/// <summary>
/// Tells a source about a page of transfers: <c>clone/complete</c> for each that was stored, one <c>checkin/update</c> FAILED for those that were
/// not. The first call goes alone; unless the source answers it, no other is made. Transfers on whose callback the source itself has failed
/// before come last, so that they hold up nobody.
/// </summary>
/// <remarks>A crash after a call and before it is recorded repeats the call, which a source has to bear (wire.md §9.7).</remarks>
[DurableTask(nameof(TellBatch))]
public sealed class TellBatch(CatalogDatabase database, PeerConnections peers, SourceCallbacks callbacks, ErrorLog errors, TimeProvider time, ILogger<TellBatch> log) : TaskActivity<TellSourceInput, TellStep>
{
    private const int PageSize = 64;
    private const int AtOnce = 8;
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Patience = TimeSpan.FromDays(1);

    private enum Fate
    {
        /// <summary>The source knows, or never will.</summary>
        Told,

        /// <summary>It may already know; it is asked.</summary>
        Doubtful,

        /// <summary>It has failed on this one.</summary>
        Failed,

        /// <summary>It cannot be told anything now.</summary>
        Away,
    }

    /// <inheritdoc />
    public override async Task<TellStep> RunAsync(TaskActivityContext context, TellSourceInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        List<Notice> due;
        await using (var db = database.Open())
        {
            due = await db.IncomingTransfers.Where(t => t.Source == input.Source && t.CallbackTries != null).OrderBy(t => t.CallbackTries).ThenBy(t => t.Id)
                .Select(t => new Notice(t.Id, t.SourceTransferId!.Value, t.Status == TransferStatus.Completed, t.StoreId, t.EndTime)).Take(PageSize).ToListAsync(stop);
        }

        if (due.Count == 0)
        {
            await errors.SettleAsync(Matter(input.Source), stop);
            return new TellStep(TellOutcome.Done, $"'{input.Source}' knows of everything that has ended here.");
        }

        if (await peers.FindAsync(input.Source, stop) is not { } found || peers.For(found.Login, AnswerTimeout) is not { } peer)
        {
            await callbacks.DropAsync(input.Source, stop);
            return new TellStep(TellOutcome.Done, $"'{input.Source}' is not a registered librarian.");
        }

        var pass = new Pass(peer.Client, input.Source, log);
        try
        {
            await TellAsync(pass, due, stop);
        }
        finally
        {
            await RecordAsync(pass, CancellationToken.None);
        }

        if (pass.Refusal is { } refusal)
        {
            await errors.RaiseAsync(ErrorSeverity.Warning, ErrorCategory.Transfer, $"callback refused by {input.Source}",
                $"'{input.Source}' does not want to hear that transfers of its have ended; what is stored here is safe, and it finds it when it reviews its transfers: {refusal}", stop);
        }

        return await StepAsync(input.Source, pass, due, stop);
    }

    private static async Task TellAsync(Pass pass, List<Notice> due, CancellationToken stop)
    {
        var failures = due.FindAll(n => !n.Stored);
        if (failures.Count > 0) await pass.TellFailedAsync(failures, stop);
        var stored = due.FindAll(n => n.Stored);
        for (var i = 0; i < stored.Count && !pass.IsHopeless;)
        {
            var some = stored.GetRange(i, Math.Min(i == 0 && failures.Count == 0 ? 1 : AtOnce, stored.Count - i));
            i += some.Count;
            await pass.TellStoredAsync(some, stop);
        }

        await pass.ResolveDoubtsAsync(stop);
    }

    private async Task RecordAsync(Pass pass, CancellationToken stop)
    {
        await using var db = database.Open();
        if (pass.Told.Count > 0)
            await db.IncomingTransfers.Where(t => pass.Told.Contains(t.Id)).ExecuteUpdateAsync(s => s.SetProperty(t => t.CallbackTries, (int?)null), stop);
        if (pass.Failed.Count > 0)
            await db.IncomingTransfers.Where(t => pass.Failed.Contains(t.Id)).ExecuteUpdateAsync(s => s.SetProperty(t => t.CallbackTries, t => t.CallbackTries + 1), stop);
    }

    private async Task<TellStep> StepAsync(string source, Pass pass, List<Notice> due, CancellationToken stop)
    {
        if (pass.Trouble is null || (pass.Told.Count > 0 && !pass.IsHopeless)) return new TellStep(TellOutcome.Again, $"'{source}' was told of {pass.Told.Count} transfers.");
        var why = pass.Trouble.ToString()!;
        Logs.CallbacksWait(log, source, why);
        if (PeerCalls.IsForPerson(pass.Trouble) || pass.Trouble is Refused { Status: 400 })
        {
            await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.Configuration, Matter(source),
                $"'{source}' does not hear us: {why} It is told again until it does; the files are safe here. Our account there needs level CALLBACK and this site's name, and it must know this site as a librarian.", stop);
        }
        else if (due.Min(n => n.Ended) < time.GetUtcNow().UtcDateTime - Patience)
        {
            await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.LibrarianNetworkAvailability, Matter(source),
                $"'{source}' could not be told for more than a day that files of its have arrived: {why} They are safe here, and it is told when it answers.", stop);
        }

        return new TellStep(TellOutcome.Wait, why);
    }

    private static string Matter(string source) => $"callback {source}";

    /// <summary>One transfer that its source has to be told of.</summary>
    private sealed record Notice(long Id, long Theirs, bool Stored, long? StoreId, DateTime? Ended);

    /// <summary>What has come of the calls of one run.</summary>
    private sealed class Pass(LibrarianClient client, string source, ILogger log)
    {
        private readonly List<Notice> _doubtful = [];
        private bool _allFailed;

        public List<long> Told { get; } = [];

        public List<long> Failed { get; } = [];

        /// <summary>Why the source cannot be told of some now.</summary>
        public ReplyError? Trouble { get; private set; }

        /// <summary>The last definite refusal.</summary>
        public ReplyError? Refusal { get; private set; }

        /// <summary>Whether further calls would only fail like the last ones.</summary>
        public bool IsHopeless { get; private set; }

        public async Task TellFailedAsync(List<Notice> notices, CancellationToken stop)
        {
            var reply = await client.UpdateCheckinAsync(new CheckinUpdateRequest([.. notices.Select(n => n.Theirs)], [], Client.Wire.TransferStatus.Failed), stop);
            foreach (var notice in notices) Take(notice, reply.Error);
        }

        /// <summary>Calls at once; when all of them fail, whether on our account or on theirs, the rest is left for later.</summary>
        public async Task TellStoredAsync(List<Notice> notices, CancellationToken stop)
        {
            var replies = await Task.WhenAll(notices.Select(n => client.CompleteCloneAsync(new CloneCompleteRequest(n.Theirs, n.Id, n.StoreId!.Value), stop)));
            var fates = notices.Zip(replies, (notice, reply) => Take(notice, reply.Error)).ToList();
            var allFailed = fates.TrueForAll(f => f == Fate.Failed);
            IsHopeless |= allFailed && _allFailed;
            _allFailed = allFailed;
        }

        /// <summary>A source says 406 to a callback that it has had before, and to one for a transfer that it has given up: its own status tells.</summary>
        public async Task ResolveDoubtsAsync(CancellationToken stop)
        {
            if (_doubtful.Count == 0) return;
            var asked = await client.GetCheckinStatusAsync(new CheckinStatusRequest([.. _doubtful.Select(n => n.Theirs)], []), stop);
            foreach (var notice in _doubtful)
            {
                if (!asked.IsSuccess)
                {
                    Trouble = asked.Error;
                    continue;
                }

                switch (asked.Value.SourceTransferStatus.GetValueOrDefault(notice.Theirs))
                {
                    case Client.Wire.TransferStatus.Initiated or Client.Wire.TransferStatus.Ongoing or Client.Wire.TransferStatus.Staged:
                        Failed.Add(notice.Id);
                        Trouble ??= new Refused(406, Reasons.NotOngoingOrStaged, "", Body: null);
                        break;
                    default:
                        // Completed: it knows. Given up or unknown: it offers the file again and learns that we have it.
                        Told.Add(notice.Id);
                        break;
                }
            }
        }

        private Fate Take(Notice notice, ReplyError? error)
        {
            var fate = FateOf(error);
            switch (fate)
            {
                case Fate.Told:
                    Told.Add(notice.Id);
                    if (error is null) break;
                    Refusal = error;
                    Logs.CallbackRefused(log, notice.Id, source, error.ToString()!);
                    break;
                case Fate.Doubtful:
                    _doubtful.Add(notice);
                    break;
                case Fate.Failed:
                    Failed.Add(notice.Id);
                    Trouble = error;
                    break;
                default:
                    Trouble = error;
                    IsHopeless = true;
                    break;
            }

            return fate;
        }

        private static Fate FateOf(ReplyError? error) => error switch
        {
            null => Fate.Told,
            Refused { Status: 406 } => Fate.Doubtful,
            // An error of its own may be about this one transfer; its absence, or a proxy's word for it, is not.
            Refused { Status: 500 } or Garbled => Fate.Failed,
            // It has lost our registration, not the transfer (wire.md §6.6.4).
            Refused { Status: 400 } refused when refused.Reason.Contains("librarian", StringComparison.OrdinalIgnoreCase) => Fate.Away,
            _ when PeerCalls.IsForLater(error) || PeerCalls.IsForPerson(error) => Fate.Away,
            _ => Fate.Told,
        };
    }
}
