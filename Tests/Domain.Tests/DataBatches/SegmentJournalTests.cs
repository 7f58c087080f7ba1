using CsCheck;
using Librarian.Domain.DataBatches;
using Librarian.Domain.Posix;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.DataBatches;

/// <summary>docs/spec/data-batches.md#journal: what was appended is found again, whatever a power cut leaves behind it.</summary>
[Quick]
public sealed class SegmentJournalTests : IDisposable
{
    private const int Segments = 20;
    private readonly TemporaryDirectory _place = new();

    public void Dispose() => _place.Dispose();

    [Fact]
    public void Journal_ReadAgain_HasTheLatestOfEachSegment() =>
        Records.Sample(
            records =>
            {
                var path = NewFile();
                using (var journal = Open(path))
                {
                    foreach (var (segment, state) in records)
                        journal.Append(segment, state);
                }

                using var again = Open(path);
                AssertState(records, again);
            },
            iter: 100,
            threads: 1
        );

    [Fact]
    public void Journal_CutAnywhere_HasEveryWholeRecordAndGoesOn() =>
        Gen.Select(Records.Where(r => r.Length > 0), Gen.Int[0, SegmentJournal.RecordLength - 1], Gen.Byte.Array[0, 40])
            .Sample(
                (records, cut, garbage) =>
                {
                    var path = NewFile();
                    using (var journal = Open(path))
                    {
                        foreach (var (segment, state) in records)
                            journal.Append(segment, state);
                    }

                    var bytes = File.ReadAllBytes(path);
                    File.WriteAllBytes(path, [.. bytes[..^(SegmentJournal.RecordLength - cut)], .. garbage]);
                    using (var torn = Open(path))
                    {
                        AssertState(records[..^1], torn);
                        torn.Append(records[^1].Segment, records[^1].State);
                        AssertState(records, torn);
                    }

                    using var again = Open(path);
                    AssertState(records, again);
                },
                iter: 200,
                threads: 1
            );

    [Fact]
    public void Journal_OfTwoProcesses_HasTheRecordsOfBoth()
    {
        var path = NewFile();
        using var one = Open(path);
        using var other = Open(path);
        one.Append(3, new SegmentState(0, 100, IsComplete: false));
        other.Append(4, new SegmentState(0, 50, IsComplete: true));
        Assert.Equal(100, other.Of(3).Offset);
        Assert.True(one.Of(4).IsComplete);
    }

    private static Gen<(int Segment, SegmentState State)[]> Records =>
        Gen.Select(Gen.Int[0, Segments - 1], Gen.Int[0, 2], Gen.Long[0, 1 << 24], Gen.Bool, (segment, generation, offset, complete) =>
            (segment, new SegmentState(generation, offset, complete))
        ).Array[0, 60];

    private static void AssertState(IReadOnlyList<(int Segment, SegmentState State)> records, SegmentJournal journal)
    {
        for (var segment = 0; segment < Segments; segment++)
        {
            var own = records.Where(r => r.Segment == segment).Select(r => r.State).ToList();
            var latest = own.OrderBy(s => s.Generation).ThenBy(s => s.IsComplete).ThenBy(s => s.Offset).LastOrDefault();
            if (latest.IsComplete)
            {
                Assert.True(journal.Of(segment).IsComplete);
                continue;
            }

            Assert.Equal(latest, journal.Of(segment));
        }
    }

    private string NewFile() => _place[Guid.NewGuid().ToString("N")];

    private SegmentJournal Open(string path)
    {
        using var directory = PosixDirectory.Open(Path.GetDirectoryName(path)!);
        return new SegmentJournal(directory.OpenFileToAppend(new EntryName(Path.GetFileName(path))), Segments);
    }
}
