using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Drives;

/// <summary>
/// Reports to a drive's source how its files ended, in batches, even if the source is away for weeks. Instance id
/// <c>drive-tell-{drive}-{trip}</c>.
/// </summary>
[DurableTask(ReportDriveToSource.TaskName)]
public sealed class ReportDriveToSource : TaskOrchestrator<IncomingDriveInput, string>
{
    /// <summary>The name in histories, which workflows of earlier builds have too.</summary>
    public const string TaskName = "TellDriveSource";

    private const int WaitsPerGeneration = 100;
    private const int Idle = 5;

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, IncomingDriveInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var (waits, pauses) = (0, 0);
        var peer = new PeerPause(context, input.Futile);
        while (true)
        {
            var step = await context.CallActivityAsync<ReportStep>(ReportDriveBatch.TaskName, input, PeerCalls.Options);
            context.SetCustomStatus(step);
            if (step.IsOver)
                return step.Message;
            if (step.IsReachable)
                peer.Answered();
            if (step.MayGoOn)
                (waits, pauses) = (0, 0);
            else
            {
                var pause = step.IsReachable ? TimeSpan.FromSeconds(Idle) : PeerCalls.Pause(waits, context.NewGuid());
                waits++;
                if (await peer.WaitAsync(pause, endsAtSign: !step.IsReachable) == PauseEnd.PeerIsBack && peer.IsFirst)
                    waits = 0;
                if (++pauses < WaitsPerGeneration)
                    continue;
                context.ContinueAsNew(input with { Futile = peer.Futile });
                return "";
            }
        }
    }
}

/// <summary>Result of one batch of reports.</summary>
/// <param name="Message">For people.</param>
/// <param name="MayGoOn">More reports are due and the source answers.</param>
/// <param name="IsReachable">The source answers, or no report was due.</param>
/// <param name="IsOver">Everything has been reported.</param>
public sealed record ReportStep(string Message, bool MayGoOn, bool IsReachable, bool IsOver);
