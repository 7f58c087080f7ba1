using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>The end of an activity, recorded only if this worker still owns the activity.</summary>
internal sealed record ActivityResult(ClaimedActivity Activity, string? Output, string? Failure)
{
    public EventKind Kind => Failure is null ? EventKind.TaskCompleted : EventKind.TaskFailed;

    public HistoryEvent ToEvent(long at) => new(Kind, Activity.TaskId, Activity.Name, Output, Failure, at);
}
