using System.Collections;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Librarian.Domain.Peers;

/// <summary>
/// The states of a peer's catalog that this site has seen and still reports to the peer: the last counter of each incarnation, in the order
/// of arrival.
/// </summary>
/// <remarks>
/// One state is not enough: a restored peer that calls first sends its new incarnation, and if that replaced the lost one, the peer would
/// never learn of the lost one. An earlier incarnation is dropped when a later one has received it and has answered. At most
/// <see cref="Most"/> are kept; the oldest goes first, because every answer meanwhile has reported it.
/// </remarks>
public sealed partial class SeenCatalogs : IReadOnlyList<CatalogVersion>
{
    /// <summary>Bounds the header's length.</summary>
    public const int Most = 4;

    private const int MaxLength = 400;

    private const string Uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";

    private readonly List<CatalogVersion> _stamps;

    private SeenCatalogs(List<CatalogVersion> stamps) => _stamps = stamps;

    public static SeenCatalogs None { get; } = new([]);

    /// <inheritdoc />
    public int Count => _stamps.Count;

    /// <inheritdoc />
    public CatalogVersion this[int index] => _stamps[index];

    /// <summary>Reads a header or a column; null for any text that <see cref="ToString"/> did not write.</summary>
    public static SeenCatalogs? TryParse(string? text)
    {
        if (text is null || text.Length > MaxLength || Form().Match(text) is not { Success: true } match)
            return null;
        var (incarnations, counters) = (match.Groups["incarnation"].Captures, match.Groups["counter"].Captures);
        var stamps = new List<CatalogVersion>(incarnations.Count);
        for (var i = 0; i < incarnations.Count; i++)
        {
            var counter = long.Parse(counters[i].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture);
            stamps.Add(new CatalogVersion(match.Groups["id"].Value, incarnations[i].Value, counter));
        }

        return new SeenCatalogs(stamps);
    }

    /// <summary>Adds a state. A state of another catalog replaces all.</summary>
    /// <param name="heard">The peer's state.</param>
    /// <param name="reported">What the peer had received when it sent <paramref name="heard"/>; null when nothing.</param>
    public SeenCatalogs With(CatalogVersion heard, SeenCatalogs? reported)
    {
        ArgumentNullException.ThrowIfNull(heard);
        var kept = _stamps
            .Where(s => s.Catalog == heard.Catalog && (s.Incarnation == heard.Incarnation || reported is null || !reported.Contains(s)))
            .ToList();
        var same = kept.FindIndex(s => s.Incarnation == heard.Incarnation);
        // Calls overtake each other: a lower counter of the same incarnation carries no information.
        if (same < 0)
            kept.Add(heard);
        else if (kept[same].Counter < heard.Counter)
            kept[same] = heard;
        return kept.SequenceEqual(_stamps) ? this : new SeenCatalogs(kept.TakeLast(Most).ToList());
    }

    /// <inheritdoc />
    public IEnumerator<CatalogVersion> GetEnumerator() => _stamps.GetEnumerator();

    /// <inheritdoc />
    public override string ToString() => Count == 0 ? "" : $"id={_stamps[0].Catalog}{string.Concat(_stamps.Select(TextOf))}";

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private static string TextOf(CatalogVersion stamp) =>
        string.Create(CultureInfo.InvariantCulture, $", incarnation={stamp.Incarnation}, counter={stamp.Counter}");

    [GeneratedRegex(
        @"\Aid=(?<id>" + Uuid + @")(, incarnation=(?<incarnation>" + Uuid + @"), counter=(?<counter>[0-9]{1,18})){1,4}\z",
        RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant,
        1000
    )]
    private static partial Regex Form();
}
