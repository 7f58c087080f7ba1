using System.Net.Http.Json;
using System.Text.Json.Serialization;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using ErrorCategory = Librarian.Domain.Catalog.ErrorCategory;
using ErrorSeverity = Librarian.Domain.Catalog.ErrorSeverity;

namespace Librarian.Orchestrations.Drives;

/// <summary>What a person is told; the body of a <c>json</c> webhook.</summary>
/// <param name="Kind">Stable, for programs: <c>drive-full</c>.</param>
/// <param name="Site">This site.</param>
/// <param name="Drive">The drive.</param>
/// <param name="Trip">Its trip.</param>
/// <param name="Destination">Where it goes.</param>
/// <param name="Files">Files on it.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="NextCommand">What to type next.</param>
public sealed record Alert(string Kind, string Site, string Drive, int Trip, string Destination, long Files, long Bytes, string NextCommand)
{
    /// <summary>One sentence with everything.</summary>
    [JsonInclude]
    public string Text => $"Librarian {Site}: drive '{Drive}' for '{Destination}' is full with {Files} files, {Bytes / 1e9:0.###} GB. Next: {NextCommand}";
}

/// <summary>Body of a Slack webhook.</summary>
/// <param name="Text">The message.</param>
internal sealed record SlackMessage(string Text);

/// <summary>JSON of alerts.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Alert))]
[JsonSerializable(typeof(SlackMessage))]
internal sealed partial class AlertJson : JsonSerializerContext;

/// <summary>Input of <see cref="DriveAlert"/>.</summary>
/// <param name="Alert">What to say.</param>
/// <param name="Webhooks">How many addresses there were when it was raised.</param>
public sealed record DriveAlertInput(Alert Alert, int Webhooks);

/// <summary>
/// Tells every configured webhook once, each for itself: one that is down is tried for a month and does not hold up the others. Instance
/// id <c>drive-alert-{drive}-{trip}</c>, so a trip is announced once.
/// </summary>
[DurableTask(nameof(DriveAlert))]
public sealed class DriveAlert : TaskOrchestrator<DriveAlertInput, string>
{
    private const int MaxTries = 4500;

    /// <summary>Instance id of a trip's alert.</summary>
    public static string InstanceId(string drive, int trip) => $"drive-alert-{drive}-{trip}";

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, DriveAlertInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var told = await Task.WhenAll(Enumerable.Range(0, input.Webhooks).Select(TellAsync));
        return $"{told.Count(t => t)} of {input.Webhooks} webhooks took it.";

        async Task<bool> TellAsync(int webhook)
        {
            for (var tries = 0; tries < MaxTries; tries++)
            {
                if (await context.CallActivityAsync<bool>(nameof(SendAlert), new AlertDelivery(input.Alert, webhook, tries), PeerCalls.Options)) return true;
                await context.CreateTimer(PeerCalls.Pause(tries, context.NewGuid()), CancellationToken.None);
            }

            return false;
        }
    }
}

/// <summary>One delivery.</summary>
/// <param name="Alert">What to say.</param>
/// <param name="Webhook">Index of the address in the settings.</param>
/// <param name="Tries">Earlier tries.</param>
public sealed record AlertDelivery(Alert Alert, int Webhook, int Tries);

/// <summary>Posts one alert to one webhook; false when it was not taken.</summary>
[DurableTask(nameof(SendAlert))]
public sealed class SendAlert(ErrorLog errors, IOptions<SiteOptions> options, ILogger<SendAlert> log) : TaskActivity<AlertDelivery, bool>
{
    private const int TriesBeforeError = 5;
    private static readonly HttpClient Http = new(new SocketsHttpHandler { AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.FromMinutes(5) }) { Timeout = TimeSpan.FromSeconds(30) };

    /// <inheritdoc />
    public override async Task<bool> RunAsync(TaskActivityContext context, AlertDelivery input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        // An address that was taken out of the settings meanwhile needs nothing.
        if (options.Value.Alerts.Webhooks.ElementAtOrDefault(input.Webhook) is not { } hook) return true;
        string why;
        try
        {
            using var answer = hook.Format == "slack"
                ? await Http.PostAsJsonAsync(hook.Url, new SlackMessage(input.Alert.Text), AlertJson.Default.SlackMessage, context.CancellationToken)
                : await Http.PostAsJsonAsync(hook.Url, input.Alert, AlertJson.Default.Alert, context.CancellationToken);
            if (answer.IsSuccessStatusCode) return true;
            why = $"it answered {(int)answer.StatusCode}";
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !context.CancellationToken.IsCancellationRequested))
        {
            why = e.GetType().Name;
        }

        Logs.AlertNotTaken(log, input.Webhook, input.Alert.Text, why);
        if (input.Tries >= TriesBeforeError)
        {
            await errors.RaiseAsync(ErrorSeverity.Warning, ErrorCategory.Configuration, $"alert webhook {input.Webhook}",
                $"Webhook Site:Alerts:Webhooks:{input.Webhook} does not take alerts ({why}); it is tried for a month. What it should have said: {input.Alert.Text}", context.CancellationToken);
        }

        return false;
    }
}
