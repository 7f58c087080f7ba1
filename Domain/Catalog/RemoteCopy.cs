namespace Librarian.Domain.Catalog;

/// <summary>Knowledge that a peer holds a verified copy (table <c>remote_instances</c>).</summary>
public sealed class RemoteCopy
{
    public long Id { get; init; }

    public required string FileName { get; init; }

    /// <summary>The peer's own store id.</summary>
    public required long StoreId { get; init; }

    /// <summary>The peer's row.</summary>
    public required long PeerId { get; init; }

    /// <summary>UTC time at which this site learnt of the copy.</summary>
    public required DateTime CopyTime { get; init; }

    /// <summary>This site's name at that time.</summary>
    public required string Sender { get; init; }

    /// <summary>
    /// UTC time since which the copy is in doubt, because the peer's catalog has gone back in time; null while it counts.
    /// </summary>
    public DateTime? UnconfirmedSince { get; set; }

    public Peer? Peer { get; init; }
}
