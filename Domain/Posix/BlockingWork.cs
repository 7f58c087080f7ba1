namespace Librarian.Domain.Posix;

/// <summary>
/// Runs work that blocks in system calls for a long time on a thread of its own. On Linux, .NET's asynchronous file calls would occupy
/// threads of the shared pool for hours instead.
/// </summary>
internal static class BlockingWork
{
    internal static Task<T> RunAsync<T>(Func<T> work, CancellationToken cancellationToken) =>
        Task.Factory.StartNew(
            work,
            cancellationToken,
            TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach,
            TaskScheduler.Default
        );
}
