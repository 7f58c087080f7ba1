namespace Librarian.Orchestrations.Repair;

/// <summary>Answer to a peer that asks for a replacement.</summary>
public abstract record ReplacementAnswer
{
    private ReplacementAnswer() { }

    /// <summary>The replacement can be sent, or is being sent.</summary>
    /// <param name="RemoteTransferId">
    /// Id of the peer's incoming transfer; null if the peer only asked whether a replacement can be sent.
    /// </param>
    public sealed record Ready(long? RemoteTransferId) : ReplacementAnswer;

    /// <summary>The account does not belong to that librarian, or no such librarian is registered.</summary>
    public sealed record Stranger : ReplacementAnswer;

    /// <summary>No replacement can be sent.</summary>
    /// <param name="Reason">The reason in the protocol's words.</param>
    /// <param name="Detail">The details, for people.</param>
    public sealed record Refused(string Reason, string Detail) : ReplacementAnswer;
}
