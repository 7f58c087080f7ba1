using System.Globalization;

namespace Librarian.Domain.Peers;

/// <summary>A state of a site's catalog, which sites send each other in headers (docs/adr/0005-restored-catalogs.md).</summary>
/// <param name="Catalog">The catalog's id; it changes when the site detects that the catalog was restored from a backup.</param>
/// <param name="Incarnation">One start of a process on this catalog.</param>
/// <param name="Counter">Grows within an incarnation.</param>
public sealed record CatalogVersion(string Catalog, string Incarnation, long Counter)
{
    /// <summary>Header with the sender's own state.</summary>
    public const string Header = "Librarian-Catalog";

    /// <summary>Header with the states that the sender has seen from the receiver (<see cref="SeenCatalogs"/>).</summary>
    public const string SeenHeader = "Librarian-Catalog-Seen";

    /// <summary>A new id for a catalog or an incarnation.</summary>
    public static string NewId() => Guid.NewGuid().ToString("D");

    /// <summary>Reads a header; null for any text that <see cref="ToString"/> did not write.</summary>
    public static CatalogVersion? TryParse(string? text) => SeenCatalogs.TryParse(text) is [var only] ? only : null;

    /// <inheritdoc />
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"id={Catalog}, incarnation={Incarnation}, counter={Counter}");
}
