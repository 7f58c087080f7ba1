using System.Threading.Channels;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Worker;

/// <summary>
/// Writes results and releases to the database (docs/spec/durable-engine.md#r4-results-are-repeated). Both are idempotent and fenced by
/// owner and claim, so they are repeated until the database answers; they outlive the incarnation that made them. A crash loses only the
/// entries in memory: their rows are still owned, are freed when the lease has expired, and the activities are delivered again.
/// </summary>
internal sealed class CompletionQueue(
    DurableStore store,
    WorkQueries queries,
    TimeProvider time,
    TurnTriggers triggers,
    ILogger<CompletionQueue> logger
)
{
    private const int BatchSize = 128;
    private readonly Channel<Entry> _channel = Channel.CreateUnbounded<Entry>(new() { SingleReader = true });
    private int _waiting;

    /// <summary>Called with the instances that got messages.</summary>
    public Action<IReadOnlyCollection<string>>? Posted { get; set; }

    /// <summary>Called with activities whose rows are settled, whatever the outcome.</summary>
    public Action<ClaimedActivity>? Settled { get; set; }

    public bool IsEmpty => Volatile.Read(ref _waiting) == 0;

    public void Complete(ActivityResult result) => Add(new(result, null, null));

    public void Release(ClaimedActivity activity, TimeSpan delay, bool countsAsDelivery) =>
        Add(new(null, [queries.ReleaseActivity(activity, delay, countsAsDelivery)], activity));

    public void Release(ClaimedInstance instance, TimeSpan delay, int attemptsBack) =>
        Add(new(null, [queries.ReleaseInstance(instance, delay, attemptsBack)], null));

    /// <summary>
    /// Fails an instance whose code escaped after its turn, even if the instance is in no worker's memory. A crash before this is written
    /// loses it; when the instance is replayed, its code escapes again.
    /// </summary>
    public void Escaped(ExecutionIdentity identity) =>
        Add(
            new(
                null,
                [
                    queries.Escape(
                        identity,
                        "left its flow of control after its turn: it awaited a task that the context did not make, "
                            + "or used ConfigureAwait(false) or Task.Run"
                    ),
                ],
                null
            )
        );

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var batch = new List<Entry>(BatchSize);
        while (await _channel.Reader.WaitToReadAsync(cancellationToken))
        {
            batch.Clear();
            while (batch.Count < BatchSize && _channel.Reader.TryRead(out var entry))
                batch.Add(entry);
            await WriteAsync(batch, cancellationToken);
            Interlocked.Add(ref _waiting, -batch.Count);
        }
    }

    private void Add(Entry entry)
    {
        Interlocked.Increment(ref _waiting);
        _channel.Writer.TryWrite(entry);
    }

    private async Task WriteAsync(List<Entry> batch, CancellationToken cancellationToken)
    {
        for (var delay = TimeSpan.FromMilliseconds(50); ; )
        {
            try
            {
                await WriteOnceAsync(batch, cancellationToken);
                return;
            }
            catch (Exception refused) when (store.RefusesValue(refused) && batch is [{ Result: { } result }])
            {
                // Only the activity fails, not the worker.
                logger.ResultRefused(refused, result.Activity.OperationId);
                batch[0] = new(
                    new(
                        result.Activity,
                        null,
                        OrchestrationExecution.FailureText(EngineFailure.Of(new InvalidOperationException("The result cannot be stored.")))
                    ),
                    null,
                    null
                );
            }
            catch (Exception refused) when (store.RefusesValue(refused) && batch.Count > 1)
            {
                foreach (var entry in batch)
                    await WriteAsync([entry], cancellationToken);
                return;
            }
            catch (Exception fault) when (fault is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                // Only people can remove such causes (a full disk, a revoked right, a read-only file), and until then no other entry could
                // be written either. Giving up would lose the work of an activity, or end the only reader of this queue.
                logger.CompletionsDelayed(fault, batch.Count);
            }

            await Task.Delay(delay, time, cancellationToken);
            if (delay < TimeSpan.FromSeconds(2))
                delay *= 2;
        }
    }

    private async Task WriteOnceAsync(List<Entry> batch, CancellationToken cancellationToken)
    {
        var results = batch.Where(entry => entry.Result is not null).Select(entry => entry.Result!).ToList();
        if (results.Count > 0)
        {
            await triggers.HitAsync("completion.before-commit", results[0].Activity.InstanceId);
            var posted = await queries.CompleteAsync(results, cancellationToken);
            await triggers.HitAsync("completion.after-commit", results[0].Activity.InstanceId);
            foreach (var result in results)
                Settled?.Invoke(result.Activity);
            Posted?.Invoke(posted);
        }

        var releases = batch.Where(entry => entry.Release is not null).ToList();
        if (releases.Count > 0)
        {
            await triggers.HitAsync("release.before-commit", "");
            await queries.ExecuteAsync([.. releases.SelectMany(entry => entry.Release!)], cancellationToken);
            await triggers.HitAsync("release.after-commit", "");
            foreach (var entry in releases)
            {
                if (entry.Activity is { } activity)
                    Settled?.Invoke(activity);
            }

            Posted?.Invoke([]);
        }
    }

    private sealed record Entry(ActivityResult? Result, IReadOnlyList<SqlStatement>? Release, ClaimedActivity? Activity);
}
