using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

/// <summary>An activity that this worker has claimed, from its claim until its row is settled.</summary>
// The token source has no timer and no linked parent, so there is nothing to dispose; activity code may still hold the token.
#pragma warning disable CA1001
internal sealed class RunningActivity(ClaimedActivity activity, long startedAt)
{
    private readonly CancellationTokenSource _cancellation = new();

    public ClaimedActivity Activity { get; } = activity;

    public long StartedAt { get; } = startedAt;

    public Task Task { get; set; } = Task.CompletedTask;

    public bool IsDone { get; set; }

    public CancellationToken Token => _cancellation.Token;

    /// <summary>Last reported progress, serialized.</summary>
    public string? Progress { get; set; }

    // Callbacks of activity code may throw or block; they run on another thread, and their errors are not the engine's concern.
    public void Cancel() => _ = _cancellation.CancelAsync();
}
#pragma warning restore CA1001
