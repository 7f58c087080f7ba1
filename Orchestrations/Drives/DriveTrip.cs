using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Drives;

/// <summary>Input of <see cref="DriveTrip"/>.</summary>
/// <param name="DriveRow">Id of the drive's row.</param>
/// <param name="Name">The drive's name, for people.</param>
/// <param name="Waits">Steps of earlier generations.</param>
public sealed record DriveTripInput(long DriveRow, string Name, int Waits = 0);

/// <summary>Answer of <see cref="AdvanceDrive"/>; also the status of a trip.</summary>
/// <param name="State">The drive's state.</param>
/// <param name="Message">Progress or problem, for people.</param>
/// <param name="PauseSeconds">Time until the next step; 0 to continue at once.</param>
/// <param name="IsOver">True if the drive needs no workflow any more.</param>
public sealed record DriveStep(string State, string Message, double PauseSeconds, bool IsOver = false);

/// <summary>
/// The life of one drive at its own site, trip after trip: filling, full, frozen, in transit, acknowledged, wiped. Instance id
/// <c>drive-{name}</c>.
/// </summary>
/// <remarks>
/// The drive's row holds the state. This workflow reads it, does the possible work, and sleeps until the event <see cref="WakeEvent"/> or
/// the end of a pause. So a crash at any point, a lost event or a new instance changes nothing.
/// </remarks>
[DurableTask(nameof(DriveTrip))]
public sealed class DriveTrip : TaskOrchestrator<DriveTripInput, string>
{
    /// <summary>Event: the drive's row has changed.</summary>
    public const string WakeEvent = "Wake";

    private const int StepsPerGeneration = 100;

    public static string InstanceId(string drive) => $"drive-{drive}";

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, DriveTripInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var wake = context.WaitForExternalEvent<string?>(WakeEvent);
        for (var steps = 0; steps < StepsPerGeneration; steps++)
        {
            var step = await context.CallActivityAsync<DriveStep>(
                nameof(AdvanceDrive),
                input,
                new ActivityOptions(PeerCalls.Options) { Queue = DriveQueues.Media }
            );
            context.SetCustomStatus(step);
            if (step.IsOver)
                return step.Message;
            if (step.PauseSeconds <= 0)
                continue;
            using var cancel = new CancellationTokenSource();
            var timer = context.CreateTimer(TimeSpan.FromSeconds(step.PauseSeconds), cancel.Token);
            if (await Task.WhenAny(wake, timer) != wake)
                continue;
#pragma warning disable CA1849, MA0042 // CancelAsync leaves the orchestrator's thread; an orchestrator may await only durable tasks.
            cancel.Cancel();
#pragma warning restore CA1849, MA0042
            wake = context.WaitForExternalEvent<string?>(WakeEvent);
        }

        context.ContinueAsNew(input with { Waits = input.Waits + StepsPerGeneration });
        return "";
    }
}
