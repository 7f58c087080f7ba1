using System.Globalization;
using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>The management API for orchestrations, one method per route (docs/orchestrations.md).</summary>
public sealed partial class LibrarianClient
{
    /// <summary>Starts an orchestration. The site answers 409 if an active instance has that id.</summary>
    /// <param name="name">Name of the orchestrator.</param>
    /// <param name="instanceId">Id of the new instance; if null, the site makes one.</param>
    /// <param name="input">Input as JSON text, or null.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>Addresses of the new instance.</returns>
    public Task<Reply<OrchestrationLinks>> StartOrchestrationAsync(
        string name,
        string? instanceId = null,
        ReadOnlyMemory<byte>? input = null,
        CancellationToken cancellationToken = default
    ) =>
        CallAsync(
            HttpMethod.Post,
            $"{OrchestrationRoutes.Orchestrators}/{Segment(name)}" + (instanceId is null ? "" : "/" + Segment(instanceId)),
            input?.ToArray(),
            OrchestrationJson.Wire.OrchestrationLinks,
            cancellationToken
        );

    /// <summary>Gets an instance. The site answers 404 for an unknown one.</summary>
    /// <param name="instanceId">Id of the instance.</param>
    /// <param name="showHistory">Whether to include the history.</param>
    /// <param name="showHistoryOutput">Whether to include results in the history.</param>
    /// <param name="showInput">Whether to include inputs.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The instance.</returns>
    public Task<Reply<OrchestrationInstance>> GetOrchestrationAsync(
        string instanceId,
        bool showHistory = false,
        bool showHistoryOutput = false,
        bool showInput = true,
        CancellationToken cancellationToken = default
    ) =>
        CallAsync(
            HttpMethod.Get,
            Instance(instanceId)
                + Query(("showHistory", Text(showHistory)), ("showHistoryOutput", Text(showHistoryOutput)), ("showInput", Text(showInput))),
            null,
            OrchestrationJson.Wire.OrchestrationInstance,
            cancellationToken
        );

    /// <summary>Lists instances, one page per call.</summary>
    /// <param name="query">Filter and page.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>A page.</returns>
    public Task<Reply<OrchestrationPage>> ListOrchestrationsAsync(OrchestrationQuery query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        var route =
            OrchestrationRoutes.Instances
            + Query(
                ("instanceIdPrefix", query.InstanceIdPrefix),
                ("createdTimeFrom", Text(query.CreatedTimeFrom)),
                ("createdTimeTo", Text(query.CreatedTimeTo)),
                ("runtimeStatus", query.RuntimeStatus is { Count: > 0 } states ? string.Join(',', states) : null),
                ("showInput", Text(query.ShowInput)),
                ("top", query.Top?.ToString(CultureInfo.InvariantCulture))
            );
        return ExchangeAsync(
            HttpMethod.Get,
            new Uri(_orchestrations, route),
            null,
            query.ContinuationToken is { } token ? (OrchestrationRoutes.ContinuationHeader, token) : null,
            ReadPageAsync,
            cancellationToken
        );
    }

    /// <summary>Removes a finished instance. The site answers 404 for an unknown or unfinished one.</summary>
    /// <param name="instanceId">Id of the instance.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>How many were removed.</returns>
    public Task<Reply<OrchestrationsPurged>> PurgeOrchestrationAsync(string instanceId, CancellationToken cancellationToken = default) =>
        CallAsync(HttpMethod.Delete, Instance(instanceId), null, OrchestrationJson.Wire.OrchestrationsPurged, cancellationToken);

    /// <summary>Removes finished instances. The site answers 404 if none matches.</summary>
    /// <param name="createdTimeFrom">Earliest creation time.</param>
    /// <param name="createdTimeTo">Latest creation time, or null for no limit.</param>
    /// <param name="runtimeStatus">Statuses to remove; null for every final status.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>How many were removed.</returns>
    public Task<Reply<OrchestrationsPurged>> PurgeOrchestrationsAsync(
        DateTimeOffset createdTimeFrom,
        DateTimeOffset? createdTimeTo = null,
        IReadOnlyList<OrchestrationState>? runtimeStatus = null,
        CancellationToken cancellationToken = default
    ) =>
        CallAsync(
            HttpMethod.Delete,
            OrchestrationRoutes.Instances
                + Query(
                    ("createdTimeFrom", Text(createdTimeFrom)),
                    ("createdTimeTo", Text(createdTimeTo)),
                    ("runtimeStatus", runtimeStatus is { Count: > 0 } ? string.Join(',', runtimeStatus) : null)
                ),
            null,
            OrchestrationJson.Wire.OrchestrationsPurged,
            cancellationToken
        );

