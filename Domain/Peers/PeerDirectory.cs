using Librarian.Domain.Catalog;
using Librarian.Domain.Security;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Peers;

/// <summary>Address and credentials with which this site calls a peer.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Url">Scheme, host, optional path.</param>
/// <param name="Port">TCP port.</param>
/// <param name="User">This site's account there.</param>
/// <param name="Password">The account's password.</param>
/// <param name="TransfersEnabled">Whether this site sends to it.</param>
public sealed record PeerLogin(string Name, string Url, int Port, string User, string Password, bool TransfersEnabled)
{
    /// <summary>Whether the peer has sent catalog headers: it runs this software, and understands what Python sites do not.</summary>
    public bool SendsCatalogHeaders { get; init; }

    /// <summary>Omits the password.</summary>
    public override string ToString() => $"{Name} at {Url}:{Port} as {User}";
}

/// <summary>The peers in the catalog; their credentials are encrypted at rest (docs/spec/wire.md#identity).</summary>
public sealed class PeerDirectory(CatalogDatabase database, Fernet fernet, TimeProvider time)
{
    /// <summary>The peer's login; null when the peer is unknown or the configured key cannot decrypt its credentials.</summary>
    public async Task<PeerLogin?> FindAsync(string name, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var row = await db.Peers.AsNoTracking().SingleOrDefaultAsync(l => l.Name == name, cancellationToken);
        if (row is null || !fernet.TryDecrypt(row.Authenticator, out var authenticator))
            return null;
        // Split at the first colon: passwords may contain more (upstream cuts them off there).
        var colon = authenticator.IndexOf(':', StringComparison.Ordinal);
        return colon < 0
            ? null
            : new PeerLogin(row.Name, row.Url, row.Port, authenticator[..colon], authenticator[(colon + 1)..], row.TransfersEnabled)
            {
                SendsCatalogHeaders = row.CatalogId is not null,
            };
    }

    /// <summary>Whether a peer of that name is registered.</summary>
    public async Task<bool> IsRegisteredAsync(string name, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Peers.AnyAsync(l => l.Name == name, cancellationToken);
    }

    /// <summary>Adds a peer, or gives it the address and credentials of <paramref name="login"/>; its other values stay.</summary>
    /// <returns>Whether it was known, and which of <c>url</c>, <c>port</c>, <c>user</c> and <c>password</c> have changed.</returns>
    public async Task<(bool WasKnown, IReadOnlyList<string> Changed)> SaveAsync(PeerLogin login, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(login);
        var changed = await ChangesAsync(login, cancellationToken);
        if (changed is null && await AddAsync(login, cancellationToken))
            return (false, []);
        // Another call has added it meanwhile.
        changed ??= await ChangesAsync(login, cancellationToken) ?? [];
        if (changed.Count == 0)
            return (true, []);
        var authenticator = fernet.Encrypt($"{login.User}:{login.Password}");
        await using var db = database.Open();
        // One statement: no reader sees the new address with the old credentials.
        await db
            .Peers.Where(l => l.Name == login.Name)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(l => l.Url, login.Url)
                        .SetProperty(l => l.Port, login.Port)
                        .SetProperty(l => l.Authenticator, authenticator),
                cancellationToken
            );
        return (true, changed);
    }

    /// <summary>How a registration differs from the known one of that name; null when none is known.</summary>
    public async Task<IReadOnlyList<string>?> ChangesAsync(PeerLogin login, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(login);
        await using var db = database.Open();
        if (
            await db
                .Peers.AsNoTracking()
                .Where(l => l.Name == login.Name)
                .Select(l => new { l.Url, l.Port })
                .SingleOrDefaultAsync(cancellationToken)
            is not { } row
        )
            return null;
        // Credentials that this site's key cannot decrypt count as none.
        var known = await FindAsync(login.Name, cancellationToken);
        List<string> changed = [];
        if (row.Url != login.Url)
            changed.Add("url");
        if (row.Port != login.Port)
            changed.Add("port");
        if (known?.User != login.User)
            changed.Add("user");
        if (known?.Password != login.Password)
            changed.Add("password");
        return changed;
    }

    /// <summary>Adds a peer; false when the name is taken.</summary>
    private async Task<bool> AddAsync(PeerLogin login, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(login);
        await using var db = database.Open();
        var now = time.GetUtcNow().UtcDateTime;
        db.Peers.Add(
            new Peer
            {
                Name = login.Name,
                Url = login.Url,
                Port = login.Port,
                Authenticator = fernet.Encrypt($"{login.User}:{login.Password}"),
                TransfersEnabled = login.TransfersEnabled,
                LastSeen = now,
                LastHeard = now,
            }
        );
        try
        {
            await db.SaveChangesAsync(cancellationToken);
            return true;
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return false;
        }
    }

    /// <summary>How many batches may be under way to a peer: none when it is unknown or switched off.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="most">Limit for a peer with free space.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>One for a full peer: without a waiting batch that asks it again, one has to be made.</returns>
    public async Task<int> BatchesAllowedAsync(string name, int most, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var row = await db
            .Peers.Where(l => l.Name == name && l.TransfersEnabled)
            .Select(l => new { l.FullSince })
            .SingleOrDefaultAsync(cancellationToken);
        return row is null ? 0
            : row.FullSince is null ? most
            : 1;
    }

    /// <summary>Records that a peer is full, or has free space again.</summary>
    public async Task MarkFullAsync(string name, bool full, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        DateTime? since = full ? time.GetUtcNow().UtcDateTime : null;
        await db
            .Peers.Where(l => l.Name == name && (l.FullSince == null) == full)
            .ExecuteUpdateAsync(s => s.SetProperty(l => l.FullSince, since), cancellationToken);
    }

    /// <summary>Switches transfers to a peer on or off; false when it is unknown.</summary>
    public async Task<bool> SwitchTransfersAsync(string name, bool enabled, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db
                .Peers.Where(l => l.Name == name)
                .ExecuteUpdateAsync(s => s.SetProperty(l => l.TransfersEnabled, enabled), cancellationToken) > 0;
    }

    /// <summary>All peers by name.</summary>
    public async Task<IReadOnlyList<Peer>> ListAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Peers.AsNoTracking().OrderBy(l => l.Name).ToListAsync(cancellationToken);
    }
}
