namespace Librarian.Durable;

/// <summary>An activity that has been scheduled and has not ended.</summary>
/// <param name="OperationId">As <see cref="TaskActivityContext.OperationId"/>.</param>
/// <param name="Name">Name it was called by.</param>
/// <param name="Queue">Queue it was put into; empty: the default queue.</param>
/// <param name="CreatedAt">When it was scheduled (database clock, UTC).</param>
/// <param name="DeliveryCount">How often a worker has taken it.</param>
public sealed record PendingActivity(string OperationId, string Name, string Queue, DateTimeOffset CreatedAt, int DeliveryCount)
{
    /// <summary>Id of the worker that has it; null while it waits for one.</summary>
    public string? Worker { get; init; }

    /// <summary>What it last reported by <see cref="TaskActivityContext.Heartbeat"/>, serialized; null before the first report.</summary>
    public string? SerializedProgress { get; init; }

    internal DataConverter? DataConverter { get; init; }

    /// <summary>Reads the progress last reported.</summary>
    public T? ReadProgressAs<T>() => DataConverter!.Deserialize<T>(SerializedProgress);
}