    /// <summary>Raises an event. The site answers 404 for an unknown instance and 410 for a finished one.</summary>
    /// <param name="instanceId">Id of the instance.</param>
    /// <param name="eventName">Name of the event.</param>
    /// <param name="data">Data as JSON text, or null.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> RaiseOrchestrationEventAsync(
        string instanceId,
        string eventName,
        ReadOnlyMemory<byte>? data = null,
        CancellationToken cancellationToken = default
    ) =>
        CallAsync<Acknowledged>(
            HttpMethod.Post,
            $"{Instance(instanceId)}/raiseEvent/{Segment(eventName)}",
            data?.ToArray(),
            answer: null,
            cancellationToken
        );

    /// <summary>Requests the termination of an instance. The site answers 404 for an unknown one and 410 for a finished one.</summary>
    /// <param name="instanceId">Id of the instance.</param>
    /// <param name="reason">Becomes the instance's output.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> TerminateOrchestrationAsync(
        string instanceId,
        string? reason = null,
        CancellationToken cancellationToken = default
    ) => ControlAsync(instanceId, "terminate", reason, cancellationToken);

    /// <summary>Requests the suspension of an instance. The site answers 404 for an unknown one and 410 for a finished one.</summary>
    /// <param name="instanceId">Id of the instance.</param>
    /// <param name="reason">Goes into the history.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> SuspendOrchestrationAsync(
        string instanceId,
        string? reason = null,
        CancellationToken cancellationToken = default
    ) => ControlAsync(instanceId, "suspend", reason, cancellationToken);

    /// <summary>Resumes a suspended instance. The site answers 404 for an unknown one and 410 for a finished one.</summary>
    /// <param name="instanceId">Id of the instance.</param>
    /// <param name="reason">Goes into the history.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> ResumeOrchestrationAsync(
        string instanceId,
        string? reason = null,
        CancellationToken cancellationToken = default
    ) => ControlAsync(instanceId, "resume", reason, cancellationToken);

    /// <summary>
    /// Repeats the failed steps of a failed instance. The site answers 404 for an unknown instance, 409 for a running one, and 410 for one
    /// that finished in another way.
    /// </summary>
    /// <param name="instanceId">Id of the instance.</param>
    /// <param name="reason">Goes into the history.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> RewindOrchestrationAsync(
        string instanceId,
        string? reason = null,
        CancellationToken cancellationToken = default
    ) => ControlAsync(instanceId, "rewind", reason, cancellationToken);

    /// <summary>
    /// Starts an instance again with its old input. The site answers 400 for an unknown one, and 409 for an active one under its own id.
    /// </summary>
    /// <param name="instanceId">Id of the instance.</param>
    /// <param name="restartWithNewInstanceId">True starts a new instance beside the old one; false replaces the old one.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>Addresses of the started instance.</returns>
    public Task<Reply<OrchestrationLinks>> RestartOrchestrationAsync(
        string instanceId,
        bool restartWithNewInstanceId = true,
        CancellationToken cancellationToken = default
    ) =>
        CallAsync(
            HttpMethod.Post,
            $"{Instance(instanceId)}/restart{Query(("restartWithNewInstanceId", Text(restartWithNewInstanceId)))}",
            null,
            OrchestrationJson.Wire.OrchestrationLinks,
            cancellationToken
        );

    private static string Segment(string text)
    {
        ArgumentException.ThrowIfNullOrEmpty(text);
        return Uri.EscapeDataString(text);
    }

    private static string Instance(string instanceId) => $"{OrchestrationRoutes.Instances}/{Segment(instanceId)}";

    private static string Text(bool value) => value ? "true" : "false";

    private static string? Text(DateTimeOffset? value) => value?.UtcDateTime.ToString("o", CultureInfo.InvariantCulture);

    private static string Query(params ReadOnlySpan<(string Name, string? Value)> parameters)
    {
        var query = "";
        foreach (var (name, value) in parameters)
        {
            if (value is not null)
                query += $"{(query.Length == 0 ? '?' : '&')}{name}={Uri.EscapeDataString(value)}";
        }

        return query;
    }

    private static async Task<Reply<OrchestrationPage>> ReadPageAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var reply = await ReadAsync(
            response,
            OrchestrationJson.Wire.OrchestrationInstanceList,
            AnswerLimits.Orchestrations,
            cancellationToken
        );
        if (!reply.IsSuccess)
            return reply.Error;
        var token = response.Headers.TryGetValues(OrchestrationRoutes.ContinuationHeader, out var values) ? values.FirstOrDefault() : null;
        return new OrchestrationPage(reply.Value, string.IsNullOrEmpty(token) ? null : token);
    }

    private Task<Reply<Acknowledged>> ControlAsync(
        string instanceId,
        string operation,
        string? reason,
        CancellationToken cancellationToken
    ) =>
        CallAsync<Acknowledged>(
            HttpMethod.Post,
            $"{Instance(instanceId)}/{operation}{Query(("reason", reason))}",
            null,
            answer: null,
            cancellationToken
        );

    private Task<Reply<T>> CallAsync<T>(
        HttpMethod method,
        string route,
        byte[]? body,
        System.Text.Json.Serialization.Metadata.JsonTypeInfo<T>? answer,
        CancellationToken cancellationToken
    ) =>
        ExchangeAsync(
            method,
            new Uri(_orchestrations, route),
            body,
            null,
            (response, token) => ReadAsync(response, answer, AnswerLimits.Orchestrations, token),
            cancellationToken
        );
}
