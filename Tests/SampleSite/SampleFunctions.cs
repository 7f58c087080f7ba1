using Microsoft.AspNetCore.Mvc;

namespace Librarian.Tests.SampleSite;

public sealed record PingRequest(string Name, int Times);

public sealed record PingResponse(string Greeting);

public sealed class PingFunctions(TickCounter counter)
{
    [Function("Ping")]
    public IResult Ping([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = "api/v2/ping")] HttpRequest request, [FromBody] PingRequest body) =>
        Results.Ok(new PingResponse($"{body.Name} x{body.Times} via {request.Method}"));

    [Function("Ticks")]
    public int Ticks([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = "api/v2/ticks")] HttpRequest request) => counter.Ticks;
}

public sealed class TickFunctions(TickCounter counter)
{
    [Function("Tick")]
    public Task Tick([TimerTrigger("%Schedules:Tick%", RunOnStartup = true)] TimerInfo timer, CancellationToken cancellationToken)
    {
        counter.Add();
        return Task.CompletedTask;
    }
}
