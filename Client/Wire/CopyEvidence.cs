using System.Globalization;

namespace Librarian.Client.Wire;

/// <summary>
/// A site's evidence, beside the reason "exists" (409 of the stage calls), about copies that it has checked. Not in upstream's protocol: it
/// travels in headers, which the Python programs ignore. A 409 without these headers comes only from the catalog and says nothing about any
/// copy.
/// </summary>
public static class CopyEvidence
{
    /// <summary>Response header of upload/stage: UTC time when the site last read the whole copy.</summary>
    public const string UploadHeader = "X-Librarian-Copy-Verified";

    /// <summary>
    /// Response header of clone/stage and clone/batch_stage: the items whose copies the site has checked, as
    /// <c>source_transfer_id=store_id</c>, comma-separated.
    /// </summary>
    public const string CloneHeader = "X-Librarian-Copies-Verified";

    /// <summary>
    /// The maximum number of items in one header; proxies refuse long headers. The source asks about the other items one by one.
    /// </summary>
    public const int MostNamed = 256;

    /// <summary>Makes the value of <see cref="CloneHeader"/>.</summary>
    /// <param name="copies">Source transfer and store of each copy; items beyond <see cref="MostNamed"/> are left out.</param>
    /// <returns>One line of ASCII.</returns>
    public static string Join(IEnumerable<(long SourceTransferId, long StoreId)> copies) =>
        string.Join(
            ',',
            copies.Take(MostNamed).Select(static c => string.Create(CultureInfo.InvariantCulture, $"{c.SourceTransferId}={c.StoreId}"))
        );

    /// <summary>Reads a value that <see cref="Join"/> has made; a malformed item counts as absent.</summary>
    /// <param name="value">Value of the header, or null.</param>
    /// <returns>Stores by source transfer.</returns>
    public static IReadOnlyDictionary<long, long> Split(string? value)
    {
        var copies = new Dictionary<long, long>();
        foreach (var item in (value ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (
                item.Split('=') is [var transfer, var store]
                && long.TryParse(transfer, NumberStyles.None, CultureInfo.InvariantCulture, out var id)
                && long.TryParse(store, NumberStyles.None, CultureInfo.InvariantCulture, out var place)
            )
                copies[id] = place;
        }

        return copies;
    }
}
