using Librarian.Domain.Catalog;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.PeerUpkeep;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Peers;

/// <summary>What counts as a sign of life of a peer, and what it costs.</summary>
public sealed class PresenceTests(PostgresServer server) : IAsyncLifetime
{
    private PeerFixture _fixture = null!;

    private PeerPresence Presence => _fixture.Site.Services.GetRequiredService<PeerPresence>();

    public async ValueTask InitializeAsync() => _fixture = await PeerFixture.CreateAsync(DatabaseKind.Sqlite, server);

    public ValueTask DisposeAsync() => _fixture.DisposeAsync();

    [Fact]
    public async Task Call_OfThePeersAccount_IsASignOfLifeAndNoOtherCallIs()
    {
        Presence.AddWaiting("aaa", "send-clone-999");
        await _fixture.Peer.CallAsync("ping/", "{}");
        await _fixture.Site.PostAsync("ping/logged", "{}", "aaa", "wrong");
        await _fixture.Site.PostAsync("ping/logged", "{}", "reader");
        Assert.True(Presence.IsAwaited("aaa"));
        await _fixture.Peer.CallAsync("ping/logged", "{}");
        await _fixture.UntilAsync(() => Task.FromResult(!Presence.IsAwaited("aaa")), "the wake-up");
    }

    [Fact]
    public async Task Heard_WhenNothingWaits_CostsNoStatementAndNoMoment()
    {
        _fixture.Site.Statements.Reset();
        for (var i = 0; i < 1000; i++)
            Assert.True(Presence.WakeWaitingAsync("aaa", CancellationToken.None).IsCompletedSuccessfully);
        Assert.Equal(0, _fixture.Site.Statements.Count);
    }

    [Fact]
    public async Task Probe_IsOneCallToEachPeerForWhichSomethingWaits()
    {
        var probes = _fixture.Site.Services.GetRequiredService<PeerProbes>();
        await probes.ProbeAsync(CancellationToken.None);
        Assert.Empty(_fixture.Peer.Paths);

        for (var i = 0; i < 5; i++)
            Presence.AddWaiting("aaa", $"send-clone-{900 + i}");
        Presence.AddWaiting("unknown", "tell-unknown");
        _fixture.Peer.Interfere = _ => Task.FromResult<WireAnswer?>(WireAnswer.Drop);
        await probes.ProbeAsync(CancellationToken.None);
        Assert.True(Presence.IsAwaited("aaa"));
        _fixture.Peer.Interfere = _ => Task.FromResult<WireAnswer?>(WireAnswer.Fault);
        await probes.ProbeAsync(CancellationToken.None);
        Assert.True(Presence.IsAwaited("aaa"));
        var before = _fixture.Peer.Paths.Count;
        _fixture.Peer.Interfere = null;
        await probes.ProbeAsync(CancellationToken.None);
        Assert.False(Presence.IsAwaited("aaa"));
        Assert.Equal(["ping/logged"], _fixture.Peer.Paths.Skip(before));
    }
}
