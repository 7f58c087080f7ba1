using Librarian.Domain.Catalog;
using Librarian.Domain.Security;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Peers;

/// <summary>How to reach a neighbour as ourselves.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Url">Scheme, host, optional path.</param>
/// <param name="Port">TCP port.</param>
/// <param name="User">Our account there.</param>
/// <param name="Password">Its password.</param>
/// <param name="TransfersEnabled">Whether we send to it.</param>
public sealed record PeerLogin(string Name, string Url, int Port, string User, string Password, bool TransfersEnabled)
{
    /// <summary>Never shows the password.</summary>
    public override string ToString() => $"{Name} at {Url}:{Port} as {User}";
}

/// <summary>The neighbours in the catalog; their credentials are encrypted at rest (wire.md §2.4).</summary>
public sealed class PeerDirectory(CatalogDatabase database, Fernet fernet, TimeProvider time)
{
    /// <summary>The neighbour's login, or null when it is unknown or its credentials cannot be read with the configured key.</summary>
    public async Task<PeerLogin?> FindAsync(string name, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var row = await db.Librarians.AsNoTracking().SingleOrDefaultAsync(l => l.Name == name, cancellationToken);
        if (row is null || !fernet.TryDecrypt(row.Authenticator, out var authenticator)) return null;
        // Split at the first colon: passwords may contain more (upstream cuts them off).
        var colon = authenticator.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? null : new PeerLogin(row.Name, row.Url, row.Port, authenticator[..colon], authenticator[(colon + 1)..], row.TransfersEnabled);
    }

    /// <summary>Adds a neighbour; false when the name is taken.</summary>
    public async Task<bool> AddAsync(PeerLogin login, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(login);
        await using var db = database.Open();
        var now = time.GetUtcNow().UtcDateTime;
        db.Librarians.Add(new PeerLibrarian
        {
            Name = login.Name,
            Url = login.Url,
            Port = login.Port,
            Authenticator = fernet.Encrypt($"{login.User}:{login.Password}"),
            TransfersEnabled = login.TransfersEnabled,
            LastSeen = now,
            LastHeard = now,
        });
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

    /// <summary>How many batches may be under way to a neighbour: none when it is unknown or switched off.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="most">Batches when nothing is in the way.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>For a full neighbour one: if no batch is waiting that asks it again, one has to be made.</returns>
    public async Task<int> BatchesAllowedAsync(string name, int most, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var row = await db.Librarians.Where(l => l.Name == name && l.TransfersEnabled).Select(l => new { l.FullSince }).SingleOrDefaultAsync(cancellationToken);
        return row is null ? 0 : row.FullSince is null ? most : 1;
    }

    /// <summary>Remembers that a neighbour has room for nothing, or has room again.</summary>
    public async Task MarkFullAsync(string name, bool full, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        DateTime? since = full ? time.GetUtcNow().UtcDateTime : null;
        await db.Librarians.Where(l => l.Name == name && (l.FullSince == null) == full).ExecuteUpdateAsync(s => s.SetProperty(l => l.FullSince, since), cancellationToken);
    }

    /// <summary>Switches transfers to a neighbour on or off; false when it is unknown.</summary>
    public async Task<bool> SwitchTransfersAsync(string name, bool enabled, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Librarians.Where(l => l.Name == name).ExecuteUpdateAsync(s => s.SetProperty(l => l.TransfersEnabled, enabled), cancellationToken) > 0;
    }

    /// <summary>All neighbours by name.</summary>
    public async Task<IReadOnlyList<PeerLibrarian>> ListAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Librarians.AsNoTracking().OrderBy(l => l.Name).ToListAsync(cancellationToken);
    }
}
