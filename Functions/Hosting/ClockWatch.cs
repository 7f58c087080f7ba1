namespace Librarian.Functions.Hosting;

/// <summary>Notices that the machine's clock was set, by comparing it with elapsed time, and logs this once for all timers.</summary>
internal sealed class ClockWatch(TimeProvider time, ILogger logger)
{
    /// <summary>Smaller differences are ignored: clocks are corrected by less, and the clocks of several machines differ by less.</summary>
    public static readonly TimeSpan Tolerance = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private DateTimeOffset _seen = time.GetUtcNow();
    private long _at = time.GetTimestamp();

    // The clock jump that explains a record too far ahead has been logged.
    private bool _logged;

    /// <summary>Reads the clock, and logs a jump since the last reading.</summary>
    public DateTimeOffset Now()
    {
        lock (_lock)
        {
            var (now, at) = (time.GetUtcNow(), time.GetTimestamp());
            var expected = _seen + time.GetElapsedTime(_at, at);
            if ((now - expected).Duration() > Tolerance)
            {
                Logs.ClockJumped(logger, expected, now);
                _logged = true;
            }

            (_seen, _at) = (now, at);
            return now;
        }
    }

    /// <summary>
    /// Notes that a timer's record lies further ahead than its schedule allows. This is logged once, and not after a jump that this process
    /// has already logged.
    /// </summary>
    public void RecordAhead(DateTimeOffset recorded, DateTimeOffset now)
    {
        lock (_lock)
        {
            if (_logged)
                return;
            _logged = true;
            Logs.ClockBehindRecords(logger, recorded, now);
        }
    }
}
