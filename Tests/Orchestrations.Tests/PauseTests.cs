using Librarian.Domain.Transfers;

namespace Librarian.Tests.Orchestrations;

public class PauseTests
{
    [Fact]
    public void Pause_OfRepeatedFailures_DoublesUpToItsLimitAndNeverOverflows()
    {
        var pauses = Enumerable.Range(0, 200).Select(OutgoingTransfers.Pause).ToList();
        Assert.Equal(TimeSpan.FromSeconds(15), pauses[0]);
        Assert.Equal(TimeSpan.FromSeconds(30), pauses[1]);
        Assert.Equal(TimeSpan.FromHours(6), pauses[^1]);
        Assert.Equal(pauses.Order(), pauses);
    }
}
