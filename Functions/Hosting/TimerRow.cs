namespace Librarian.Functions.Hosting;

/// <summary>The row of one timer function in the store, as this process reads and writes it, and the lease in it.</summary>
internal sealed class TimerRow(
    string function,
    ITimerStatusStore store,
    ClockWatch clock,
    TimeProvider time,
    TimerLoopOptions options,
    string owner,
    ILogger logger
)
{
    // Another process's lease as first seen here, and the time of that in elapsed time.
    private (long Version, long Since)? _foreignLease;

    public Task<TimerStatus?> ReadAsync(CancellationToken stopping) => store.GetAsync(function, stopping);

    /// <summary>Writes what should follow the version that was read; null if another process wrote first.</summary>
    public async Task<TimerStatus?> WriteAsync(TimerStatus status, CancellationToken stopping) =>
        await store.TrySaveAsync(function, status, status.Version, stopping) ? status with { Version = status.Version + 1 } : null;

    /// <summary>Writes the lease of this process into the record; null if another process wrote first.</summary>
    public Task<TimerStatus?> TakeLeaseAsync(TimerStatus status, DateTimeOffset now, CancellationToken stopping) =>
        WriteAsync(status with { LeaseOwner = owner, LeaseExpires = now + options.LeaseDuration }, stopping);

    /// <summary>How long to leave the lease of another process alone; null if there is none, or no reason to wait for it.</summary>
    public TimeSpan? HeldElsewhereFor(TimerStatus status, DateTimeOffset now)
    {
        // A lease of this process while nothing runs here comes from a write whose answer was lost: continue with it at once.
        if (
            status is { LeaseOwner: not null, LeaseExpires: not null }
            && status.LeaseOwner != owner
            && !store.IsOfThisProcessAlone
            && !ProcessIdentity.HasEnded(status.LeaseOwner!)
            && Shorter(status.LeaseExpires!.Value - now, UnrenewedFor(status.Version)) is var wait
            && wait > TimeSpan.Zero
        )
            return wait;
        _foreignLease = null;
        return null;
    }

    /// <summary>Renews the lease until the run ends. Returns the record as last written, or null if the lease was lost.</summary>
    public async Task<TimerStatus?> KeepLeaseAsync(TimerStatus held, Task invocation, CancellationTokenSource run)
    {
        using var ended = new CancellationTokenSource();
        // Elapsed time, because the clock may be set meanwhile.
        var written = time.GetTimestamp();
        while (true)
        {
            var renewal = Task.Delay(options.LeaseDuration / 3, time, ended.Token);
            if (await Task.WhenAny(invocation, renewal) == invocation)
            {
                await ended.CancelAsync();
                return held;
            }

            var renewed = held with { LeaseExpires = clock.Now() + options.LeaseDuration };
            var asked = time.GetTimestamp();
            var lost = false;
            try
            {
                lost = !await store.TrySaveAsync(function, renewed, held.Version, CancellationToken.None);
                if (!lost)
                    (held, written) = (renewed with { Version = held.Version + 1 }, asked);
            }
            catch (Exception exception)
            {
                Logs.TimerStoreFailed(logger, exception, function, exception.Message, options.LeaseDuration / 3);
                lost = time.GetElapsedTime(written) >= options.LeaseDuration;
            }

            if (!lost)
                continue;
            Logs.TimerLeaseLost(logger, function);
            await run.CancelAsync();
            return null;
        }
    }

    /// <summary>
    /// Records the outcome of a run and gives its lease back. While the store is away nobody else can take over, so this tries until the
    /// store is back or the site stops.
    /// </summary>
    public async Task EndLeaseAsync(TimerStatus outcome, CancellationToken stopping)
    {
        var free = outcome with { LeaseOwner = null, LeaseExpires = null };
        for (var retry = TimerRetry.First; ; retry = TimerRetry.Longer(retry))
        {
            try
            {
                if (!await store.TrySaveAsync(function, free, free.Version, CancellationToken.None))
                    Logs.TimerLeaseLost(logger, function);
                return;
            }
            catch (Exception exception)
            {
                Logs.TimerStoreFailed(logger, exception, function, exception.Message, retry);
                if (stopping.IsCancellationRequested)
                    return;
            }

            await Task.Delay(retry, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>
    /// How much longer another process's lease may go unrenewed. Counted in elapsed time here, because the lease's own expiry time means
    /// nothing after a clock was set; the owner renews it three times in a lease's duration.
    /// </summary>
    private TimeSpan UnrenewedFor(long version)
    {
        if (_foreignLease is not { } seen || seen.Version != version)
            _foreignLease = seen = (version, time.GetTimestamp());
        return options.LeaseDuration - time.GetElapsedTime(seen.Since);
    }

    private static TimeSpan Shorter(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
