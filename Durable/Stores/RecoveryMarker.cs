namespace Librarian.Durable.Stores;

/// <summary>
/// Recovery markers of an earlier release. With schema 3 that release ran a quick activity without a row in <c>dt_activity</c> while its
/// instance was in the worker's memory. A message in the instance's inbox (<see cref="Engine.EventKind.LocalActivityLost"/>) becomes
/// visible when that worker releases the instance; the worker that claims the instance next gives a row to every scheduled activity that
/// has neither row nor result. This release writes no such messages, but must still read existing ones.
/// </summary>
internal static class RecoveryMarker
{
    /// <summary>Visibility time of the marker while the worker holds the instance: never (epoch milliseconds).</summary>
    public const long Never = 9_000_000_000_000_000;

    /// <summary>
    /// Visibility time once the worker has released the instance: before all other messages, so that the marker is read before any
    /// decision.
    /// </summary>
    public const long Due = 0;

    /// <summary>Run this in every transaction that takes instances from their worker, after the statements that do so.</summary>
    public static SqlStatement WakeAll { get; } =
        new SqlStatement(
            $"""
            update dt_inbox set visible_at = {Due}
            where visible_at = {Never}
              and exists (select 1 from dt_instance i where i.instance_id = dt_inbox.instance_id and i.owner is null)
            """
        );
}
