using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Engine;

/// <summary>The context that orchestrators get: adds checks, serialization and retries to <see cref="OrchestrationExecution"/>.</summary>
internal sealed class OrchestrationContext(OrchestrationExecution execution, DataConverter converter, ILoggerFactory loggerFactory)
    : TaskOrchestrationContext
{
    private static readonly Guid NewGuidNamespace = new("9e952958-5e33-4daf-827f-2fa12937b875");
    private DateTime _now;
    private int _guids;

    public override TaskName Name => execution.Identity.Name;

    public override string InstanceId => execution.Identity.InstanceId;

    public override string Version => execution.Identity.Version;

    public override ParentOrchestrationInstance? Parent =>
        execution.Identity.ParentId is { } parent ? new(execution.Identity.ParentName ?? "", parent) : null;

    public override DateTime CurrentUtcDateTime => _now;

    public override bool IsReplaying => execution.IsReplaying;

    protected override ILoggerFactory LoggerFactory { get; } = loggerFactory;

    public void StartTurn(long now) => _now = DateTime.UnixEpoch.AddMilliseconds(now);

    public string? Serialize(object? value) => converter.Serialize(value);

    public override T? GetInput<T>()
        where T : default => converter.Deserialize<T>(execution.Input);

    public override async Task<TResult> CallActivityAsync<TResult>(TaskName name, object? input = null, TaskOptions? options = null)
    {
        execution.Pump.Guard();
        var data = Serialize(input);
        var queue = (options as ActivityOptions)?.Queue ?? "";
        var version = options?.Version is { } asked ? asked.Version : Version;
        var result = options?.Retry is { } retry
            ? await WithRetryAsync(retry, () => execution.ScheduleTask(name, data, queue, version))
            : await execution.ScheduleTask(name, data, queue, version);
        return converter.Deserialize<TResult>(result)!;
    }

    public override async Task<TResult> CallSubOrchestratorAsync<TResult>(
        TaskName orchestratorName,
        object? input = null,
        TaskOptions? options = null
    )
    {
        execution.Pump.Guard();
        var child = options as SubOrchestrationOptions;
        var data = Serialize(input);
        var version = (child?.Version ?? options?.Version) is { } asked ? asked.Version : Version;
        Task<string?> Attempt() => execution.ScheduleChild(orchestratorName, child?.InstanceId ?? NewGuid().ToString("N"), data, version);
        var result = options?.Retry is { } retry ? await WithRetryAsync(retry, Attempt) : await Attempt();
        return converter.Deserialize<TResult>(result)!;
    }

    public override Task CreateTimer(DateTime fireAt, CancellationToken cancellationToken)
    {
        execution.Pump.Guard();
        var utc = fireAt.Kind == DateTimeKind.Local ? fireAt.ToUniversalTime() : fireAt;
        // Rounded up, so that a timer never fires before its time.
        return execution.CreateTimer((long)Math.Ceiling((utc - DateTime.UnixEpoch).TotalMilliseconds), cancellationToken);
    }

    public override async Task<T> WaitForExternalEvent<T>(string eventName, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(eventName);
        execution.Pump.Guard();
        return converter.Deserialize<T>(await execution.WaitForEvent(eventName, cancellationToken))!;
    }

    public override void SendEvent(string instanceId, string eventName, object? payload)
    {
        ArgumentException.ThrowIfNullOrEmpty(instanceId);
        ArgumentException.ThrowIfNullOrEmpty(eventName);
        execution.Pump.Guard();
        execution.SendEvent(instanceId, eventName, Serialize(payload));
    }

    public override void SetCustomStatus(object? customStatus)
    {
        execution.Pump.Guard();
        execution.CustomStatus = Serialize(customStatus);
    }

    public override int CompareVersionTo(string version) => VersionOrder.Compare(Version, version);

    public override void ContinueAsNew(object? newInput = null, bool preserveUnprocessedEvents = true) =>
        ContinueAsNew(new ContinueAsNewOptions { NewInput = newInput, PreserveUnprocessedEvents = preserveUnprocessedEvents });

    public override void ContinueAsNew(ContinueAsNewOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        execution.Pump.Guard();
        execution.ContinueAsNew(Serialize(options.NewInput), options.PreserveUnprocessedEvents, options.NewVersion);
    }

    public override Guid NewGuid()
    {
        execution.Pump.Guard();
        return NameBasedGuid(NewGuidNamespace, string.Create(CultureInfo.InvariantCulture, $"{InstanceId}_{_now:o}_{_guids++}"));
    }

    /// <summary>Makes a UUID version 5 (RFC 9562 §5.5).</summary>
    internal static Guid NameBasedGuid(Guid space, string name)
    {
        var text = Encoding.UTF8.GetBytes(name);
        var input = new byte[16 + text.Length];
        space.TryWriteBytes(input, bigEndian: true, out _);
        text.CopyTo(input, 16);
        Span<byte> hash = stackalloc byte[20];
#pragma warning disable CA5350 // UUIDv5 is defined with SHA-1; no secret depends on it.
        SHA1.HashData(input, hash);
#pragma warning restore CA5350
        hash[6] = (byte)((hash[6] & 0x0F) | 0x50);
        hash[8] = (byte)((hash[8] & 0x3F) | 0x80);
        return new Guid(hash[..16], bigEndian: true);
    }

    private static TimeSpan DelayAfter(RetryPolicy policy, int attempt)
    {
        var milliseconds = policy.FirstRetryInterval.TotalMilliseconds * Math.Pow(policy.BackoffCoefficient, attempt - 1);
        return milliseconds >= policy.MaxRetryInterval.TotalMilliseconds
            ? policy.MaxRetryInterval
            : TimeSpan.FromMilliseconds(milliseconds);
    }

    private async Task<string?> WithRetryAsync(TaskRetryOptions retry, Func<Task<string?>> attempt)
    {
        var first = CurrentUtcDateTime;
        for (var number = 1; ; number++)
        {
            try
            {
                return await attempt();
            }
            catch (TaskFailedException failure) when (!EngineFailure.IsFinal(failure.FailureDetails))
            {
                if (retry.Policy is { } policy)
                {
                    var elapsed = CurrentUtcDateTime - first;
                    if (
                        number >= policy.MaxNumberOfAttempts
                        || policy.Handle?.Invoke(EngineFailure.ForPolicy(failure)) == false
                        || (policy.RetryTimeout != Timeout.InfiniteTimeSpan && elapsed >= policy.RetryTimeout)
                    )
                        throw;
                    await CreateTimer(DelayAfter(policy, number), CancellationToken.None);
                }
                else if (
                    !await retry.Handler!(new(this, number, failure.FailureDetails, CurrentUtcDateTime - first, CancellationToken.None))
                )
                {
                    throw;
                }
            }
        }
    }
}
