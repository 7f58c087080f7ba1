using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

/// <summary>
/// The database's clock, continued between its answers by this machine's monotonic clock; the machine's wall clock does not matter. It may
/// be ahead by the duration of the query, but never behind: a timer that is set by it is never early.
/// </summary>
internal sealed class DatabaseClock(TimeProvider time, DurableStore store)
{
    private readonly Lock _gate = new();
    private long _database;
    private long _stamp;

    /// <param name="now">The database's answer, epoch milliseconds.</param>
    /// <param name="asked">Timestamp of <see cref="TimeProvider"/> from before the query: the answer can only be later.</param>
    /// <returns>True if that clock was set back since the last call, or if this is the first call.</returns>
    public bool Observe(long now, long asked)
    {
        lock (_gate)
        {
            var wentBack =
                now
                < _database + (long)time.GetElapsedTime(_stamp, asked).TotalMilliseconds - (long)ClockQueries.Tolerance.TotalMilliseconds;
            var first = _database == 0;
            _database = now;
            _stamp = asked;
            return wentBack || first;
        }
    }

    /// <summary>Epoch milliseconds.</summary>
    public long Now
    {
        get
        {
            if (store.ExactNow is { } exact)
                return exact;
            lock (_gate)
                return _database + (long)time.GetElapsedTime(_stamp).TotalMilliseconds;
        }
    }
}
