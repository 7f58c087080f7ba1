using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Errors;
using Librarian.Domain.Peers;
using Librarian.Orchestrations.Peers;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Incoming;

/// <summary>
/// Notifies a source of a page of transfers: one <c>clone/complete</c> for each stored file, one <c>checkin/update</c> FAILED for all
/// others. The first call is made alone, and the others only if the source answers it. Transfers on which the source itself has failed
/// before come last, so that they delay no others.
/// </summary>
/// <remarks>
/// A crash between a call and its record repeats the call; every source has to accept that (docs/spec/wire.md#repeated-callbacks).
/// </remarks>
[DurableTask(NotifyPage.TaskName)]
public sealed class NotifyPage(
    PeerConnections peers,
    PeerPresence presence,
    SourceCallbacks callbacks,
    SiteCatalog catalog,
    ErrorLog errors,
    TimeProvider time,
    ILogger<NotifyPage> log
) : TaskActivity<NotifySourceInput, NotifyStep>
{
    /// <summary>The name in histories, which workflows of earlier builds have too.</summary>
    public const string TaskName = "TellBatch";

    private const int PageSize = 64;
    private const int AtOnce = 8;
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan ReportErrorAfter = TimeSpan.FromDays(1);

    /// <inheritdoc />
    public override async Task<NotifyStep> RunAsync(TaskActivityContext context, NotifySourceInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        presence.RemoveWaiting(context.InstanceId);
        var due = await callbacks.DueAsync(input.Source, PageSize, stop);
        if (due.Count == 0)
        {
            await errors.SettleAsync(ErrorKey(input.Source), stop);
            return new NotifyStep(NotifyOutcome.Done, $"'{input.Source}' knows of everything that has ended here.");
        }

        if (await peers.FindAsync(input.Source, stop) is not { } found || peers.For(found.Login, AnswerTimeout) is not { } peer)
        {
            await callbacks.DropAsync(input.Source, stop);
            return new NotifyStep(NotifyOutcome.Done, $"'{input.Source}' is not a registered peer.");
        }

        // Once for the page: this records that the source relies on these callbacks, so a later state without the record shows a restored
        // backup.
        await catalog.AdvanceAsync(stop);
        var pass = new Pass(peer, log);
        try
        {
            await NotifyAsync(pass, due, stop);
        }
        finally
        {
            await callbacks.RecordAsync(pass.Notified, pass.Failed, CancellationToken.None);
        }

        if (pass.Refusal is { } refusal)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Warning,
                ErrorCategory.Transfer,
                $"callback refused by {input.Source}",
                $"'{input.Source}' refused notifications that its transfers have ended. The stored files are safe, "
                    + $"and '{input.Source}' finds them when it reviews its transfers: {refusal}",
                stop
            );
        }

        var step = await StepAsync(input.Source, pass, due, stop);
        if (step.Outcome == NotifyOutcome.Wait)
            presence.AddWaiting(input.Source, context.InstanceId);
        return step;
    }

    private static async Task NotifyAsync(Pass pass, List<DueCallback> due, CancellationToken stop)
    {
        var failures = due.FindAll(n => !n.Stored);
        if (failures.Count > 0)
            await pass.NotifyFailedAsync(failures, stop);
        var stored = due.FindAll(n => n.Stored);
        for (var i = 0; i < stored.Count && !pass.IsAway; )
        {
            var some = stored.GetRange(i, Math.Min(i == 0 && failures.Count == 0 ? 1 : AtOnce, stored.Count - i));
            i += some.Count;
            await pass.NotifyStoredAsync(some, stop);
        }

        await pass.ResolveAmbiguousAsync(stop);
    }

    private async Task<NotifyStep> StepAsync(string source, Pass pass, List<DueCallback> due, CancellationToken stop)
    {
        if (pass.LastError is null || (pass.Notified.Count > 0 && !pass.IsAway))
            return new NotifyStep(NotifyOutcome.Continue, $"'{source}' was notified of {pass.Notified.Count} transfers.");
        var why = pass.LastError.ToString()!;
        Logs.CallbacksWait(log, source, why);
        if (PeerCalls.IsForPerson(pass.LastError) || pass.LastError is Refused { Status: 400 })
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.Configuration,
                ErrorKey(source),
                $"'{source}' accepts no notifications: {why} This site repeats them until it does; the files are safe here. "
                    + "This site's account there needs level CALLBACK and this site's name, and this site must be registered there.",
                stop
            );
        }
        else if (due.Min(n => n.Ended) < time.GetUtcNow().UtcDateTime - ReportErrorAfter)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.LibrarianNetworkAvailability,
                ErrorKey(source),
                $"For more than a day, '{source}' could not be notified that its transfers have ended: {why} "
                    + $"What is stored here is safe, and this site notifies '{source}' when it answers.",
                stop
            );
        }

        return new NotifyStep(NotifyOutcome.Wait, why);
    }

    private static string ErrorKey(string source) => $"callback {source}";

    /// <summary>The calls of one run and their results.</summary>
    private sealed class Pass(PeerClient peer, ILogger log)
    {
        private readonly LibrarianClient _client = peer.Client;
        private readonly string _source = peer.Login.Name;

        /// <summary>
        /// A restored catalog hands out its transfer ids again. A site of this project therefore gets both ids, file and checksum, and
        /// accepts the callback only if they match; a Python site accepts only the fields of its protocol.
        /// </summary>
        private readonly bool _sendsCatalogHeaders = peer.Login.SendsCatalogHeaders;

        private readonly List<DueCallback> _ambiguous = [];
        private bool _allFailed;

        public List<long> Notified { get; } = [];

        public List<long> Failed { get; } = [];

        /// <summary>The error for which some callbacks have to wait.</summary>
        public ReplyError? LastError { get; private set; }

        /// <summary>The last definite refusal.</summary>
        public ReplyError? Refusal { get; private set; }

        /// <summary>Whether further calls would only fail in the same way.</summary>
        public bool IsAway { get; private set; }

        public async Task NotifyFailedAsync(List<DueCallback> callbacks, CancellationToken stop)
        {
            var reply = await _client.UpdateCheckinAsync(
                new CheckinUpdateRequest([.. callbacks.Select(n => n.Theirs)], [], TransferStatus.Failed, Counterparts(callbacks)),
                stop
            );
            foreach (var notice in callbacks)
                RecordAnswer(notice, reply.Error);
        }

        /// <summary>Makes several calls at the same time. If all calls of two groups in a row fail, the rest is left for later.</summary>
        public async Task NotifyStoredAsync(List<DueCallback> callbacks, CancellationToken stop)
        {
            var replies = await Task.WhenAll(
                callbacks.Select(n =>
                    _client.CompleteCloneAsync(
                        _sendsCatalogHeaders
                            ? new CloneCompleteRequest(n.Theirs, n.Id, n.StoreId!.Value, n.Name, n.Checksum, n.Size)
                            : new CloneCompleteRequest(n.Theirs, n.Id, n.StoreId!.Value),
                        stop
                    )
                )
            );
            var outcomes = callbacks.Zip(replies, (notice, reply) => RecordAnswer(notice, reply.Error)).ToList();
            var allFailed = outcomes.TrueForAll(f => f == NotificationOutcome.Failed);
            IsAway |= allFailed && _allFailed;
            _allFailed = allFailed;
        }

        /// <summary>
        /// Resolves ambiguous answers. A source answers 406 to a repeated callback, and also to one for a transfer that it has abandoned;
        /// the status of its transfer shows which.
        /// </summary>
        public async Task ResolveAmbiguousAsync(CancellationToken stop)
        {
            if (_ambiguous.Count == 0)
                return;
            var asked = await _client.GetCheckinStatusAsync(
                new CheckinStatusRequest([.. _ambiguous.Select(n => n.Theirs)], [], Counterparts(_ambiguous)),
                stop
            );
            foreach (var notice in _ambiguous)
            {
                if (!asked.IsSuccess)
                {
                    LastError = asked.Error;
                    continue;
                }

                switch (asked.Value.SourceTransferStatus.GetValueOrDefault(notice.Theirs))
                {
                    case TransferStatus.Initiated or TransferStatus.Ongoing or TransferStatus.Staged:
                        Failed.Add(notice.Id);
                        LastError ??= new Refused(406, Reasons.NotOngoingOrStaged, "", Body: null);
                        break;
                    default:
                        // Completed: the source knows. Abandoned, unknown, or an id that now means another transfer: the source does not
                        // count this site's copy, so it offers the file again and learns that this site has it.
                        Notified.Add(notice.Id);
                        break;
                }
            }
        }

        private List<long>? Counterparts(List<DueCallback> callbacks) => _sendsCatalogHeaders ? callbacks.ConvertAll(n => n.Id) : null;

        private NotificationOutcome RecordAnswer(DueCallback notice, ReplyError? error)
        {
            var outcome = PeerCalls.OutcomeOf(error);
            switch (outcome)
            {
                case NotificationOutcome.Notified:
                    Notified.Add(notice.Id);
                    if (error is null)
                        break;
                    Refusal = error;
                    Logs.CallbackRefused(log, notice.Id, _source, error.ToString()!);
                    break;
                case NotificationOutcome.Ambiguous:
                    _ambiguous.Add(notice);
                    break;
                case NotificationOutcome.Failed:
                    Failed.Add(notice.Id);
                    LastError = error;
                    break;
                default:
                    LastError = error;
                    IsAway = true;
                    break;
            }

            return outcome;
        }
    }
}
