using System.Net;
using System.Net.Sockets;
using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;
using Npgsql;

namespace Librarian.Tests.Durable;

/// <summary>The database did what it was asked, and the answer never arrived.</summary>
public sealed class HiccupTests(PostgresServer server) : CrashFixture(new PostgresDatabase(server))
{
    [Fact, Scenario(99, "CommitAckLost"), Scenario(100, "ClaimAckLost"), Scenario(101, "TransactionalActivity")]
    public async Task Answers_LostAfterTheCommit_NothingIsLostStuckOrDoubled()
    {
        var client = await ClientAsync();
        await PrepareAsync();
        await using var proxy = new AnswerDroppingProxy(server.Port, new Random(Seed));
        var through = new NpgsqlConnectionStringBuilder(await Database.ConnectionStringAsync()) { Port = proxy.Port }.ConnectionString;
        var workers = new[]
        {
            Launch(through, "node-0", "lease=3000", "deliveries=1000"),
            Launch(through, "node-1", "lease=3000", "deliveries=1000"),
        };
        foreach (var worker in workers)
            Assert.Equal("ready", await worker.StandardOutput.ReadLineAsync());
        proxy.DropShare = 0.02;
        for (var wave = 0; proxy.Dropped < (Long ? 5_000 : 50); wave++)
        {
            Assert.True(wave < 2_000, "hardly an answer was dropped");
            await AddLoadAsync(client);
            // Load arrives as long as answers get lost, not all at once.
            await Task.Delay(250);
            // A slow disk must not turn this into a test of how much can be piled up.
            await BacklogBelowAsync(40);
        }

        var dropped = proxy.Dropped;
        proxy.DropShare = 0;
        await SettleAsync(client);
        Assert.All(workers, worker => Assert.False(worker.HasExited));
        TestContext.Current.TestOutputHelper?.WriteLine($"{dropped} answers lost");
    }

    /// <summary>
    /// Passes bytes both ways; of the server's answers to writes it drops some, with the connection, after the server has done the work.
    /// </summary>
    private sealed class AnswerDroppingProxy : IAsyncDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly CancellationTokenSource _stop = new();
        private readonly int _target;
        private readonly Random _random;
        private int _dropped;

        public AnswerDroppingProxy(int target, Random random)
        {
            (_target, _random) = (target, random);
            _listener.Start();
            _ = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public double DropShare { get; set; }

        public int Dropped => Volatile.Read(ref _dropped);

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            _listener.Dispose();
            _stop.Dispose();
        }

        private async Task AcceptAsync()
        {
            while (!_stop.IsCancellationRequested)
            {
                TcpClient client;
                try
                {
                    client = await _listener.AcceptTcpClientAsync(_stop.Token);
                }
                catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
                {
                    return;
                }

                _ = ServeAsync(client);
            }
        }

        private async Task ServeAsync(TcpClient client)
        {
            using var near = client;
            using var far = new TcpClient { NoDelay = true };
            near.NoDelay = true;
            try
            {
                await far.ConnectAsync(IPAddress.Loopback, _target, _stop.Token);
                await Task.WhenAny(
                    PassAsync(near.GetStream(), far.GetStream(), answers: false),
                    PassAsync(far.GetStream(), near.GetStream(), answers: true)
                );
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or IOException)
            {
                // The connection is gone, which is what this proxy is for.
            }
        }

        private async Task PassAsync(NetworkStream from, NetworkStream to, bool answers)
        {
            var buffer = new byte[64 * 1024];
            while (await from.ReadAsync(buffer, _stop.Token) is > 0 and var count)
            {
                if (answers && IsAnswerToWrite(buffer.AsSpan(0, count)) && Draw() < DropShare)
                {
                    Interlocked.Increment(ref _dropped);
                    return;
                }

                await to.WriteAsync(buffer.AsMemory(0, count), _stop.Token);
            }
        }

        private double Draw()
        {
            lock (_random)
                return _random.NextDouble();
        }

        // CommandComplete carries the tag of the statement.
        private static bool IsAnswerToWrite(ReadOnlySpan<byte> answer) =>
            answer.IndexOf("COMMIT\0"u8) >= 0
            || answer.IndexOf("UPDATE "u8) >= 0
            || answer.IndexOf("INSERT 0 "u8) >= 0
            || answer.IndexOf("DELETE "u8) >= 0;
    }
}
