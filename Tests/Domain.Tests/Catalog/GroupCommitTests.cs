using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Librarian.Tests.Domain.Catalog;

public class GroupCommitTests(PostgresServer server)
{
    private readonly List<int[]> _groups = [];
    private TaskCompletionSource _mayGoOn = new();

    [Fact]
    public async Task Run_WhileAGroupIsAtWork_ThoseWhoComeAreTheNextGroups()
    {
        var commit = new GroupCommit<int, int>(most: 3, WorkAsync);
        var first = commit.RunAsync(0, default);
        await UntilAsync(() => _groups.Count == 1);
        Task<int>[] others = [.. Enumerable.Range(1, 5).Select(i => commit.RunAsync(i, default))];
        _mayGoOn.SetResult();
        Assert.Equal(0, await first);
        Assert.Equal(new[] { 10, 20, 30, 40, 50 }, await Task.WhenAll(others));
        Assert.Equal(
            [
                [0],
                [1, 2, 3],
                [4, 5],
            ],
            _groups
        );
    }

    [Fact]
    public async Task Run_GroupThatFails_FailsItsCallersAndNoOther()
    {
        var commit = new GroupCommit<int, int>(most: 8, WorkAsync);
        var first = commit.RunAsync(0, default);
        await UntilAsync(() => _groups.Count == 1);
        Task<int>[] failing = [commit.RunAsync(-1, default), commit.RunAsync(2, default)];
        var held = _mayGoOn;
        _mayGoOn = new TaskCompletionSource();
        held.SetResult();
        await UntilAsync(() => _groups.Count == 2);
        var later = commit.RunAsync(3, default);
        _mayGoOn.SetResult();
        Assert.Equal(0, await first);
        foreach (var one in failing)
            await Assert.ThrowsAsync<InvalidDataException>(() => one);
        Assert.Equal(30, await later);
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Run_GroupRefusedByTheDatabase_EachIsDoneAlone(bool wrapped)
    {
        var commit = new GroupCommit<int, int>(most: 8, async items =>
        {
            var results = await WorkAsync(items);
            return items.Contains(13) || (items.Count > 1 && items.Contains(1))
                ? throw Refusal(items.Contains(13) ? "22021" : "40P01", wrapped)
                : results;
        });
        var first = commit.RunAsync(0, default);
        await UntilAsync(() => _groups.Count == 1);
        var (deadlocked, refused, other) = (commit.RunAsync(1, default), commit.RunAsync(13, default), commit.RunAsync(2, default));
        _mayGoOn.SetResult();
        Assert.Equal(0, await first);
        Assert.Equal(10, await deadlocked);
        Assert.Equal(
            "22021",
            Assert.IsType<PostgresException>((await Assert.ThrowsAnyAsync<Exception>(() => refused)).GetBaseException()).SqlState
        );
        Assert.Equal(20, await other);
        Assert.Equal(
            [
                [0],
                [1, 13, 2],
                [1],
                [13],
                [2],
            ],
            _groups
        );
    }

    [Fact]
    public async Task Run_CancelledBeforeItsGroupBegins_IsNotDone()
    {
        var commit = new GroupCommit<int, int>(most: 8, WorkAsync);
        var first = commit.RunAsync(0, default);
        await UntilAsync(() => _groups.Count == 1);
        using var stop = new CancellationTokenSource();
        var withdrawn = commit.RunAsync(1, stop.Token);
        var kept = commit.RunAsync(2, default);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => withdrawn);
        _mayGoOn.SetResult();
        Assert.Equal(0, await first);
        Assert.Equal(20, await kept);
        Assert.Equal(
            [
                [0],
                [2],
            ],
            _groups
        );
    }

    [Fact]
    public async Task Deadlock_AsEntityFrameworkThrowsIt_IsARefusal()
    {
        using var catalog = await Databases.CreateAsync(DatabaseKind.PostgreSql, server);
        await using var first = catalog.Database.Open();
        await using var second = catalog.Database.Open();
        foreach (var name in new[] { "a", "b" })
            first.Users.Add(
                new User
                {
                    Username = name,
                    AuthToken = "x",
                    AuthLevel = AuthLevel.ReadOnly,
                }
            );
        await first.SaveChangesAsync();
        await using var one = await first.Database.BeginTransactionAsync();
        await using var other = await second.Database.BeginTransactionAsync();
        await ChangeAsync(first, "a");
        await ChangeAsync(second, "b");
        Task[] both = [ChangeAsync(first, "b"), ChangeAsync(second, "a")];
        var failure = await Assert.ThrowsAnyAsync<Exception>(() => Task.WhenAll(both));
        Assert.IsNotType<PostgresException>(failure);
        Assert.True(CatalogDatabase.IsRefusal(failure), failure.ToString());

        static Task ChangeAsync(CatalogContext db, string name) =>
            db.Users.Where(u => u.Username == name).ExecuteUpdateAsync(s => s.SetProperty(u => u.AuthToken, "y"));
    }

    private static Exception Refusal(string state, bool wrapped)
    {
        var refusal = new PostgresException("refused", "ERROR", "ERROR", state);
        return wrapped
            ? new InvalidOperationException(
                "An exception has been raised that is likely due to a transient failure.",
                new DbUpdateException("An error occurred while saving.", refusal)
            )
            : refusal;
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
            await Task.Yield();
    }

    private async Task<IReadOnlyList<int>> WorkAsync(IReadOnlyList<int> items)
    {
        var wait = _mayGoOn.Task;
        _groups.Add([.. items]);
        await wait;
        return items.Contains(-1) ? throw new InvalidDataException("A group that fails.") : [.. items.Select(i => i * 10)];
    }
}
