using System.Net.Http.Json;
using System.Text.Json.Serialization;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

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

internal sealed record SlackMessage(string Text);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Alert))]
[JsonSerializable(typeof(SlackMessage))]
internal sealed partial class AlertJson : JsonSerializerContext;
