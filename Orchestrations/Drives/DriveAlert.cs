using System.Text.Json.Serialization;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Drives;

/// <summary>An alert for people; the body of a <c>json</c> webhook.</summary>
/// <param name="Kind">Stable text for programs: <c>drive-full</c>.</param>
/// <param name="Site">This site's name.</param>
/// <param name="Drive">The drive's name.</param>
/// <param name="Trip">Number of the drive's trip.</param>
/// <param name="Destination">The site that the drive travels to.</param>
/// <param name="Files">Number of files on the drive.</param>
/// <param name="Bytes">Bytes of these files.</param>
/// <param name="NextCommand">The command to run next.</param>
public sealed record Alert(string Kind, string Site, string Drive, int Trip, string Destination, long Files, long Bytes, string NextCommand)
{
    /// <summary>All facts in one sentence.</summary>
    [JsonInclude]
    public string Text =>
        $"Librarian {Site}: drive '{Drive}' for '{Destination}' is full with {Files} files, {Bytes / 1e9:0.###} GB. Next: {NextCommand}";
}

/// <summary>Input of <see cref="DriveAlert"/>.</summary>
/// <param name="Alert">The alert.</param>
/// <param name="Webhooks">Number of configured webhooks when the alert was raised.</param>
public sealed record DriveAlertInput(Alert Alert, int Webhooks);

/// <summary>
/// Notifies every configured webhook once and independently: a webhook that is down is tried for about three weeks and does not delay the
/// others. Instance id <c>drive-alert-{drive}-{trip}</c>, so each trip is announced once.
/// </summary>
[DurableTask(nameof(DriveAlert))]
public sealed class DriveAlert : TaskOrchestrator<DriveAlertInput, string>
{
    private const int MaxTries = 4500;

    public static string InstanceId(string drive, int trip) => $"drive-alert-{drive}-{trip}";

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, DriveAlertInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var notified = await Task.WhenAll(Enumerable.Range(0, input.Webhooks).Select(NotifyAsync));
        return $"{notified.Count(t => t)} of {input.Webhooks} webhooks took it.";

        async Task<bool> NotifyAsync(int webhook)
        {
            for (var tries = 0; tries < MaxTries; tries++)
            {
                if (
                    await context.CallActivityAsync<bool>(
                        nameof(SendAlert),
                        new AlertDelivery(input.Alert, webhook, tries),
                        PeerCalls.Options
                    )
                )
                    return true;
                await context.CreateTimer(PeerCalls.Pause(tries, context.NewGuid()), CancellationToken.None);
            }

            return false;
        }
    }
}
