using System.Data.Common;
using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

/// <summary>Calls the code of an activity with its input and its context, and makes a result of what it returns.</summary>
internal sealed class ActivityInvoker(DataConverter converter, TurnTriggers triggers, ProgressReports reports)
{
    public Task<ActivityResult> InvokeAsync(ITaskActivity task, RunningActivity running) =>
        InvokeAsync(task, running, new Context(running, reports));

    /// <summary>As above, for code that writes in the session's transaction.</summary>
    public Task<ActivityResult> InvokeAsync(ITaskActivity task, RunningActivity running, StoreSession session) =>
        InvokeAsync(task, running, new TransactionalContext(running, reports, session.Connection, session.Transaction!));

    private async Task<ActivityResult> InvokeAsync(ITaskActivity task, RunningActivity running, TaskActivityContext context)
    {
        var input = converter.Deserialize(running.Activity.Input, task.InputType);
        var output = await task.RunAsync(context, input);
        await triggers.HitAsync("activity.after-run", running.Activity.InstanceId);
        return new(running.Activity, converter.Serialize(output), null);
    }

    private sealed class Context(RunningActivity running, ProgressReports reports) : DatabaseActivityContext
    {
        public override TaskName Name => running.Activity.Name;

        public override string Version => running.Activity.Version;

        public override string InstanceId => running.Activity.InstanceId;

        public override string OperationId => running.Activity.OperationId;

        public override int DeliveryCount => running.Activity.Attempts;

        public override CancellationToken CancellationToken => running.Token;

        public override void Heartbeat(object? progress) => reports.Report(running, progress);
    }

    private sealed class TransactionalContext(
        RunningActivity running,
        ProgressReports reports,
        DbConnection connection,
        DbTransaction transaction
    ) : TransactionalActivityContext
    {
        public override TaskName Name => running.Activity.Name;

        public override string Version => running.Activity.Version;

        public override string InstanceId => running.Activity.InstanceId;

        public override string OperationId => running.Activity.OperationId;

        public override int DeliveryCount => running.Activity.Attempts;

        public override CancellationToken CancellationToken => running.Token;

        public override DbConnection Connection => connection;

        public override DbTransaction Transaction => transaction;

        public override void Heartbeat(object? progress) => reports.Report(running, progress);
    }
}
