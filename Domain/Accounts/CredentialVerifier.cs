namespace Librarian.Domain.Accounts;

/// <summary>The stored half of a login.</summary>
/// <param name="PasswordHash">The PHC string.</param>
/// <param name="Level">The account's level.</param>
public sealed record StoredCredential(string PasswordHash, AuthLevel Level);

/// <summary>Result of a login.</summary>
/// <param name="Level">The effective level; <see cref="AuthLevel.None"/> for unknown users and wrong passwords
/// (docs/spec/wire.md#levels).</param>
/// <param name="NeedsRehash">True when the password was right and its hash should be replaced by one with today's cost.</param>
public readonly record struct Verification(AuthLevel Level, bool NeedsRehash);

/// <summary>Decides the effective level of a request's user name and password.</summary>
public sealed class CredentialVerifier(PasswordHasher hasher, VerifiedCredentialCache cache)
{
    /// <summary>Whether exactly this credential was verified recently, so that no hash has to be computed.</summary>
    /// <param name="user">The user name as sent.</param>
    /// <param name="password">The password as sent.</param>
    /// <param name="stored">The account of that name.</param>
    public bool IsRemembered(string user, string password, StoredCredential stored)
    {
        ArgumentNullException.ThrowIfNull(stored);
        return cache.IsVerified(user, password, stored.PasswordHash, stored.Level);
    }

    /// <summary>Finds the level, from the cache or by computing the hash.</summary>
    /// <param name="user">The user name as sent.</param>
    /// <param name="password">The password as sent.</param>
    /// <param name="stored">The account of that name; null when there is none, which takes as long as a wrong password.</param>
    /// <param name="cancellationToken">Stops waiting for a free slot.</param>
    public async ValueTask<Verification> VerifyAsync(
        string user,
        string password,
        StoredCredential? stored,
        CancellationToken cancellationToken = default
    )
    {
        if (stored is not null && IsRemembered(user, password, stored))
            return new Verification(stored.Level, NeedsRehash: false);
        if (!await hasher.VerifyAsync(password, stored?.PasswordHash, cancellationToken) || stored is null)
            return new Verification(AuthLevel.None, NeedsRehash: false);
        cache.Remember(user, password, stored.PasswordHash, stored.Level);
        return new Verification(stored.Level, hasher.NeedsRehash(stored.PasswordHash));
    }
}
