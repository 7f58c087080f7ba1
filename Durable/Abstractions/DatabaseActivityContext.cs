namespace Librarian.Durable;

/// <summary>Details of an activity call that only this engine provides, in addition to <see cref="TaskActivityContext"/>.</summary>
public abstract class DatabaseActivityContext : TaskActivityContext
{
    /// <inheritdoc cref="TaskActivityContextExtensions.get_OperationId"/>
    public abstract string OperationId { get; }

    /// <inheritdoc cref="TaskActivityContextExtensions.get_DeliveryCount"/>
    public abstract int DeliveryCount { get; }

    /// <inheritdoc cref="TaskActivityContextExtensions.get_CancellationToken"/>
    public abstract CancellationToken CancellationToken { get; }

    /// <inheritdoc cref="TaskActivityContextExtensions.Heartbeat"/>
    public abstract void Heartbeat(object? progress);
}
