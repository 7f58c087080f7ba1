namespace Librarian.Durable.Stores;

/// <summary>
/// A quick activity of an instance that is in a worker's memory may run there without a row in <c>dt_activity</c>: the history says that it is scheduled,
/// and the memory that it runs. Should the memory be lost, nothing would wake the instance. So before such an activity begins, the turn that schedules
/// it leaves a message in the instance's inbox that becomes visible when the worker lets go of the instance, however it does: released by the worker
/// itself, or freed by others because the worker is dead. Whoever takes the instance then gives every scheduled activity that has neither row nor result
/// a row.
/// </summary>
internal static class Standby
{
    /// <summary>When the message is visible while the worker holds the instance: never (epoch milliseconds).</summary>
    public const long Never = 9_000_000_000_000_000;

    /// <summary>
    /// When it is once the worker has let go: before all others. It is then in the first page of them, so nothing is decided before it was seen, and whatever a
    /// clock does meanwhile. Its instance may have to wait; that is the matter of <c>not_before</c>.
    /// </summary>
    public const long Due = 0;

    /// <summary>Id of the message: there is at most one for an instance. It begins with a control character, so that no sender's id is like it.</summary>
    public const string MessageId = "\u0001standby";

    /// <summary>To be run in every transaction that takes instances from their worker, after that.</summary>
    public static SqlStatement WakeAll { get; } = new SqlStatement($"""
        update dt_inbox set visible_at = {Due}
        where visible_at = {Never} and exists (select 1 from dt_instance i where i.instance_id = dt_inbox.instance_id and i.owner is null)
        """);
}
