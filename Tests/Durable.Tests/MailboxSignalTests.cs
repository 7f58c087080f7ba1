using Librarian.Durable.Worker;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

[Quick]
public sealed class MailboxSignalTests
{
    [Fact]
    public async Task Signal_SetBeforeTheWait_GoesOnWhileTheActivityBlocksItsThread()
    {
        var signal = new MailboxSignal();
        using var blocks = new ManualResetEventSlim();
        var wentOn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var loop = Task.Run(
            async () =>
            {
                signal.Set();
                await signal.WaitAsync(blocks.Wait);
                wentOn.SetResult();
            },
            TestContext.Current.CancellationToken
        );
        try
        {
            await wentOn.Task.WaitAsync(EngineTests.Limit, TestContext.Current.CancellationToken);
        }
        finally
        {
            blocks.Set();
        }

        await loop;
    }
}
