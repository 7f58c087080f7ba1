using System.Globalization;
using Librarian.Client.Wire;

namespace Librarian.Client;

/// <summary>The management API for orchestrations, one method per route (docs/orchestrations.md).</summary>
public sealed partial class LibrarianClient
{
    /// <summary>Starts an orchestration; an active instance of that id is a 409.</summary>
    /// <param name="name">Name of the orchestrator.</param>
    /// <param name="instanceId">Id to give it; null: the site makes one.</param>
    /// <param name="input">JSON text of its input; null: none.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Addresses of the new instance.</returns>
    public Task<Reply<OrchestrationLinks>> StartOrchestrationAsync(string name, string? instanceId = null, ReadOnlyMemory<byte>? input = null, CancellationToken cancellationToken = default) =>
        CallAsync(HttpMethod.Post, $"{OrchestrationRoutes.Orchestrators}/{Segment(name)}" + (instanceId is null ? "" : "/" + Segment(instanceId)), input?.ToArray(),
            OrchestrationJson.Wire.OrchestrationLinks, cancellationToken);

    /// <summary>Shows an instance; an unknown one is a 404.</summary>
    /// <param name="instanceId">Instance.</param>
    /// <param name="showHistory">Whether to send what happened.</param>
    /// <param name="showHistoryOutput">Whether to send results with it.</param>
    /// <param name="showInput">Whether to send inputs.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The instance.</returns>
    public Task<Reply<OrchestrationInstance>> GetOrchestrationAsync(string instanceId, bool showHistory = false, bool showHistoryOutput = false, bool showInput = true, CancellationToken cancellationToken = default) =>
        CallAsync(HttpMethod.Get, Instance(instanceId) + Query(("showHistory", Text(showHistory)), ("showHistoryOutput", Text(showHistoryOutput)), ("showInput", Text(showInput))), null,
            OrchestrationJson.Wire.OrchestrationInstance, cancellationToken);

    /// <summary>Lists instances, a page at a time.</summary>
    /// <param name="query">Which.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>A page.</returns>
    public Task<Reply<OrchestrationPage>> ListOrchestrationsAsync(OrchestrationQuery query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        var route = OrchestrationRoutes.Instances + Query(
            ("instanceIdPrefix", query.InstanceIdPrefix),
            ("createdTimeFrom", Text(query.CreatedTimeFrom)),
            ("createdTimeTo", Text(query.CreatedTimeTo)),
            ("runtimeStatus", query.RuntimeStatus is { Count: > 0 } states ? string.Join(',', states) : null),
            ("showInput", Text(query.ShowInput)),
            ("top", query.Top?.ToString(CultureInfo.InvariantCulture)));
        return ExchangeAsync(HttpMethod.Get, new Uri(_orchestrations, route), null, query.ContinuationToken is { } token ? (OrchestrationRoutes.ContinuationHeader, token) : null, ReadPageAsync, cancellationToken);
    }

    /// <summary>Removes a finished instance; an unknown or unfinished one is a 404.</summary>
    /// <param name="instanceId">Instance.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>How many were removed.</returns>
    public Task<Reply<OrchestrationsPurged>> PurgeOrchestrationAsync(string instanceId, CancellationToken cancellationToken = default) =>
        CallAsync(HttpMethod.Delete, Instance(instanceId), null, OrchestrationJson.Wire.OrchestrationsPurged, cancellationToken);

    /// <summary>Removes finished instances; none is a 404.</summary>
    /// <param name="createdTimeFrom">Created at or after.</param>
    /// <param name="createdTimeTo">Created at or before; null: no limit.</param>
    /// <param name="runtimeStatus">In any of these statuses; null: any final one.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>How many were removed.</returns>
    public Task<Reply<OrchestrationsPurged>> PurgeOrchestrationsAsync(DateTimeOffset createdTimeFrom, DateTimeOffset? createdTimeTo = null, IReadOnlyList<OrchestrationState>? runtimeStatus = null, CancellationToken cancellationToken = default) =>
        CallAsync(HttpMethod.Delete, OrchestrationRoutes.Instances + Query(
            ("createdTimeFrom", Text(createdTimeFrom)),
            ("createdTimeTo", Text(createdTimeTo)),
            ("runtimeStatus", runtimeStatus is { Count: > 0 } ? string.Join(',', runtimeStatus) : null)), null, OrchestrationJson.Wire.OrchestrationsPurged, cancellationToken);

