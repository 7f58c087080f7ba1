using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Repair;

/// <summary>Decides whether this site can send a peer a replacement for its corrupt copy.</summary>
public sealed class ReplacementOffer(CopyChecks checks, PeerConnections peers, PeerCheck setUp)
{
    private static readonly TimeSpan PingWait = TimeSpan.FromSeconds(10);

    /// <summary>Reads this site's copy and pings the peer.</summary>
    /// <returns>The answer; if it is Ready, also the copy to send.</returns>
    public async Task<(ReplacementAnswer Answer, FileCopy? Copy)> ExamineAsync(
        string fileName,
        string librarian,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        if (caller.Username != librarian || await peers.FindAsync(librarian, cancellationToken) is not { } peer)
            return (new ReplacementAnswer.Stranger(), null);
        // Read the copy now, whatever earlier checks found: a corrupt copy must not replace a corrupt copy.
        if (await checks.CheckAsync(fileName, force: true, cancellationToken) is not { } found)
            return (new ReplacementAnswer.Refused(Reasons.FileUnknown, "Ask another librarian."), null);
        if (found.Checks.Count == 0)
            return (
                new ReplacementAnswer.Refused(
                    "We have no available copy of the file",
                    "Ask another librarian, or later: its store may be away."
                ),
                null
            );
        if (found.Checks.FirstOrDefault(c => c.Matches) is not { } good)
            return (new ReplacementAnswer.Refused(Reasons.AlsoCorrupt, "Ask another librarian."), null);
        if (!peer.Login.TransfersEnabled)
            return (new ReplacementAnswer.Refused(Reasons.CannotSend, $"Transfers to '{librarian}' are switched off here."), null);
        // The peer relies on this answer: a Python site deletes its copy before it asks for the replacement (docs/spec/wire.md#repair).
        if (setUp.WhyNotSend(librarian) is { } missing)
            return (new ReplacementAnswer.Refused(Reasons.CannotSend, missing), null);
        var ping = await peers.For(peer.Login, PingWait)!.Client.PingLoggedAsync(cancellationToken);
        return ping.IsSuccess
            ? (new ReplacementAnswer.Ready(null), good.Copy)
            : (new ReplacementAnswer.Refused(Reasons.CannotSend, $"'{librarian}' refuses this site's calls: {ping.Error}"), null);
    }
}
