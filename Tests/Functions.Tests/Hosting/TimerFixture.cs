using System.Collections.Concurrent;
using System.Diagnostics;
using System.Threading.Channels;
using Librarian.Functions.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Functions.Hosting;

/// <summary>One run of a probed timer function; ends when the test says so.</summary>
public sealed record ProbedRun(TimerInfo Timer, CancellationToken Cancellation)
{
    public TaskCompletionSource Finish { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>Shows the runs of timer functions to a test.</summary>
public sealed class TimerProbe
{
    private readonly Channel<ProbedRun> _runs = Channel.CreateUnbounded<ProbedRun>();

    public async Task RunAsync(TimerInfo timer, CancellationToken cancellationToken)
    {
        var run = new ProbedRun(timer, cancellationToken);
        _runs.Writer.TryWrite(run);
        await run.Finish.Task.WaitAsync(cancellationToken);
    }

    public async Task<ProbedRun> NextAsync() => await _runs.Reader.ReadAsync().AsTask().WaitAsync(TimerFixture.WaitTimeout);

    public Task WhenRunAsync() => _runs.Reader.WaitToReadAsync().AsTask();

    public bool IsIdle => _runs.Reader.Count == 0;
}

/// <summary>A timer loop of one pretended process on a fake clock and a store that it may share with other rigs.</summary>
public sealed class TimerFixture : IAsyncDisposable
{
    /// <summary>Only bounds a failing test; nothing waits for it otherwise.</summary>
    public static readonly TimeSpan WaitTimeout = TimeSpan.FromMinutes(3);

    public static readonly DateTimeOffset Start = new(2026, 3, 1, 12, 0, 30, TimeSpan.Zero);

    private readonly CountingStore _counting;
    private readonly ServiceProvider _services;

    public TimerFixture(
        Type functions,
        FakeTimeProvider? time = null,
        InMemoryTimerStatusStore? store = null,
        params KeyValuePair<string, string?>[] settings
    )
    {
        Time = time ?? new FakeTimeProvider(Start);
        Store = store ?? new InMemoryTimerStatusStore();
        _counting = new CountingStore(Store);
        _services = new ServiceCollection().AddSingleton(Probe).BuildServiceProvider();
        Loop = new TimerLoop(
            new TimerSchedules(
                FunctionCatalog.Discover([functions]),
                new ConfigurationBuilder().AddInMemoryCollection(settings).Build(),
                Log
            ),
            _counting,
            _services.GetRequiredService<IServiceScopeFactory>(),
            Time,
            new StartedLifetime(),
            Options.Create(new TimerLoopOptions()),
            Log
        );
    }

    public FakeTimeProvider Time { get; }

    public InMemoryTimerStatusStore Store { get; }

    public TimerProbe Probe { get; } = new();

    public TimerLoop Loop { get; }

    public RecordingLogger Log { get; } = new();

    public const string Name = "Probe";

    public async Task<TimerFixture> StartAsync()
    {
        await Loop.StartAsync(CancellationToken.None);
        return this;
    }

    /// <summary>Moves the clock and has the loop look at it, whatever it was doing.</summary>
    public void Advance(TimeSpan by)
    {
        Time.Advance(by);
        Loop.Wake(Name);
    }

    /// <summary>
    /// Moves the clock in steps until something has happened: delays are armed on other threads, so one step may come too early.
    /// </summary>
    public async Task AdvanceUntilAsync(Func<bool> happened, TimeSpan step)
    {
        var waiting = Stopwatch.StartNew();
        while (!happened())
        {
            Assert.True(waiting.Elapsed < WaitTimeout, "It does not happen, however far the clock goes.");
            Time.Advance(step);
            await Task.Yield();
        }
    }

    /// <summary>Completes when the loop has looked at its record once more, found nothing to do and looked again.</summary>
    public async Task SettleAsync()
    {
        for (var i = 0; i < 2; i++)
        {
            var reads = _counting.Reads;
            Loop.Wake(Name);
            await _counting.WhenReadAsync(reads + 1).WaitAsync(WaitTimeout);
        }
    }

    public Task<TimerStatus> WhenAsync(Func<TimerStatus, bool> condition) => Store.WhenAsync(condition).WaitAsync(WaitTimeout);

    public async ValueTask DisposeAsync()
    {
        await Loop.StopAsync(CancellationToken.None);
        Loop.Dispose();
        await _services.DisposeAsync();
    }

    private sealed class StartedLifetime : IHostApplicationLifetime
    {
        public CancellationToken ApplicationStarted => new(canceled: true);

        public CancellationToken ApplicationStopping => CancellationToken.None;

        public CancellationToken ApplicationStopped => CancellationToken.None;

        public void StopApplication() => throw new NotSupportedException();
    }

    private sealed class CountingStore(ITimerStatusStore inner) : ITimerStatusStore
    {
        private readonly Lock _gate = new();
        private readonly List<(int Reads, TaskCompletionSource Source)> _waiting = [];
        private int _reads;

        public int Reads => Volatile.Read(ref _reads);

        public bool IsOfThisProcessAlone => inner.IsOfThisProcessAlone;

        public Task<TimerStatus?> GetAsync(string functionName, CancellationToken cancellationToken)
        {
            lock (_gate)
            {
                _reads++;
                foreach (var waiter in _waiting.Where(w => w.Reads <= _reads))
                    waiter.Source.TrySetResult();
            }

            return inner.GetAsync(functionName, cancellationToken);
        }

        public Task<bool> TrySaveAsync(
            string functionName,
            TimerStatus status,
            long expectedVersion,
            CancellationToken cancellationToken
        ) => inner.TrySaveAsync(functionName, status, expectedVersion, cancellationToken);

        public Task WhenReadAsync(int reads)
        {
            lock (_gate)
            {
                if (_reads >= reads)
                    return Task.CompletedTask;
                var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _waiting.Add((reads, source));
                return source.Task;
            }
        }
    }
}

/// <summary>Keeps log lines for a test to read.</summary>
public sealed class RecordingLogger : ILogger<TimerLoop>
{
    public ConcurrentQueue<(LogLevel Level, int Id, string Text)> Lines { get; } = new();

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel,
        EventId eventId,
        TState state,
        Exception? exception,
        Func<TState, Exception?, string> formatter
    ) => Lines.Enqueue((logLevel, eventId.Id, formatter(state, exception)));
}