    /// <summary>Raises an event; an unknown instance is a 404, a finished one a 410.</summary>
    /// <param name="instanceId">Instance.</param>
    /// <param name="eventName">Name of the event.</param>
    /// <param name="data">JSON text of its data; null: none.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> RaiseOrchestrationEventAsync(string instanceId, string eventName, ReadOnlyMemory<byte>? data = null, CancellationToken cancellationToken = default) =>
        CallAsync<Acknowledged>(HttpMethod.Post, $"{Instance(instanceId)}/raiseEvent/{Segment(eventName)}", data?.ToArray(), answer: null, cancellationToken);

    /// <summary>Asks to end an instance; an unknown one is a 404, a finished one a 410.</summary>
    /// <param name="instanceId">Instance.</param>
    /// <param name="reason">Becomes its output.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> TerminateOrchestrationAsync(string instanceId, string? reason = null, CancellationToken cancellationToken = default) =>
        ControlAsync(instanceId, "terminate", reason, cancellationToken);

    /// <summary>Asks to stop an instance for now; an unknown one is a 404, a finished one a 410.</summary>
    /// <param name="instanceId">Instance.</param>
    /// <param name="reason">For the record.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> SuspendOrchestrationAsync(string instanceId, string? reason = null, CancellationToken cancellationToken = default) =>
        ControlAsync(instanceId, "suspend", reason, cancellationToken);

    /// <summary>Lets a suspended instance go on; an unknown one is a 404, a finished one a 410.</summary>
    /// <param name="instanceId">Instance.</param>
    /// <param name="reason">For the record.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> ResumeOrchestrationAsync(string instanceId, string? reason = null, CancellationToken cancellationToken = default) =>
        ControlAsync(instanceId, "resume", reason, cancellationToken);

    /// <summary>Repeats what failed in a failed instance; an unknown one is a 404, a running one a 409, one finished otherwise a 410.</summary>
    /// <param name="instanceId">Instance.</param>
    /// <param name="reason">For the record.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The acknowledgement.</returns>
    public Task<Reply<Acknowledged>> RewindOrchestrationAsync(string instanceId, string? reason = null, CancellationToken cancellationToken = default) =>
        ControlAsync(instanceId, "rewind", reason, cancellationToken);

    /// <summary>Starts an instance again with its old input; an unknown one is a 400, an active one under its own id a 409.</summary>
    /// <param name="instanceId">Instance.</param>
    /// <param name="restartWithNewInstanceId">Whether to start a new instance beside the old one instead of replacing it.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Addresses of the instance that was started.</returns>
    public Task<Reply<OrchestrationLinks>> RestartOrchestrationAsync(string instanceId, bool restartWithNewInstanceId = true, CancellationToken cancellationToken = default) =>
        CallAsync(HttpMethod.Post, $"{Instance(instanceId)}/restart{Query(("restartWithNewInstanceId", Text(restartWithNewInstanceId)))}", null, OrchestrationJson.Wire.OrchestrationLinks, cancellationToken);

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
        var reply = await ReadAsync(response, OrchestrationJson.Wire.OrchestrationInstanceList, cancellationToken);
        if (!reply.IsSuccess)
            return reply.Error;
        var token = response.Headers.TryGetValues(OrchestrationRoutes.ContinuationHeader, out var values) ? values.FirstOrDefault() : null;
        return new OrchestrationPage(reply.Value, string.IsNullOrEmpty(token) ? null : token);
    }

    private Task<Reply<Acknowledged>> ControlAsync(string instanceId, string operation, string? reason, CancellationToken cancellationToken) =>
        CallAsync<Acknowledged>(HttpMethod.Post, $"{Instance(instanceId)}/{operation}{Query(("reason", reason))}", null, answer: null, cancellationToken);

    private Task<Reply<T>> CallAsync<T>(HttpMethod method, string route, byte[]? body, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T>? answer, CancellationToken cancellationToken) =>
        ExchangeAsync(method, new Uri(_orchestrations, route), body, null, (response, token) => ReadAsync(response, answer, token), cancellationToken);
}
