using System.Collections.Concurrent;
using Librarian.Functions.Hosting;

namespace Librarian.Tests.Functions.Hosting;

/// <summary>Compare and swap in memory; tests can wait for a row to change and make the store fail.</summary>
public sealed class InMemoryTimerStatusStore : ITimerStatusStore
{
    private readonly ConcurrentDictionary<string, TimerStatus> _rows = new(StringComparer.OrdinalIgnoreCase);
    private readonly Lock _gate = new();
    private readonly List<(Func<TimerStatus, bool> Condition, TaskCompletionSource<TimerStatus> Source)> _waiting = [];

    public bool IsOfThisProcessAlone { get; set; }

    /// <summary>Both operations throw this while it is set.</summary>
    public Exception? Failure { get; set; }

    public TimerStatus? this[string functionName]
    {
        get => _rows.GetValueOrDefault(functionName);
        set => _rows[functionName] = value!;
    }

    public Task<TimerStatus?> GetAsync(string functionName, CancellationToken cancellationToken) =>
        Failure is null ? Task.FromResult(_rows.GetValueOrDefault(functionName)) : Task.FromException<TimerStatus?>(Failure);

    public Task<bool> TrySaveAsync(string functionName, TimerStatus status, long expectedVersion, CancellationToken cancellationToken)
    {
        if (Failure is not null)
            return Task.FromException<bool>(Failure);
        lock (_gate)
        {
            if ((_rows.GetValueOrDefault(functionName)?.Version ?? 0) != expectedVersion)
                return Task.FromResult(false);
            var written = status with { Version = expectedVersion + 1 };
            _rows[functionName] = written;
            foreach (var waiter in _waiting.Where(w => w.Condition(written)).ToArray())
            {
                _waiting.Remove(waiter);
                waiter.Source.TrySetResult(written);
            }
        }

        return Task.FromResult(true);
    }

    /// <summary>Completes when a row fulfils the condition, now or after a later write.</summary>
    public Task<TimerStatus> WhenAsync(Func<TimerStatus, bool> condition)
    {
        lock (_gate)
        {
            if (_rows.Values.FirstOrDefault(condition) is { } row)
                return Task.FromResult(row);
            var source = new TaskCompletionSource<TimerStatus>(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Add((condition, source));
            return source.Task;
        }
    }
}
