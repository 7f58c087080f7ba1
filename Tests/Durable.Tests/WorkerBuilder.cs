namespace Librarian.Tests.Durable;

/// <summary>Registrations straight on the builder, one after the other: most tests have two or three.</summary>
public static class WorkerBuilder
{
    public static IDurableTaskWorkerBuilder AddOrchestratorFunc<TInput, TOutput>(
        this IDurableTaskWorkerBuilder builder,
        string name,
        Func<TaskOrchestrationContext, TInput, Task<TOutput>> orchestrator,
        string version = ""
    ) => builder.AddTasks(tasks => tasks.AddOrchestratorFunc(name, new TaskVersion(version), orchestrator));

    public static IDurableTaskWorkerBuilder AddActivityFunc<TInput, TOutput>(
        this IDurableTaskWorkerBuilder builder,
        string name,
        Func<TaskActivityContext, TInput, Task<TOutput>> activity,
        string version = ""
    ) => builder.AddTasks(tasks => tasks.AddActivityFunc(name, new TaskVersion(version), activity));

    public static IDurableTaskWorkerBuilder AddOrchestrator<T>(this IDurableTaskWorkerBuilder builder)
        where T : class, ITaskOrchestrator => builder.AddTasks(tasks => tasks.AddOrchestrator<T>());

    public static IDurableTaskWorkerBuilder AddActivity<T>(this IDurableTaskWorkerBuilder builder)
        where T : class, ITaskActivity => builder.AddTasks(tasks => tasks.AddActivity<T>());

    public static IDurableTaskWorkerBuilder AddActivity<T>(this IDurableTaskWorkerBuilder builder, string name)
        where T : class, ITaskActivity => builder.AddTasks(tasks => tasks.AddActivity<T>(name));
}
