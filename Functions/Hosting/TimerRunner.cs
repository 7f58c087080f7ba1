using System.Diagnostics;
using System.Reflection;
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
    TimerFunction function,
    TimerSchedule schedule,
    ITimerStatusStore store,
    IServiceScopeFactory scopes,
    TimeProvider time,
    ClockWatch clock,
    TimerLoopOptions options,
    string owner,
    ILogger logger
)
{
    private static readonly ActivitySource Activities = new("Librarian.Functions.Hosting");
    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromMinutes(1);

    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite }
    );
    private readonly ObjectFactory? _create = function.Method.IsStatic
        ? null
        : ActivatorUtilities.CreateFactory(function.Method.DeclaringType!, Type.EmptyTypes);

    // True until the record has been seen once without another process's live lease; only while it is true are missed occurrences "past
    // due".
    private bool _starting = true;

    // Another process's lease as first seen here, and the time of that in elapsed time.
    private (long Version, long Since)? _foreignLease;

    public void Wake() => _wake.Writer.TryWrite(true);

    public async Task RunAsync(CancellationToken stopping)
    {
        var retry = FirstRetry;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                var wait = await StepAsync(stopping);
                retry = FirstRetry;
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
                retry = Longer(retry);
            }
        }
    }

    /// <summary>Reads the record once and does what is due. Returns for how long nothing will be due; zero means to read again.</summary>
    private async Task<TimeSpan> StepAsync(CancellationToken stopping)
    {
        var now = clock.Now();
        var status = await store.GetAsync(function.Name, stopping);
        if (status is null)
        {
            status = new TimerStatus
            {
                Schedule = schedule.Text,
                Next = After(now),
                LastUpdated = now,
            };
            if (!await store.TrySaveAsync(function.Name, status, 0, stopping))
                return TimeSpan.Zero;
            status = status with { Version = 1 };
            Logs.TimerScheduled(logger, function.Name, schedule.Text, status.Next);
        }

        var leased = status is { LeaseOwner: not null, LeaseExpires: not null };
        // A lease of this process while nothing runs here comes from a write whose answer was lost: continue with it at once.
        if (
            leased
            && status.LeaseOwner != owner
            && !store.IsOfThisProcessAlone
            && !ProcessIdentity.HasEnded(status.LeaseOwner!)
            && Shorter(status.LeaseExpires!.Value - now, UnrenewedFor(status.Version)) is var wait
            && wait > TimeSpan.Zero
        )
        {
            return Shorter(wait, options.PollInterval);
        }

        _foreignLease = null;

        var atStart = _starting;
        if (atStart && !leased && Reschedule(status, now) is { } rescheduled)
        {
            if (!await store.TrySaveAsync(function.Name, rescheduled, status.Version, stopping))
                return TimeSpan.Zero;
            status = rescheduled with { Version = status.Version + 1 };
            Logs.TimerScheduled(logger, function.Name, schedule.Text, status.Next);
        }

        // Recorded while the clock was ahead; waiting for it would take as long as the clock was set back.
        if (!leased && status.Next > now && status.Next > After(now + ClockWatch.Tolerance))
        {
            clock.RecordAhead(status.Next, now);
            var recomputed = status with { Next = After(now), LastUpdated = now };
            if (!await store.TrySaveAsync(function.Name, recomputed, status.Version, stopping))
                return TimeSpan.Zero;
            status = recomputed with { Version = status.Version + 1 };
            Logs.TimerScheduled(logger, function.Name, schedule.Text, status.Next);
        }

        var due = status.Next <= now || leased || (atStart && function.RunOnStartup);
        if (!due)
        {
            _starting = false;
            return Shorter(status.Next - now, options.PollInterval);
        }

        var held = status with { LeaseOwner = owner, LeaseExpires = now + options.LeaseDuration };
        if (!await store.TrySaveAsync(function.Name, held, status.Version, stopping))
            return TimeSpan.Zero;
        _starting = false;
        if (leased)
            Logs.TimerTakenOver(logger, function.Name);
        await RunHeldAsync(held with { Version = status.Version + 1 }, now, isPastDue: leased || (atStart && status.Next < now), stopping);
        return TimeSpan.Zero;
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
        var invocation = Task.Run(() => InvokeAsync(info, run.Token), CancellationToken.None);
        var lease = await KeepLeaseAsync(held, invocation, run);

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
            await RecordAsync(lease with { LeaseOwner = null, LeaseExpires = null }, lease.Version, stopping);
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
        var done = lease with
        {
            Schedule = schedule.Text,
            Last = started,
            Next = next,
            LastUpdated = time.GetUtcNow(),
            LeaseOwner = null,
            LeaseExpires = null,
        };
        await RecordAsync(done, lease.Version, stopping);
    }

    /// <summary>Renews the lease until the run ends. Returns the record as last written, or null if the lease was lost.</summary>
    private async Task<TimerStatus?> KeepLeaseAsync(TimerStatus held, Task invocation, CancellationTokenSource run)
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
                lost = !await store.TrySaveAsync(function.Name, renewed, held.Version, CancellationToken.None);
                if (!lost)
                    (held, written) = (renewed with { Version = held.Version + 1 }, asked);
            }
            catch (Exception exception)
            {
                Logs.TimerStoreFailed(logger, exception, function.Name, exception.Message, options.LeaseDuration / 3);
                lost = time.GetElapsedTime(written) >= options.LeaseDuration;
            }

            if (!lost)
                continue;
            Logs.TimerLeaseLost(logger, function.Name);
            await run.CancelAsync();
            return null;
        }
    }

    /// <summary>
    /// Records the outcome. While the store is away nobody else can take over, so this tries until the store is back or the site stops.
    /// </summary>
    private async Task RecordAsync(TimerStatus outcome, long version, CancellationToken stopping)
    {
        for (var retry = FirstRetry; ; retry = Longer(retry))
        {
            try
            {
                if (!await store.TrySaveAsync(function.Name, outcome, version, CancellationToken.None))
                    Logs.TimerLeaseLost(logger, function.Name);
                return;
            }
            catch (Exception exception)
            {
                Logs.TimerStoreFailed(logger, exception, function.Name, exception.Message, retry);
                if (stopping.IsCancellationRequested)
                    return;
            }

            await Task.Delay(retry, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task InvokeAsync(TimerInfo info, CancellationToken cancellationToken)
    {
        using var activity = Activities.StartActivity($"timer {function.Name}");
        await using var scope = scopes.CreateAsyncScope();
        var instance = _create?.Invoke(scope.ServiceProvider, null);
        try
        {
            var arguments = function
                .Method.GetParameters()
                .Select(p => p.ParameterType == typeof(TimerInfo) ? (object)info : cancellationToken)
                .ToArray();
            var result = function.Method.Invoke(instance, BindingFlags.DoNotWrapExceptions, binder: null, arguments, culture: null);
            if (result is Task task)
                await task;
            else if (result is ValueTask valueTask)
                await valueTask;
        }
        catch (Exception exception)
        {
            activity?.SetStatus(ActivityStatusCode.Error, exception.Message);
            throw;
        }
        finally
        {
            if (instance is IAsyncDisposable asyncDisposable)
                await asyncDisposable.DisposeAsync();
            else if (instance is IDisposable disposable)
                disposable.Dispose();
        }
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

    private static TimeSpan Longer(TimeSpan retry) => Shorter(retry * 2, LongestRetry);
}
