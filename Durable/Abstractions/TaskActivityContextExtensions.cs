namespace Librarian.Durable;

/// <summary>
/// The same members for every <see cref="TaskActivityContext"/>, the type that activities are written against. Other engines do not provide
/// these details; there the members return neutral values, so that an activity runs unchanged.
/// </summary>
public static class TaskActivityContextExtensions
{
    extension(TaskActivityContext context)
    {
        /// <summary>
        /// <c>{instance}/{execution}/{taskId}</c>: the same for every delivery of this call and never used by another call, so it serves as
        /// an idempotency key towards peers. On another engine it consists of the instance id and the activity's name.
        /// </summary>
        public string OperationId =>
            context is DatabaseActivityContext own ? own.OperationId : $"{context.InstanceId}/0/{context.Name.Name}";

        /// <summary>
        /// How many times this call was delivered, including this time; 1 unless a worker died or released it. On another engine always 1.
        /// </summary>
        public int DeliveryCount => context is DatabaseActivityContext own ? own.DeliveryCount : 1;

        /// <summary>
        /// Cancelled when this worker may no longer deliver the result: it lost its lease or is draining, or the instance was terminated or
        /// replaced. After a drain the call is delivered again, later or to another worker. On another engine never cancelled.
        /// </summary>
        public CancellationToken CancellationToken =>
            context is DatabaseActivityContext own ? own.CancellationToken : CancellationToken.None;

        /// <summary>
        /// Reports the call's progress for <see cref="DatabaseDurableTaskClient.GetPendingActivitiesAsync"/>. Returns at once; the newest
        /// report is written at most once a second, and a report that cannot be written is dropped. Ownership does not depend on reports:
        /// the worker's lease covers its activities. Throws <see cref="PayloadTooLargeException"/>. On another engine this does nothing.
        /// </summary>
        public void Heartbeat(object? progress) => (context as DatabaseActivityContext)?.Heartbeat(progress);
    }
}
