using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;

namespace Librarian.Tests.EndToEnd;

/// <summary>
/// The site is killed with -9 after it has committed a clone and before it knows that the upstream source has heard of it.
/// </summary>
public class UpstreamKillTests(PostgresServer server)
{
    private const int Kills = 6;
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";

    [Theory, InlineData(false), InlineData(true)]
    public async Task Ingest_SiteKilledBetweenCommitAndCallback_TellsTheSourceAfterwards(bool postgres)
    {
        var stop = TestContext.Current.CancellationToken;
        var folder = Directory.CreateTempSubdirectory("librarian-upstream-kill-");
        try
        {
            await using var upstream = new UpstreamLibrarian("aaa", "kept", folder.FullName);
            await using var site = new SiteProcess("kept", folder.FullName, postgres ? await server.CreateDatabaseAsync(stop) : null);
            await site.StartAsync(stop);
            await IntroduceAsync(site, upstream, stop);
            var callback = new TaskCompletionSource();
            var killed = new TaskCompletionSource();
            var hears = false;
            upstream.Interfere = async request =>
            {
                if (request.Path != "clone/complete" || !callback.TrySetResult())
                    return null;
                await killed.Task;
                // Every other time the source records the copy, and nobody is left to read its answer.
                return hears ? null : WireAnswer.Drop;
            };
            for (var kill = 1; kill <= Kills; kill++)
            {
                (callback, killed, hears) = (
                    new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously),
                    new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously),
                    kill % 2 == 0
                );
                var name = $"obs/{kill}";
                upstream.Keep(name, HelloSum, "hello world");
                Assert.Equal(201, (await upstream.SendCloneAsync(name))!.Status);
                upstream.ConsumeQueue();
                await upstream.CheckConsumedQueueAsync();
                await callback.Task.WaitAsync(TimeSpan.FromMinutes(5), stop);
                await site.KillAsync();
                killed.SetResult();
                await site.StartAsync(stop);
                await CalledAgainAsync(upstream, site, name);
            }

            Assert.Equal(Kills, upstream.RemoteInstances.Count);
            Assert.Equal(Kills, upstream.RemoteInstances.Distinct().Count());
            Assert.Empty(upstream.Violations);
            for (var kill = 1; kill <= Kills; kill++)
                Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(site.StorePath, $"obs/{kill}"), stop));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static Task CalledAgainAsync(UpstreamLibrarian upstream, SiteProcess site, string name)
    {
        var transfer = upstream.Outgoing.Values.Single(t => t.Name == name);
        return Wait.UntilAsync(
            () =>
                Task.FromResult(
                    transfer.Status == 3
                        && upstream
                            .Bodies("clone/complete")
                            .Count(b => b.StartsWith($"{{\"source_transfer_id\":{transfer.Id},", StringComparison.Ordinal)) >= 2
                ),
            () => $"the second call for {name}, which is {transfer.Status} at its source:\n{site.Output}"
        );
    }

    private static async Task IntroduceAsync(SiteProcess site, UpstreamLibrarian upstream, CancellationToken stop)
    {
        Assert.True(
            SiteConnection.TryCreate(
                "http://127.0.0.1",
                site.Port,
                SiteProcess.AdminUser,
                SiteProcess.AdminPassword,
                out var connection,
                out _
            )
        );
        using var client = new LibrarianClient(connection);
        Assert.True(
            (await client.CreateUserAsync(new UserCreateRequest("aaa", upstream.PasswordThere, AuthLevel.ReadAppend), stop)).IsSuccess
        );
        await TwoSites.RegisterAsync(
            client,
            new LibrarianAddRequest("aaa", "http://127.0.0.1", upstream.Server.Port, $"kept:{upstream.PasswordHere}"),
            stop
        );
        upstream.Peer = new Uri(site.Url);
    }
}
