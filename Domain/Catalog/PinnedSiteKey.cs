namespace Librarian.Domain.Catalog;

/// <summary>The public key that verifies another site's signatures (table <c>site_keys</c>).</summary>
public sealed class PinnedSiteKey
{
    /// <summary>The other site.</summary>
    public required string Site { get; init; }

    /// <summary>Text of its public key.</summary>
    public required string PublicKey { get; set; }

    /// <summary>UTC; when it was accepted.</summary>
    public required DateTime PinnedTime { get; set; }

    /// <summary><c>fetched</c> over an authenticated connection, or <c>accepted</c> by an administrator.</summary>
    public required string How { get; set; }
}
