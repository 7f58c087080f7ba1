namespace Librarian.Domain.Catalog;

/// <summary>The site that a catalog belongs to (table <c>site</c>, one row), so that no other site works on it by mistake.</summary>
public sealed class SiteRecord
{
    /// <summary>The site's configured name at its first start.</summary>
    public required string Name { get; init; }

    /// <summary>
    /// Id of this catalog, a UUID; null before the first start of a release that uses it. A catalog that was restored from a backup gets a
    /// new one, so that peers confirm again what they count on.
    /// </summary>
    public string? CatalogId { get; set; }
}
