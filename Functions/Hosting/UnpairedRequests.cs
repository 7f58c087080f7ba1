using Microsoft.Azure.Functions.Worker.Middleware;

namespace Librarian.Functions.Hosting;

/// <summary>
/// Answers a request whose call by the host comes too late, or the other way round. A host sends each request twice, as a call over its
/// stream and as HTTP. Microsoft's coordinator pairs the two and gives up after 5 s and 15 s, which a frozen or starved machine exceeds
/// (docs/spec/functions-host.md#pairing-time-limits). It then ends one of the two only: the client gets an empty 500, or no answer at
/// all. In both cases the function has not run and never will, so the client is asked to try again.
/// </summary>
public sealed class UnpairedRequests(ILogger<UnpairedRequests> logger) : IFunctionsWorkerMiddleware, IStartupFilter
{
    /// <summary>The reason in the answer.</summary>
    public const string Reason =
        "The machine of the site is too busy, or was stopped for a while: the request did not reach its function in time.";

    private const string InvocationHeader = "x-ms-invocation-id";

    // The other half of a pair arrives within seconds or, when the connection to the host is gone, never.
    private const int MostAbandoned = 1_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, CancellationTokenSource> _requests = new(StringComparer.Ordinal);
    private readonly HashSet<string> _abandoned = new(StringComparer.Ordinal);
    private readonly Queue<string> _oldestAbandoned = new();

    /// <summary>Puts <see cref="AnswerAsync"/> before Microsoft's part of the HTTP pipeline.</summary>
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) =>
        app =>
        {
            app.Use(AnswerAsync);
            next(app);
        };

    /// <summary>The call; it runs before Microsoft's middleware, which waits for the request.</summary>
    public async Task Invoke(FunctionContext context, FunctionExecutionDelegate next)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(next);
        if (IsAbandoned(context.InvocationId))
            return;
        try
        {
            await next(context);
        }
        catch (Exception exception) when (exception is TimeoutException or OperationCanceledException && context.GetHttpContext() is null)
        {
            Abandon(context.InvocationId);
            throw;
        }
    }

    private async Task AnswerAsync(HttpContext http, RequestDelegate next)
    {
        if (http.Request.Headers[InvocationHeader] is not [{ Length: > 0 } invocation])
        {
            await next(http);
            return;
        }

        var client = http.RequestAborted;
        using var abandoned = CancellationTokenSource.CreateLinkedTokenSource(client);
        http.RequestAborted = abandoned.Token;
        try
        {
            if (!TryEnter(invocation, abandoned))
                throw new TimeoutException("The call ended before its request arrived.");
            await next(http);
        }
        catch (Exception exception)
            when (exception is TimeoutException or OperationCanceledException
                && !client.IsCancellationRequested
                && !http.Response.HasStarted
            )
        {
            // A function's own exceptions end in the site's pipeline, so this one comes from the coordinator.
            Abandon(invocation);
            Logs.RequestNotPaired(logger, http.Request.Path, exception.Message);
            http.RequestAborted = client;
            await SiteInvocations.DeferAsync(http, Reason);
        }
        finally
        {
            http.RequestAborted = client;
            lock (_lock)
                _requests.Remove(invocation);
        }
    }

    private bool TryEnter(string invocation, CancellationTokenSource request)
    {
        lock (_lock)
        {
            if (_abandoned.Contains(invocation))
                return false;
            _requests[invocation] = request;
            return true;
        }
    }

    private bool IsAbandoned(string invocation)
    {
        lock (_lock)
            return _abandoned.Contains(invocation);
    }

    private void Abandon(string invocation)
    {
        CancellationTokenSource? request;
        lock (_lock)
        {
            if (!_abandoned.Add(invocation))
                return;
            _oldestAbandoned.Enqueue(invocation);
            if (_oldestAbandoned.Count > MostAbandoned)
                _abandoned.Remove(_oldestAbandoned.Dequeue());
            _requests.Remove(invocation, out request);
        }

        try
        {
            request?.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The request has ended meanwhile.
        }
    }
}
