using System.Diagnostics;

namespace Librarian.Tests.TestKit;

/// <summary>Waits for what other threads and processes bring about.</summary>
public static class Wait
{
    /// <summary>
    /// After which a wait is a hang. No test measures with it: the slowest machine that runs these tests needs a tenth of it.
    /// </summary>
    public static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    // Short beside what is waited for, long beside what a look costs.
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(20);

    /// <summary>Waits until something is so; fails with <paramref name="otherwise"/> when it does not become so.</summary>
    /// <param name="isSo">Looks.</param>
    /// <param name="otherwise">What did not come about, and what there is instead.</param>
    /// <param name="limit">Another limit than <see cref="Limit"/>.</param>
    /// <param name="pause">Between two looks, when a look keeps others from their work.</param>
    public static async Task UntilAsync(Func<Task<bool>> isSo, Func<string> otherwise, TimeSpan? limit = null, TimeSpan? pause = null)
    {
        ArgumentNullException.ThrowIfNull(isSo);
        ArgumentNullException.ThrowIfNull(otherwise);
        var waiting = Stopwatch.StartNew();
        while (!await isSo())
        {
            if (waiting.Elapsed > (limit ?? Limit))
                throw new TimeoutException($"Never came about: {otherwise()}");
            await Task.Delay(pause ?? s_pause, TestContext.Current.CancellationToken);
        }
    }

    /// <inheritdoc cref="UntilAsync(Func{Task{bool}}, Func{string}, TimeSpan?, TimeSpan?)" />
    public static Task UntilAsync(Func<Task<bool>> isSo, string what) => UntilAsync(isSo, () => what);

    /// <inheritdoc cref="UntilAsync(Func{Task{bool}}, Func{string}, TimeSpan?, TimeSpan?)" />
    public static Task UntilAsync(Func<bool> isSo, string what) => UntilAsync(() => Task.FromResult(isSo()), () => what);
}
