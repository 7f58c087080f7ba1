using System.Threading.Channels;
using Librarian.Durable.Hub;

namespace Librarian.Functions.Hosting;

/// <summary>
/// The life of one timer function in this process: wait for the recorded occurrence, take the lease, run, record. A kill before the lease
/// is taken leaves a row that is due; the next start runs it as past due. A kill after the lease is taken, and even after the run but
/// before its record, leaves a row that is due and leased; a process that sees the lease expire or its process gone, or that starts next on
/// a store of its own, runs it again as past due. A run may therefore happen twice, never zero times: functions are idempotent.
/// </summary>
internal sealed class TimerRunner(
    TimerFunctionRun function,
    TimerSchedule schedule,
    TimerRow row,
    ClockWatch clock,
    TimeProvider time,
    TimeSpan pollInterval,
    ILogger logger
)
{
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite }
    );

    // True until the record has been seen once without another process's live lease; only while it is true are missed occurrences "past
    // due".
    private bool _starting = true;

    public void Wake() => _wake.Writer.TryWrite(true);

    public async Task RunAsync(CancellationToken stopping)
    {
        var retry = TimerRetry.First;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                var wait = await StepAsync(stopping);
                retry = TimerRetry.First;
                if (wait > TimeSpan.Zero)
                    await WaitAsync(wait, stopping);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception exception)
            {
                Logs.TimerStoreFailed(logger, exception, function.Name, exception.Message, retry);
                await WaitAsync(retry, stopping);
                retry = TimerRetry.Longer(retry);
            }
        }
    }

    /// <summary>Reads the record once and does what is due. Returns for how long nothing will be due; zero means to read again.</summary>
    private async Task<TimeSpan> StepAsync(CancellationToken stopping)
    {
        var now = clock.Now();
        if ((await row.ReadAsync(stopping) ?? await WriteAsync(First(now), stopping)) is not { } status)
            return TimeSpan.Zero;
        if (row.HeldElsewhereFor(status, now) is { } wait)
            return Shorter(wait, pollInterval);

        var leased = status is { LeaseOwner: not null, LeaseExpires: not null };
        var atStart = _starting;
        if (!leased)
        {
            if (await CorrectAsync(status, now, stopping) is not { } corrected)
                return TimeSpan.Zero;
            status = corrected;
        }

        var due = status.Next <= now || leased || (atStart && function.RunOnStartup);
        if (!due)
        {
            _starting = false;
            return Shorter(status.Next - now, pollInterval);
        }

        if (await row.TakeLeaseAsync(status, now, stopping) is not { } held)
            return TimeSpan.Zero;
        _starting = false;
        if (leased)
            Logs.TimerTakenOver(logger, function.Name);
        await RunHeldAsync(held, now, isPastDue: leased || (atStart && status.Next < now), stopping);
        return TimeSpan.Zero;
    }

    private TimerStatus First(DateTimeOffset now) =>
        new()
        {
            Schedule = schedule.Text,
            Next = After(now),
            LastUpdated = now,
        };

    /// <summary>Computes the next occurrence anew where the recorded one is no longer right; null if another process wrote first.</summary>
    private async Task<TimerStatus?> CorrectAsync(TimerStatus status, DateTimeOffset now, CancellationToken stopping)
    {
        if (_starting && Reschedule(status, now) is { } rescheduled)
        {
            if (await WriteAsync(rescheduled, stopping) is not { } written)
                return null;
            status = written;
        }

        // Recorded while the clock was ahead; waiting for it would take as long as the clock was set back.
        if (status.Next <= now || status.Next <= After(now + ClockWatch.Tolerance))
            return status;
        clock.RecordAhead(status.Next, now);
        return await WriteAsync(status with { Next = After(now), LastUpdated = now }, stopping);
    }

    /// <summary>Writes another next occurrence; null if another process wrote first.</summary>
    private async Task<TimerStatus?> WriteAsync(TimerStatus status, CancellationToken stopping)
    {
        var written = await row.WriteAsync(status, stopping);
        if (written is not null)
            Logs.TimerScheduled(logger, function.Name, schedule.Text, written.Next);
        return written;
    }

    /// <summary>The record after a change of the schedule; null if the schedule is the same.</summary>
    private TimerStatus? Reschedule(TimerStatus status, DateTimeOffset now)
    {
        if (string.Equals(status.Schedule, schedule.Text, StringComparison.Ordinal))
            return null;
        // A new schedule starts afresh: occurrences that it would have had in the past were never promised to anyone.
        var next = After(status.Last ?? status.LastUpdated);
        return status with { Schedule = schedule.Text, Next = next > now ? next : After(now), LastUpdated = now };
    }

    private async Task RunHeldAsync(TimerStatus held, DateTimeOffset started, bool isPastDue, CancellationToken stopping)
    {
        var info = new TimerInfo
        {
            IsPastDue = isPastDue,
            ScheduleStatus = new ScheduleStatus
            {
                Last = held.Last?.UtcDateTime ?? default,
                Next = held.Next.UtcDateTime,
                LastUpdated = held.LastUpdated.UtcDateTime,
            },
        };
        Logs.TimerRunStarted(logger, function.Name, isPastDue);
        using var run = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var invocation = Task.Run(() => function.InvokeAsync(info, run.Token), CancellationToken.None);
        var lease = await row.KeepLeaseAsync(held, invocation, run);

        Exception? failure = null;
        try
        {
            await invocation;
        }
        catch (Exception exception)
        {
            failure = exception;
        }

        if (lease is null)
            return;
        if (failure is OperationCanceledException && stopping.IsCancellationRequested)
        {
            Logs.TimerInterrupted(logger, function.Name);
            await row.EndLeaseAsync(lease, stopping);
            return;
        }

        // Counted from the start of the run: occurrences that passed during the run are made up for at once, by one run.
        var next = After(started);
        if (failure is null)
            Logs.TimerRunEnded(logger, function.Name, next);
        else if (failure is HubException { IsTransient: true })
            Logs.TimerWaitsForHub(logger, function.Name, next);
        else
            Logs.TimerRunFailed(logger, failure, function.Name, failure.Message, next);
        var done = lease with { Schedule = schedule.Text, Last = started, Next = next, LastUpdated = time.GetUtcNow() };
        await row.EndLeaseAsync(done, stopping);
    }

    private async Task WaitAsync(TimeSpan timeout, CancellationToken stopping)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var woken = _wake.Reader.WaitToReadAsync(either.Token).AsTask();
        await Task.WhenAny(woken, Task.Delay(timeout, time, either.Token));
        await either.CancelAsync();
        await ((Task)woken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _wake.Reader.TryRead(out _);
    }

    private DateTimeOffset After(DateTimeOffset instant) => schedule.NextAfter(instant, time.LocalTimeZone);

    private static TimeSpan Shorter(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
