using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Durable;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.DurableTask.Client;
using DurableStatus = Microsoft.DurableTask.Client.OrchestrationRuntimeStatus;
using OrchestrationAlreadyExistsException = DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException;

namespace Librarian.Functions.Api;

public sealed partial class OrchestrationFunctions
{
    // A purge must answer before the Functions host's timeout; a caller with more to remove repeats it.
    private static readonly TimeSpan LongestPurge = TimeSpan.FromSeconds(100);

    /// <summary>Removes a finished instance and its history.</summary>
    [Function("DurablePurge"), Requires(AuthLevel.Admin)]
    [Responds<OrchestrationsPurged>(200, "It is gone.")]
    [Refuses<Failure>(400, Refusals.InstanceIdInvalid)]
    [Refuses<Failure>(404, Refusals.InstanceNotFound, Refusals.InstanceNotFinished)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public async Task<IResult> PurgeAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "delete", Route = Prefix + "instances/{instanceId}")] HttpRequest request,
        string instanceId,
        CancellationToken cancellationToken
    )
    {
        var read = new OrchestrationRequest(request);
        if (!read.TryInstanceId(instanceId, out var id, out var refusal))
            return refusal;
        var purged = await client.PurgeInstanceAsync(id, cancellation: cancellationToken);
        if (purged.PurgedInstanceCount > 0)
            return Results.Json(new OrchestrationsPurged(purged.PurgedInstanceCount), OrchestrationJson.Wire.OrchestrationsPurged);
        return await client.GetInstanceAsync(id, cancellation: cancellationToken) is { } active
            ? read.Refuse(
                StatusCodes.Status404NotFound,
                $"InstanceNotFinished: the instance '{id}' is {active.RuntimeStatus} and was left alone.",
                "Only finished instances are purged. Wait for it, or terminate it first."
            )
            : read.NotFound(id);
    }

    /// <summary>Removes finished instances by creation time.</summary>
    [Function("DurablePurgeMany"), Requires(AuthLevel.Admin)]
    [ReadsQuery<DateTimeOffset>("createdTimeFrom", "Created at or after.", Required = true)]
    [ReadsQuery<DateTimeOffset>("createdTimeTo", "Created at or before.")]
    [ReadsQuery<OrchestrationState[]>("runtimeStatus", "In any of these; repeated or separated by commas.")]
    [Responds<OrchestrationsPurged>(200, "They are gone.")]
    [Refuses<Failure>(400, Refusals.ParameterMissing, Refusals.ParameterInvalid)]
    [Refuses<Failure>(404, Refusals.NothingToPurge)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public async Task<IResult> PurgeManyAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "delete", Route = Prefix + "instances")] HttpRequest request,
        CancellationToken cancellationToken
    )
    {
        var read = new OrchestrationRequest(request);
        if (
            !read.TryTime("createdTimeFrom", out var from, out var refusal)
            || !read.TryTime("createdTimeTo", out var to, out refusal)
            || !read.TryStatuses(out var statuses, out refusal)
        )
            return refusal;
        if (from is null)
            return read.Refuse(
                StatusCodes.Status400BadRequest,
                "ParameterMissing: createdTimeFrom is required. Nothing was removed.",
                "Give the creation time from which to purge, such as 2026-01-01T00:00:00Z."
            );
        var result = await client.PurgeAllInstancesAsync(
            new PurgeInstancesFilter(from, to, statuses) { Timeout = LongestPurge },
            cancellationToken
        );
        return result.PurgedInstanceCount > 0
            ? Results.Json(new OrchestrationsPurged(result.PurgedInstanceCount), OrchestrationJson.Wire.OrchestrationsPurged)
            : read.Refuse(
                StatusCodes.Status404NotFound,
                "NothingToPurge: no finished instance fits. Nothing was removed.",
                "Widen the times or the statuses if there should be one."
            );
    }

    /// <summary>Terminates an instance. The reason becomes its output.</summary>
    [Function("DurableTerminate"), Requires(AuthLevel.Admin)]
    [ReadsQuery<string>("reason", "Why, for people.")]
    [Responds(202, "Recorded.")]
    [Refuses<Failure>(400, Refusals.InstanceIdInvalid, Refusals.ParameterInvalid)]
    [Refuses<Failure>(404, Refusals.InstanceNotFound)]
    [Refuses<Failure>(410, Refusals.InstanceFinished)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public Task<IResult> TerminateAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + "instances/{instanceId}/terminate")] HttpRequest request,
        string instanceId,
        CancellationToken cancellationToken
    ) =>
        ControlAsync(
            request,
            instanceId,
            (id, reason) => client.TerminateInstanceAsync(id, (object?)reason, cancellationToken),
            cancellationToken
        );

    /// <summary>Suspends an instance until it is resumed.</summary>
    [Function("DurableSuspend"), Requires(AuthLevel.Admin)]
    [ReadsQuery<string>("reason", "Why, for people.")]
    [Responds(202, "Recorded.")]
    [Refuses<Failure>(400, Refusals.InstanceIdInvalid, Refusals.ParameterInvalid)]
    [Refuses<Failure>(404, Refusals.InstanceNotFound)]
    [Refuses<Failure>(410, Refusals.InstanceFinished)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public Task<IResult> SuspendAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + "instances/{instanceId}/suspend")] HttpRequest request,
        string instanceId,
        CancellationToken cancellationToken
    ) => ControlAsync(request, instanceId, (id, reason) => client.SuspendInstanceAsync(id, reason, cancellationToken), cancellationToken);

    /// <summary>Resumes a suspended instance.</summary>
    [Function("DurableResume"), Requires(AuthLevel.Admin)]
    [ReadsQuery<string>("reason", "Why, for people.")]
    [Responds(202, "Recorded.")]
    [Refuses<Failure>(400, Refusals.InstanceIdInvalid, Refusals.ParameterInvalid)]
    [Refuses<Failure>(404, Refusals.InstanceNotFound)]
    [Refuses<Failure>(410, Refusals.InstanceFinished)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public Task<IResult> ResumeAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + "instances/{instanceId}/resume")] HttpRequest request,
        string instanceId,
        CancellationToken cancellationToken
    ) => ControlAsync(request, instanceId, (id, reason) => client.ResumeInstanceAsync(id, reason, cancellationToken), cancellationToken);

    /// <summary>Rewinds a failed instance: repeats what failed and keeps what succeeded.</summary>
    [Function("DurableRewind"), Requires(AuthLevel.Admin)]
    [ReadsQuery<string>("reason", "Why, for people.")]
    [Responds(202, "Recorded; what failed is repeated.")]
    [Refuses<Failure>(400, Refusals.InstanceIdInvalid, Refusals.ParameterInvalid)]
    [Refuses<Failure>(404, Refusals.InstanceNotFound)]
    [Refuses<Failure>(409, "{what}")]
    [Refuses<Failure>(410, Refusals.InstanceFinished)]
    [Refuses<Failure>(501, Refusals.HubUnsupported)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public async Task<IResult> RewindAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + "instances/{instanceId}/rewind")] HttpRequest request,
        string instanceId,
        CancellationToken cancellationToken
    )
    {
        var read = new OrchestrationRequest(request);
        if (!read.TryInstanceId(instanceId, out var id, out var refusal) || !read.TryText("reason", out var reason, out refusal))
            return refusal;
        try
        {
            await client.RewindInstanceAsync(id, reason ?? "", cancellationToken);
            return Results.StatusCode(StatusCodes.Status202Accepted);
        }
        catch (ArgumentException)
        {
            return read.NotFound(id);
        }
        catch (InvalidOperationException e)
        {
            if (await client.GetInstanceAsync(id, cancellation: cancellationToken) is not { } instance)
                return read.NotFound(id);
            return instance.RuntimeStatus is DurableStatus.Completed or DurableStatus.Terminated
                ? read.Finished(instance)
                : read.Refuse(
                    StatusCodes.Status409Conflict,
                    e.Message,
                    "Only failed instances can be rewound. Wait for it, or terminate and restart it."
                );
        }
    }

    /// <summary>
    /// Starts an instance again with its old input. The new run has a new id unless <c>restartWithNewInstanceId</c> is false.
    /// </summary>
    [Function("DurableRestart"), Requires(AuthLevel.Admin)]
    [ReadsQuery<bool>("restartWithNewInstanceId", "Whether to take a new id.", Default = true)]
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
    [Refuses<Failure>(400, Refusals.InstanceIdInvalid, Refusals.InstanceNotFound, Refusals.ParameterInvalid)]
    [Refuses<Failure>(404, Refusals.InstanceNotFound)]
    [Refuses<Failure>(409, Refusals.InstanceActive)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public async Task<IResult> RestartAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + "instances/{instanceId}/restart")] HttpRequest request,
        string instanceId,
        CancellationToken cancellationToken
    )
    {
        var read = new OrchestrationRequest(request);
        if (
            !read.TryInstanceId(instanceId, out var id, out var refusal)
            || !read.TrySwitch("restartWithNewInstanceId", true, out var withNewId, out refusal)
            || !read.TryWait(out var wait, out refusal)
        )
            return refusal;
        string started;
        try
        {
            started = await client.RestartAsync(id, withNewId, cancellationToken);
        }
        catch (ArgumentException)
        {
            // Durable Functions answers 400 here, not 404.
            return read.NotFound(id, StatusCodes.Status400BadRequest);
        }
        catch (OrchestrationAlreadyExistsException)
        {
            return Active(read, id);
        }

        return await StartedAsync(request, read, started, wait, cancellationToken);
    }

    private async Task<IResult> ControlAsync(
        HttpRequest request,
        string instanceId,
        Func<string, string?, Task> act,
        CancellationToken cancellationToken
    )
    {
        var read = new OrchestrationRequest(request);
        if (!read.TryInstanceId(instanceId, out var id, out var refusal) || !read.TryText("reason", out var reason, out refusal))
            return refusal;
        var (instance, refused) = await FindActiveAsync(read, id, cancellationToken);
        if (instance is null)
            return refused!;
        // An instance that ends before the message arrives keeps its outcome; the request came too late in any case.
        await act(id, reason);
        return Results.StatusCode(StatusCodes.Status202Accepted);
    }

    /// <summary>Sends an event to an instance. The body is the event's data.</summary>
    [Function("DurableRaiseEvent"), Requires(AuthLevel.Admin)]
    [ReadsJson("The event's data, any JSON.")]
    [Responds(202, "The event is recorded.")]
    [Refuses<Failure>(400, Refusals.InstanceIdInvalid, Refusals.NameInvalid, Refusals.ContentTypeInvalid, Refusals.JsonInvalid)]
    [Refuses<Failure>(404, Refusals.InstanceNotFound)]
    [Refuses<Failure>(410, Refusals.InstanceFinished)]
    [Refuses<Failure>(413, Refusals.PayloadTooLarge)]
    [Refuses<Failure>(503, Refusals.HubUnavailable)]
    public async Task<IResult> RaiseEventAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + "instances/{instanceId}/raiseEvent/{eventName}")]
            HttpRequest request,
        string instanceId,
        string eventName,
        CancellationToken cancellationToken
    )
    {
        var read = new OrchestrationRequest(request);
        if (
            !read.TryInstanceId(instanceId, out var id, out var refusal)
            || !read.TryName(eventName, OrchestrationRequest.SubjectSegment + 2, out var name, out refusal)
        )
            return refusal;
        if (!request.HasJsonContentType())
            return read.Refuse(
                StatusCodes.Status400BadRequest,
                "ContentTypeInvalid: an event's data is JSON. Nothing was sent.",
                "Set Content-Type: application/json."
            );
        var (body, wrong) = await read.ReadJsonAsync(durable.Value.MaxPayloadBytes, cancellationToken);
        if (wrong is not null)
            return wrong;
        var (instance, refused) = await FindActiveAsync(read, id, cancellationToken);
        if (instance is null)
            return refused!;
        try
        {
            // False: the instance ended or was purged after it was found.
            if (await client.RaiseEventAsync(id, name, body, messageId: null, transaction: null, cancellationToken))
                return Results.StatusCode(StatusCodes.Status202Accepted);
        }
        catch (PayloadTooLargeException e)
        {
            return read.Refuse(
                StatusCodes.Status413PayloadTooLarge,
                e.Message,
                "Nothing was sent. Keep bulk data in the catalog and send its id."
            );
        }

        return (await FindActiveAsync(read, id, cancellationToken)).Refusal ?? read.NotFound(id);
    }
}
