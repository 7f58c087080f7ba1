using Librarian.Durable.Stores;
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
