using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Librarian.Durable;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.DurableTask;
using Microsoft.DurableTask.Client;
using Microsoft.Extensions.Options;
using DurableQuery = Microsoft.DurableTask.Client.OrchestrationQuery;
using DurableStatus = Microsoft.DurableTask.Client.OrchestrationRuntimeStatus;
using OrchestrationAlreadyExistsException = DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException;

namespace Librarian.Functions.Api;

/// <summary>
/// The HTTP management API of Durable Functions, at an address of its own because the Functions host owns <c>/runtime/webhooks</c>
/// (docs/spec/functions-host.md#management-api; docs/orchestrations.md). Entities and <c>makeprimary</c> do not exist here.
/// </summary>
[Tags("Orchestrations")]
[ReadsPath("functionName", "Name of an orchestrator; its case does not matter.")]
[ReadsPath("instanceId", "Id of an instance.")]
[ReadsPath("eventName", "Name of the event.")]
public sealed partial class OrchestrationFunctions(
    DatabaseDurableTaskClient client,
    RegisteredTasks tasks,
    IOptions<DurableTaskOptions> durable,
    IOptions<SiteOptions> site,
    TimeProvider time
)
{
    private const string Prefix = OrchestrationRoutes.Prefix;

    /// <summary>The refusals, as worded below and in <see cref="OrchestrationRequest"/>; each begins with a stable code.</summary>
    private static class Refusals
    {
        public const string NameInvalid = "NameInvalid: this cannot be the name of an orchestrator or event. Nothing was changed.";
        public const string OrchestratorUnknown = "OrchestratorUnknown: no orchestrator is named '{name}'. Nothing was started.";
        public const string InstanceIdInvalid = "InstanceIdInvalid: this cannot be the id of an instance.";
        public const string NewInstanceIdInvalid = "InstanceIdInvalid: this cannot be the id of a new instance. Nothing was started.";
        public const string InstanceNotFound = "InstanceNotFound: there is no orchestration instance '{id}'.";
        public const string InstanceActive = "InstanceActive: the instance '{id}' exists and has not ended. It runs on untouched.";
        public const string InstanceFinished = "InstanceFinished: the instance '{id}' is {status}.";
        public const string InstanceNotFinished = "InstanceNotFinished: the instance '{id}' is {status} and was left alone.";
        public const string NothingToPurge = "NothingToPurge: no finished instance fits. Nothing was removed.";
        public const string ParameterInvalid = "ParameterInvalid: {name} is '{value}'. Nothing was changed.";
        public const string ParameterMissing = "ParameterMissing: createdTimeFrom is required. Nothing was removed.";
        public const string ContinuationTokenInvalid =
            "ContinuationTokenInvalid: x-ms-continuation-token is not from an earlier page of this list.";
        public const string ContentTypeInvalid = "ContentTypeInvalid: an event's data is JSON. Nothing was sent.";
        public const string JsonInvalid = "JsonInvalid: {why} Nothing was changed.";
        public const string PayloadTooLarge = "PayloadTooLarge: {what}";
        public const string HubUnsupported = "HubUnsupported: {what}";
        public const string HubUnavailable = "HubUnavailable: {what}";
    }

    // Seconds to wait before asking again, as in Durable Functions.
    private const string RetryAfterStart = "10";
    private const string RetryAfterStatus = "5";

    /// <summary>Starts an orchestration. If both <c>timeout</c> and <c>pollingInterval</c> are given, waits for its end.</summary>
    [Function("DurableStart"), Requires(AuthLevel.Admin)]
    [ReadsJson("Its input; none is allowed.")]
    [ReadsQuery<double>(
        "timeout",
        "Seconds to wait for the end, together with `pollingInterval`; without both the answer comes at once. "
            + "Never more than 200 s are waited.",
        Most = 86400
    )]
    [ReadsQuery<double>("pollingInterval", "Seconds, at most `timeout`.", Most = 86400)]
    [Responds<OrchestrationLinks>(202, "Started; the addresses of the instance.")]
    [RespondsHeader(202, "Location", "Address of its status.")]
    [RespondsHeader(202, "Retry-After", "Seconds to wait before looking.")]
    [Responds<JsonElement>(200, "Waited to the end: the bare output, or the status of an instance that failed or was terminated.")]
    [Refuses<Failure>(
        400,
        Refusals.NameInvalid,
        Refusals.NewInstanceIdInvalid,
        Refusals.OrchestratorUnknown,
        Refusals.ParameterInvalid,
        Refusals.JsonInvalid
    )]
    [Refuses<Failure>(404, Refusals.InstanceNotFound)]
    [Refuses<Failure>(409, Refusals.InstanceActive)]
    [Refuses<Failure>(413, Refusals.PayloadTooLarge)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public async Task<IResult> StartAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + "orchestrators/{functionName}/{instanceId?}")]
            HttpRequest request,
        string functionName,
        string? instanceId,
        CancellationToken cancellationToken
    )
    {
        var read = new OrchestrationRequest(request);
        if (
            !read.TryName(functionName, OrchestrationRequest.SubjectSegment, out var name, out var refusal)
            || !read.TryNewInstanceId(instanceId, out var id, out refusal)
            || !read.TryWait(out var wait, out refusal)
        )
            return refusal;
        if (!tasks.Orchestrators.Contains(name))
        {
            return read.Refuse(
                StatusCodes.Status400BadRequest,
                $"OrchestratorUnknown: no orchestrator is named '{name}'. Nothing was started.",
                $"Known are {string.Join(", ", tasks.Orchestrators.Order(StringComparer.Ordinal))}."
            );
        }

        var (body, wrong) = await read.ReadJsonAsync(durable.Value.MaxPayloadBytes, cancellationToken);
        if (wrong is not null)
            return wrong;
        try
        {
            id = await client.ScheduleNewOrchestrationInstanceAsync(name, body, new StartOrchestrationOptions(id), cancellationToken);
        }
        catch (OrchestrationAlreadyExistsException)
        {
            return Active(read, id);
        }
        catch (PayloadTooLargeException e)
        {
            return read.Refuse(
                StatusCodes.Status413PayloadTooLarge,
                e.Message,
                "Nothing was started. Keep bulk data in the catalog and send its id."
            );
        }

        return await StartedAsync(request, read, id, wait, cancellationToken);
    }

    /// <summary>Shows an instance, with its history on request.</summary>
    [Function("DurableInstance"), Requires(AuthLevel.ReadOnly)]
    [ReadsQuery<bool>("showHistory", "Send `historyEvents`.", Default = false)]
    [ReadsQuery<bool>("showHistoryOutput", "Send results in the history.", Default = false)]
    [ReadsQuery<bool>("showInput", "Send inputs.", Default = true)]
    [ReadsQuery<bool>("returnInternalServerErrorOnFailure", "Answer 500 for a failed instance.", Default = false)]
    [Responds<OrchestrationInstance>(200, "It has ended.")]
    [Responds<OrchestrationInstance>(202, "It has not ended.")]
    [RespondsHeader(202, "Location", "The same address again.")]
    [RespondsHeader(202, "Retry-After", "Seconds to wait before looking again.")]
    [Refuses<Failure>(400, Refusals.InstanceIdInvalid, Refusals.ParameterInvalid)]
    [Refuses<Failure>(404, Refusals.InstanceNotFound)]
    [Responds<Either<OrchestrationInstance, Failure>>(500, "It failed, when the query asks for that status; or `Internal server error.`")]
    [Refuses<Failure>(501, Refusals.HubUnsupported)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public async Task<IResult> GetAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = Prefix + "instances/{instanceId}")] HttpRequest request,
        string instanceId,
        CancellationToken cancellationToken
    )
    {
        var read = new OrchestrationRequest(request);
        if (
            !read.TryInstanceId(instanceId, out var id, out var refusal)
            || !read.TrySwitch("showHistory", false, out var showHistory, out refusal)
            || !read.TrySwitch("showHistoryOutput", false, out var showOutput, out refusal)
            || !read.TrySwitch("showInput", true, out var showInput, out refusal)
            || !read.TrySwitch("returnInternalServerErrorOnFailure", false, out var failureIsError, out refusal)
        )
            return refusal;
        if (await client.GetInstanceAsync(id, getInputsAndOutputs: true, cancellationToken) is not { } instance)
            return read.NotFound(id);
        IReadOnlyList<OrchestrationHistoryRow>? history = null;
        if (showHistory)
        {
            try
            {
                history = OrchestrationHistory.Fold(await client.ReadHistoryAsync(id, cancellationToken), showInput, showOutput);
            }
            catch (ArgumentException)
            {
                // Purged since it was found above.
                return read.NotFound(id);
            }
        }

        var body = OrchestrationAnswers.Of(instance, showInput, history);
        if (!instance.IsCompleted)
        {
            request.HttpContext.Response.Headers.Location = Address(request.Path + request.QueryString.ToUriComponent());
            request.HttpContext.Response.Headers.RetryAfter = RetryAfterStatus;
            return Json(body, StatusCodes.Status202Accepted);
        }

        return Json(
            body,
            failureIsError && instance.RuntimeStatus == DurableStatus.Failed
                ? StatusCodes.Status500InternalServerError
                : StatusCodes.Status200OK
        );
    }

    /// <summary>Lists instances, oldest first.</summary>
    [Function("DurableInstances"), Requires(AuthLevel.ReadOnly)]
    [ReadsQuery<string>("instanceIdPrefix", "The id begins with this.")]
    [ReadsQuery<DateTimeOffset>("createdTimeFrom", "Created at or after.")]
    [ReadsQuery<DateTimeOffset>("createdTimeTo", "Created at or before.")]
    [ReadsQuery<OrchestrationState[]>("runtimeStatus", "In any of these; repeated or separated by commas.")]
    [ReadsQuery<bool>("showInput", "Send inputs.", Default = true)]
    [ReadsQuery<int>("top", "Instances per page.", Default = 100, Least = 1, Most = 1000)]
    [ReadsHeader(OrchestrationRoutes.ContinuationHeader, "Position given by the page before.")]
    [Responds<IReadOnlyList<OrchestrationInstance>>(200, "A page.")]
    [RespondsHeader(200, OrchestrationRoutes.ContinuationHeader, "Position of the next page; empty on the last.")]
    [Refuses<Failure>(400, Refusals.ParameterInvalid, Refusals.ContinuationTokenInvalid)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public async Task<IResult> ListAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = Prefix + "instances")] HttpRequest request,
        CancellationToken cancellationToken
    )
    {
        var read = new OrchestrationRequest(request);
        if (
            !read.TryText("instanceIdPrefix", out var prefix, out var refusal)
            || !read.TryTime("createdTimeFrom", out var from, out refusal)
            || !read.TryTime("createdTimeTo", out var to, out refusal)
            || !read.TryStatuses(out var statuses, out refusal)
            || !read.TrySwitch("showInput", true, out var showInput, out refusal)
            || !read.TryTop(out var top, out refusal)
        )
            return refusal;
        var query = new DurableQuery
        {
            InstanceIdPrefix = prefix,
            CreatedFrom = from,
            CreatedTo = to,
            Statuses = statuses,
            PageSize = top,
            FetchInputsAndOutputs = true,
            ContinuationToken = request.Headers[OrchestrationRoutes.ContinuationHeader].ToString() is { Length: > 0 } token ? token : null,
        };
        try
        {
            await foreach (var page in client.GetAllInstancesAsync(query).AsPages().WithCancellation(cancellationToken))
            {
                request.HttpContext.Response.Headers[OrchestrationRoutes.ContinuationHeader] = page.ContinuationToken ?? "";
                IReadOnlyList<OrchestrationInstance> rows =
                [
                    .. page.Values.Select(instance => OrchestrationAnswers.Of(instance, showInput, null)),
                ];
                return Results.Json(rows, OrchestrationJson.Wire.OrchestrationInstanceList);
            }
        }
        catch (FormatException)
        {
            return read.Refuse(
                StatusCodes.Status400BadRequest,
                $"ContinuationTokenInvalid: {OrchestrationRoutes.ContinuationHeader} is not from an earlier page of this list.",
                "Start again without the header."
            );
        }

        throw new InvalidOperationException("A query has at least one page.");
    }

    private static IResult Active(OrchestrationRequest read, string? id) =>
        read.Refuse(
            StatusCodes.Status409Conflict,
            $"InstanceActive: the instance '{id}' exists and has not ended. It runs on untouched.",
            "Wait for it, terminate it, or choose another id."
        );

    private static IResult Json(OrchestrationInstance body, int status) =>
        Results.Json(body, OrchestrationJson.Wire.OrchestrationInstance, statusCode: status);

    private async Task<(OrchestrationMetadata? Instance, IResult? Refusal)> FindActiveAsync(
        OrchestrationRequest read,
        string id,
        CancellationToken cancellationToken
    ) =>
        await client.GetInstanceAsync(id, cancellation: cancellationToken) is not { } instance ? (null, read.NotFound(id))
        : instance.IsCompleted ? (null, read.Finished(instance))
        : (instance, null);

    /// <summary>Answers a start with the addresses, or with the outcome if the instance ended within the wait.</summary>
    private async Task<IResult> StartedAsync(
        HttpRequest request,
        OrchestrationRequest read,
        string id,
        TimeSpan? wait,
        CancellationToken cancellationToken
    )
    {
        if (wait is { } timeout)
        {
            using var limit = new CancellationTokenSource(timeout, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
            try
            {
                var ended = await client.WaitForInstanceCompletionAsync(id, getInputsAndOutputs: true, either.Token);
                return ended.RuntimeStatus == DurableStatus.Completed
                    ? Results.Text(ended.SerializedOutput ?? "null", "application/json")
                    : Json(OrchestrationAnswers.Of(ended, showInput: true, null), StatusCodes.Status200OK);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // Not finished in time: answer with the addresses, as without a wait.
            }
            catch (ArgumentException)
            {
                return read.NotFound(id);
            }
        }

        var links = OrchestrationAnswers.Links(Address($"/{Prefix}"), id);
        request.HttpContext.Response.Headers.Location = links.StatusQueryGetUri;
        request.HttpContext.Response.Headers.RetryAfter = RetryAfterStart;
        return Results.Json(links, OrchestrationJson.Wire.OrchestrationLinks, statusCode: StatusCodes.Status202Accepted);
    }

    // Behind a Functions host a request does not carry the public scheme and host (docs/spec/functions-host.md#public-addresses), so
    // addresses are built from the setting.
    private string Address(string pathAndQuery) => site.Value.PublicBaseUrl.TrimEnd('/') + pathAndQuery;
}
