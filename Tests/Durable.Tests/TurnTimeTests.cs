using Librarian.Durable.Engine;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Logging.Abstractions;

namespace Librarian.Tests.Durable;

[Quick]
public class TurnTimeTests
{
    [Fact]
    public void Turn_ReadBeforeItsTimerWasDue_IsAtTheTimersTime()
    {
        List<DateTime> times = [];
        var execution = new OrchestrationExecution(
            new("i", 1, "waits", "", null, null),
            new Waits(times),
            new JsonDataConverter(),
            NullLoggerFactory.Instance,
            null
        );
        var timer = Assert.Single(execution.RunTurn(1_000, [new(EventKind.ExecutionStarted, -1, "waits", null, null, 0)]).Timers);

        // The clock was read, or set back to, one millisecond before the database found the timer due.
        var end = execution.RunTurn(timer.FireAt - 1, [new(EventKind.TimerFired, timer.TaskId, null, null, null, 0)]);

        Assert.NotNull(end.End);
        Assert.Equal(TimeSpan.FromMinutes(1), times[1] - times[0]);
        Assert.Equal(timer.FireAt, end.Events[0].At);
    }

    [Fact]
    public void Turn_OfATimerWhoseLengthTheCodeHasChanged_IsAtTheRecordedTime()
    {
        List<DateTime> times = [];
        var execution = new OrchestrationExecution(
            new("i", 1, "waits", "", null, null),
            new Waits(times),
            new JsonDataConverter(),
            NullLoggerFactory.Instance,
            null
        );
        // The code that was recorded waited five seconds.
        Assert.Null(
            execution.Replay([
                HistoryEvent.TurnStarted(1_000),
                new(EventKind.ExecutionStarted, -1, "waits", null, null, 1_000),
                new(EventKind.TimerCreated, 0, null, "6000", null, 1_000),
            ])
        );

        var end = execution.RunTurn(5_999, [new(EventKind.TimerFired, 0, null, null, null, 0)]);

        Assert.NotNull(end.End);
        Assert.Equal(6_000, end.Events[0].At);
    }

    private sealed class Waits(List<DateTime> times) : TaskOrchestrator<int, int>
    {
        public override async Task<int> RunAsync(TaskOrchestrationContext context, int input)
        {
            times.Add(context.CurrentUtcDateTime);
            await context.CreateTimer(TimeSpan.FromMinutes(1), CancellationToken.None);
            times.Add(context.CurrentUtcDateTime);
            return 0;
        }
    }
}
