namespace Librarian.Domain.Catalog;

/// <summary>A peer (table <c>librarians</c>).</summary>
public sealed class Peer
{
    public long Id { get; init; }

    /// <summary>Its configured name; also the name of its account here (docs/spec/wire.md#identity).</summary>
    public required string Name { get; init; }

    /// <summary>Scheme, host and optional path prefix; no port.</summary>
    public required string Url { get; set; }

    /// <summary>TCP port.</summary>
    public required int Port { get; set; }

    /// <summary>Fernet token over <c>user:password</c> of this site's account there (docs/spec/wire.md#identity).</summary>
    public required string Authenticator { get; set; }

    /// <summary>Whether this site sends to it.</summary>
    public required bool TransfersEnabled { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime LastSeen { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime LastHeard { get; set; }

    /// <summary>UTC time since which it has had no space for any file (413); null while it accepts files.</summary>
    public DateTime? FullSince { get; set; }

    /// <summary>Id of its catalog, from its last headers; null when it has never sent any (a Python site).</summary>
    public string? CatalogId { get; set; }

    /// <summary>The states of its catalog that this site still reports to it, as <see cref="Peers.SeenCatalogs"/> writes them.</summary>
    public string? CatalogSeen { get; set; }
}
