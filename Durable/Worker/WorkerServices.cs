using Librarian.Durable.Stores;
using Microsoft.DurableTask.Converters;
using Microsoft.DurableTask.Worker;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Durable.Worker;

/// <summary>The objects that all parts of a worker share, made once per host.</summary>
internal sealed class WorkerServices(
    IServiceProvider provider,
    DurableStore store,
    TaskRegistry registry,
    DataConverter converter,
    IOptions<DurableTaskOptions> options,
    IOptionsMonitor<DurableTaskWorkerOptions> workerOptions,
    WorkSignal signal,
    InstanceWatch watch,
    TurnTriggers triggers,
    TimeProvider time,
    ILoggerFactory loggerFactory,
    Telemetry telemetry
)
{
    public IServiceProvider Provider { get; } = provider;

    public DurableStore Store { get; } = store;

    public TaskRegistry Registry { get; } = registry;

    public DataConverter Converter { get; } =
        LimitedDataConverter.Of(
            workerOptions.Get(Microsoft.Extensions.Options.Options.DefaultName).DataConverter,
            converter,
            options.Value.MaxPayloadBytes
        );

    public DurableTaskWorkerOptions.VersioningOptions Versioning { get; } =
        workerOptions.Get(Microsoft.Extensions.Options.Options.DefaultName).Versioning ?? new();

    public DurableTaskOptions Options { get; } = options.Value;

    public WorkSignal Signal { get; } = signal;

    public InstanceWatch Watch { get; } = watch;

    public TimeProvider Time { get; } = time;

    public ILoggerFactory LoggerFactory { get; } = loggerFactory;

    public ILogger Logger { get; } = loggerFactory.CreateLogger("Librarian.Durable.Worker");

    public WorkQueries Queries { get; } = new(store);

    public TurnWriter Turns { get; } = new(store);

    public LeaseQueries Leases { get; } = new(store);

    public ClockQueries ClockQueries { get; } = new(store);

    public DatabaseClock Clock { get; } = new(time, store);

    public Telemetry Telemetry { get; } = telemetry;

    public TurnTriggers Triggers { get; } = triggers;

    public CompletionQueue Completions { get; } =
        new(store, new WorkQueries(store), time, triggers, loggerFactory.CreateLogger<CompletionQueue>());
}

/// <summary>Points between two durable steps at which tests make a worker fail, hang or die; not used in production.</summary>
internal sealed class TurnTriggers
{
    public Func<string, string, Task>? Hit { get; set; }

    public Task HitAsync(string point, string instanceId) => Hit?.Invoke(point, instanceId) ?? Task.CompletedTask;
}

/// <summary>Rejects payloads that would bloat the tables.</summary>
internal sealed class LimitedDataConverter(DataConverter inner, int limit) : DataConverter
{
    /// <summary>
    /// Wraps the converter of the worker or client options. They contain Microsoft's default if none was set; then the host's converter is
    /// used.
    /// </summary>
    public static LimitedDataConverter Of(DataConverter fromOptions, DataConverter ofHost, int limit) =>
        new(ReferenceEquals(fromOptions, JsonDataConverter.Default) ? ofHost : fromOptions, limit);

    public override string? Serialize(object? value)
    {
        if (value is null)
            return null;
        var text = inner.Serialize(value);
        var bytes = System.Text.Encoding.UTF8.GetByteCount(text);
        return bytes <= limit ? text : throw new PayloadTooLargeException(bytes, limit);
    }

    public override object? Deserialize(string? data, Type targetType) => inner.Deserialize(data, targetType);

    // Microsoft's converter casts null to T, which throws if T is a value type.
    public override T? Deserialize<T>(string? data)
        where T : default => Deserialize(data, typeof(T)) is T value ? value : default;
}
