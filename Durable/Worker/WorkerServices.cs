using Microsoft.Extensions.Options;

namespace Librarian.Durable.Worker;

/// <summary>The objects that all parts of a worker share, made once per host.</summary>
internal sealed class WorkerServices(
    WorkerDatabase database,
    TaskCode tasks,
    IOptions<DurableTaskOptions> options,
    WorkSignal signal,
    InstanceWatch watch,
    Telemetry telemetry,
    TimeProvider time
)
{
    public WorkerDatabase Database { get; } = database;

    public TaskCode Tasks { get; } = tasks;

    public DurableTaskOptions Options { get; } = options.Value;

    public WorkSignal Signal { get; } = signal;

    public InstanceWatch Watch { get; } = watch;

    public Telemetry Telemetry { get; } = telemetry;

    public TimeProvider Time { get; } = time;
}
