using Librarian.Domain.Drives;
using Librarian.Domain.Security;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Drives;

/// <summary>Learns the keys of other sites.</summary>
public sealed class KeyLearning(SiteKeyring keyring, PeerConnections peers)
{
    private static readonly TimeSpan KeyTimeout = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Learns another site's key if it is unknown: from that site over the authenticated connection, or from an administrator who has
    /// compared the fingerprint of <paramref name="claimed"/>.
    /// </summary>
    public async Task LearnKeyAsync(string site, SitePublicKey claimed, string? acceptKey, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(claimed);
        if (acceptKey is not null && string.Equals(Digits(acceptKey), Digits(claimed.Fingerprint), StringComparison.OrdinalIgnoreCase))
        {
            await keyring.PinAsync(site, claimed, SiteKeyring.Accepted, cancellationToken);
            return;
        }

        if (await keyring.FindAsync(site, cancellationToken) is not null)
            return;
        if (await peers.FindAsync(site, cancellationToken) is not { } peer || peers.For(peer.Login, KeyTimeout) is not { } quick)
            return;
        var answer = await quick.Client.GetSiteKeyAsync(cancellationToken);
        if (answer.IsSuccess && answer.Value.Site == site && SitePublicKey.TryParse(answer.Value.PublicKey, out var fetched))
            await keyring.PinAsync(site, fetched, SiteKeyring.Fetched, cancellationToken);

        static string Digits(string text) => string.Concat(text.Where(char.IsAsciiHexDigit));
    }
}
