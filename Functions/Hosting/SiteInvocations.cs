using Librarian.Client.Wire;
using Microsoft.Azure.Functions.Worker.Middleware;

namespace Librarian.Functions.Hosting;

/// <summary>
/// Handles the calls of a Functions host. A request runs through the site's own pipeline instead of the worker's parameter binding; a timer
/// of the host wakes <see cref="TimerLoop"/>, which checks whether the function is due. Before the site has started and while it stops,
/// requests are put off with a 503; the stop waits for those that run.
/// </summary>
public sealed class SiteInvocations : IFunctionsWorkerMiddleware, IHostedService
{
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly RequestDelegate _answer;
    private readonly TimerLoop _timers;
    private readonly ILogger _logger;
    private bool _open;
    private bool _closed;
    private int _running;

    /// <param name="services">The site's services.</param>
    /// <param name="useSite">Adds the site's pipeline.</param>
    /// <param name="timers">The timer functions.</param>
    /// <param name="logger">Receives failures that come after an answer has begun.</param>
    public SiteInvocations(
        IServiceProvider services,
        Action<IApplicationBuilder> useSite,
        TimerLoop timers,
        ILogger<SiteInvocations> logger
    )
    {
        ArgumentNullException.ThrowIfNull(useSite);
        var app = new ApplicationBuilder(services);
        useSite(app);
        _answer = app.Build();
        _timers = timers;
        _logger = logger;
    }

    /// <inheritdoc/>
    public async Task Invoke(FunctionContext context, FunctionExecutionDelegate next)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (context.GetHttpContext() is not { } http)
        {
            _timers.Wake(context.FunctionDefinition.Name);
            return;
        }

        if (!TryEnter())
        {
            await DeferAsync(http, "The site is starting or stopping.");
            return;
        }

        try
        {
            // The worker has chosen an endpoint of its own, and the site's routing would keep it.
            http.SetEndpoint(null);
            http.Request.RouteValues.Clear();
            await _answer(http);
        }
        catch (Exception exception)
        {
            // The answer had begun. Abort, as Kestrel does, so that no reader takes it for complete; the worker would never end the
            // request.
            Logs.AnswerBroken(_logger, exception, http.Request.Path);
            http.Abort();
        }
        finally
        {
            Leave();
        }
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
            _open = true;
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            (_open, _closed) = (false, true);
            if (_running == 0)
                _drained.TrySetResult();
        }

        await _drained.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Answers a request that no function has seen; the client is to send it again.</summary>
    public static Task DeferAsync(HttpContext http, string reason)
    {
        http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        http.Response.Headers.RetryAfter = "2";
        return http.Response.WriteAsJsonAsync(
            new Failure(reason, "Nothing was done. Try again in a moment."),
            WireJson.Wire.Failure,
            cancellationToken: http.RequestAborted
        );
    }

    private bool TryEnter()
    {
        lock (_lock)
        {
            if (_open)
                _running++;
            return _open;
        }
    }

    private void Leave()
    {
        lock (_lock)
        {
            if (--_running == 0 && _closed)
                _drained.TrySetResult();
        }
    }
}
