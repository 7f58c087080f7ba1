using Librarian.Domain.Stores;

namespace Librarian.Tests.StoreVictim;

/// <summary>Says that it reached the chosen point and stays there until it is killed.</summary>
internal sealed class StopAt(string chosen) : IStoreFaults
{
    public void Reach(string point)
    {
        if (!string.Equals(point, chosen, StringComparison.Ordinal))
            return;
        Console.WriteLine($"reached {point}");
        Console.Out.Flush();
        Thread.Sleep(Timeout.Infinite);
    }
}
