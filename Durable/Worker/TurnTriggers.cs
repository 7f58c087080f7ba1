namespace Librarian.Durable.Worker;

/// <summary>Points between two durable steps at which tests make a worker fail, hang or die; not used in production.</summary>
internal sealed class TurnTriggers
{
    public Func<string, string, Task>? Hit { get; set; }

    public Task HitAsync(string point, string instanceId) => Hit?.Invoke(point, instanceId) ?? Task.CompletedTask;
}
