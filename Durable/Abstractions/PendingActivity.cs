namespace Librarian.Durable;

/// <summary>An activity that is scheduled and has not ended.</summary>
/// <param name="OperationId">The same as <see cref="TaskActivityContextExtensions.get_OperationId"/>.</param>
/// <param name="Name">Name that the orchestrator called.</param>
/// <param name="Queue">Queue of the activity; empty: the default queue.</param>
/// <param name="CreatedAt">When it was scheduled (database clock, UTC).</param>
/// <param name="DeliveryCount">How many times a worker has claimed it.</param>
public sealed record PendingActivity(string OperationId, string Name, string Queue, DateTimeOffset CreatedAt, int DeliveryCount)
{
    /// <summary>Id of the worker that owns it; null while it waits for one.</summary>
    public string? Worker { get; init; }

    /// <summary>
    /// Last progress reported by <see cref="TaskActivityContextExtensions.Heartbeat"/>, serialized; null before the first report.
    /// </summary>
    public string? SerializedProgress { get; init; }

    internal DataConverter? DataConverter { get; init; }

    /// <summary>Deserializes the last reported progress.</summary>
    public T? ReadProgressAs<T>() => DataConverter!.Deserialize<T>(SerializedProgress);
}
