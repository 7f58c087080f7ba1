using Librarian.Domain.Peers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.PeerUpkeep;

/// <summary>
/// Pings all peers, so that a restored catalog is noticed even if nothing is sent, and has the copies in doubt confirmed.
/// </summary>
public sealed class PeerCatalogCheck(PeerDirectory directory, PeerConnections peers, SiteCatalog own, CopyConfirmation confirmation)
{
    private const int AtOnce = 4;

    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Pings every peer once; call and answer carry what each site knows of the other's catalog. Then starts to confirm the copies in
    /// doubt.
    /// </summary>
    public async Task GreetAsync(CancellationToken cancellationToken)
    {
        await own.AdvanceAsync(cancellationToken);
        await Parallel.ForEachAsync(
            await directory.ListAsync(cancellationToken),
            new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
            async (row, token) =>
            {
                // Ignore a failed ping: it tells nothing about a catalog, and workflows that need the peer record the error.
                if (await directory.FindAsync(row.Name, token) is { } login && peers.For(login, AnswerWithin) is { } peer)
                    await peer.Client.PingLoggedAsync(token);
            }
        );
        await confirmation.StartAsync(cancellationToken);
    }
}
