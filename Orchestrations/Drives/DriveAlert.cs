using System.Net.Http.Json;
using System.Text.Json.Serialization;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Orchestrations.Peers;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using ErrorCategory = Librarian.Domain.Catalog.ErrorCategory;
using ErrorSeverity = Librarian.Domain.Catalog.ErrorSeverity;

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

internal sealed record SlackMessage(string Text);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Alert))]
[JsonSerializable(typeof(SlackMessage))]
internal sealed partial class AlertJson : JsonSerializerContext;

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

/// <summary>One attempt to send an alert to one webhook.</summary>
/// <param name="Alert">The alert.</param>
/// <param name="Webhook">Index of the webhook in the settings.</param>
/// <param name="Tries">Earlier attempts.</param>
public sealed record AlertDelivery(Alert Alert, int Webhook, int Tries);

/// <summary>Posts one alert to one webhook; false if the webhook did not accept it.</summary>
[DurableTask(nameof(SendAlert))]
public sealed class SendAlert(ErrorLog errors, IOptions<SiteOptions> options, ILogger<SendAlert> log) : TaskActivity<AlertDelivery, bool>
{
    private const int TriesBeforeError = 5;
    private static readonly HttpClient Http = new(
        new SocketsHttpHandler { AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.FromMinutes(5) }
    )
    {
        Timeout = TimeSpan.FromSeconds(30),
    };

    /// <inheritdoc />
    public override async Task<bool> RunAsync(TaskActivityContext context, AlertDelivery input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        // The webhook has been removed from the settings since; there is nothing to send.
        if (options.Value.Alerts.Webhooks.ElementAtOrDefault(input.Webhook) is not { } hook)
            return true;
        string why;
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, hook.Url)
            {
                Content =
                    hook.Format == "slack"
                        ? JsonContent.Create(new SlackMessage(input.Alert.Text), AlertJson.Default.SlackMessage)
                        : JsonContent.Create(input.Alert, AlertJson.Default.Alert),
            };
            // Only the status counts. The body is not read, because it may never end.
            using var answer = await Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, context.CancellationToken);
            if (answer.IsSuccessStatusCode)
                return true;
            why = $"it answered {(int)answer.StatusCode}";
        }
        catch (Exception e)
            when (e is HttpRequestException || (e is OperationCanceledException && !context.CancellationToken.IsCancellationRequested))
        {
            why = e.GetType().Name;
        }

        Logs.AlertNotTaken(log, input.Webhook, input.Alert.Text, why);
        if (input.Tries >= TriesBeforeError)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Warning,
                ErrorCategory.Configuration,
                $"alert webhook {input.Webhook}",
                $"Webhook Site:Alerts:Webhooks:{input.Webhook} does not take alerts ({why}); it is tried for a month. "
                    + $"What it should have said: {input.Alert.Text}",
                context.CancellationToken
            );
        }

        return false;
    }
}
