using CsCheck;
using Librarian.Domain.Peers;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Peers;

[Quick]
public sealed class SeenStampsTests
{
    private static readonly Gen<CatalogVersion> s_stamp = Gen.Select(Gen.Int[0, 1], Gen.Int[0, 6], Gen.Long[0, 999_999_999_999_999_999])
        .Select((catalog, incarnation, counter) => new CatalogVersion(Id(catalog), Id(100 + incarnation), counter));

    [Fact]
    public void With_AnyStamps_TheLastCounterOfEachOfTheLatestIncarnationsIsKept() =>
        s_stamp
            .Array[0, 30]
            .Sample(heard =>
            {
                var seen = SeenCatalogs.None;
                foreach (var stamp in heard)
                {
                    var next = seen.With(stamp, null);
                    Assert.Contains(next, s =>
                        s.Incarnation == stamp.Incarnation && s.Catalog == stamp.Catalog && s.Counter >= stamp.Counter
                    );
                    Assert.All(next, s => Assert.Equal(stamp.Catalog, s.Catalog));
                    Assert.Equal(next.Count, next.Select(s => s.Incarnation).Distinct().Count());
                    Assert.InRange(next.Count, 1, SeenCatalogs.Most);
                    // Nothing goes for another reason than the bound.
                    if (seen.Count > 0 && seen[0].Catalog == stamp.Catalog)
                        Assert.Equal(
                            Math.Min(SeenCatalogs.Most, seen.Select(s => s.Incarnation).Append(stamp.Incarnation).Distinct().Count()),
                            next.Count
                        );
                    Assert.Same(next, next.With(stamp, null));
                    Assert.Equal(next, SeenCatalogs.TryParse(next.ToString()));
                    seen = next;
                }
            });

    [Fact]
    public void With_AnIncarnationThatWasTold_TakesItOffUnlessItCountedOnMeanwhile()
    {
        CatalogVersion first = new(Id(0), Id(1), 5),
            second = new(Id(0), Id(2), 1);
        var both = SeenCatalogs.None.With(first, null).With(second, null);
        Assert.Equal([first, second], both);
        Assert.Equal([second], both.With(second, both));
        Assert.Equal([first with { Counter = 6 }, second], both.With(first with { Counter = 6 }, null).With(second, both));
    }

    [Fact]
    public void TryParse_AnyText_ReadsOnlyWhatItWrites() => Gen.String.Sample(text => Assert.Null(SeenCatalogs.TryParse(text)));

    private static string Id(int number) => $"00000000-0000-4000-8000-{number:d12}";
}
