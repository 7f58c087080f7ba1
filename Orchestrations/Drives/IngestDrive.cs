using Librarian.Domain.Drives;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Drives;

/// <summary>Input of <see cref="IngestDrive"/> and <see cref="ReportDriveToSource"/>.</summary>
/// <param name="ArrivalId">Id of the incoming drive.</param>
/// <param name="Waits">Rounds of earlier generations.</param>
/// <param name="Futile">Futile wake-ups by signs of life of the source, up to the end of the earlier generation.</param>
public sealed record IncomingDriveInput(long ArrivalId, int Waits = 0, int Futile = 0);

/// <summary>
/// Ingests another site's drive round by round, until it is complete and however often it is unplugged. Instance id
/// <c>drive-ingest-{drive}-{trip}</c>.
/// </summary>
[DurableTask(nameof(IngestDrive))]
public sealed class IngestDrive : TaskOrchestrator<IncomingDriveInput, string>
{
    /// <summary>Event: the ingest was requested again, perhaps with another mount point.</summary>
    public const string WakeEvent = "Wake";

    private const int RoundsPerGeneration = 100;

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, IncomingDriveInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var wake = context.WaitForExternalEvent<string?>(WakeEvent);
        var waits = 0;
        for (var rounds = 0; rounds < RoundsPerGeneration; rounds++)
        {
            var round = await context.CallActivityAsync<IngestRoundResult>(
                nameof(IngestDriveFiles),
                input,
                new ActivityOptions(PeerCalls.Options) { Queue = DriveQueues.Media }
            );
            context.SetCustomStatus(round);
            if (round.Outcome == IngestRound.Done)
                return round.Message;
            if (round.Outcome == IngestRound.More)
            {
                waits = 0;
                continue;
            }

            using var cancel = new CancellationTokenSource();
            var timer = context.CreateTimer(TimeSpan.FromSeconds(Math.Min(60, 1 << Math.Min(waits++, 6))), cancel.Token);
            if (await Task.WhenAny(wake, timer) != wake)
                continue;
#pragma warning disable CA1849, MA0042 // CancelAsync leaves the orchestrator's thread; an orchestrator may await only durable tasks.
            cancel.Cancel();
#pragma warning restore CA1849, MA0042
            (wake, waits) = (context.WaitForExternalEvent<string?>(WakeEvent), 0);
        }

        context.ContinueAsNew(input with { Waits = input.Waits + RoundsPerGeneration });
        return "";
    }
}
