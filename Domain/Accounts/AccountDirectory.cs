using System.Security.Cryptography;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Accounts;

/// <summary>How a change to an account ended.</summary>
public enum AccountChange
{
    Done,

    /// <summary>No account of that name.</summary>
    Unknown,

    /// <summary>The name is taken.</summary>
    Exists,

    /// <summary>The name or password cannot be sent over HTTP Basic (empty, not ASCII, a colon in the name, too long).</summary>
    Invalid,

    /// <summary>The last administrator cannot be removed or demoted: nobody could manage the site any more.</summary>
    LastAdministrator,
}

/// <summary>The accounts of this site (docs/spec/wire.md#accounts).</summary>
public sealed class AccountDirectory(
    CatalogDatabase database,
    PasswordHasher hasher,
    CredentialVerifier verifier,
    IOptions<SiteOptions> options,
    TimeProvider time
)
{
    /// <summary>
    /// How long a verified credential stays valid without another read of the account. A change by this process applies at once; a change
    /// by another process of the site, or in the database, applies after this time at most.
    /// </summary>
    public static readonly TimeSpan Freshness = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, (StoredCredential Account, long ReadAt)> _read = new(StringComparer.Ordinal);
    private long _changes;

    /// <summary>
    /// The level of a user with a password; <see cref="AuthLevel.None"/> for unknown users and wrong passwords, which take the same time. A
    /// known good credential is answered from memory until it, or the account, changes (see <see cref="Freshness"/>).
    /// </summary>
    public async Task<AuthLevel> AuthenticateAsync(string username, string password, CancellationToken cancellationToken)
    {
        if (ReadLately(username) is { } known && verifier.IsRemembered(username, password, known))
            return known.Level;
        var stored = await ReadAsync(username, cancellationToken);
        var verified = await verifier.VerifyAsync(username, password, stored, cancellationToken);
        if (verified.NeedsRehash)
        {
            var better = await hasher.HashAsync(password, cancellationToken);
            await using var db = database.Open();
            await db
                .Users.Where(u => u.Username == username && u.AuthToken == stored!.PasswordHash)
                .ExecuteUpdateAsync(s => s.SetProperty(u => u.AuthToken, better), cancellationToken);
            Forget(username);
        }

        return verified.Level;
    }

    public async Task<AccountChange> CreateAsync(string username, string password, AuthLevel level, CancellationToken cancellationToken)
    {
        if (!IsValidName(username) || !IsValidPassword(password))
            return AccountChange.Invalid;
        await using var db = database.Open();
        if (await db.Users.AnyAsync(u => u.Username == username, cancellationToken))
            return AccountChange.Exists;
        db.Users.Add(
            new User
            {
                Username = username,
                AuthToken = await hasher.HashAsync(password, cancellationToken),
                AuthLevel = level,
            }
        );
        try
        {
            await db.SaveChangesAsync(cancellationToken);
            return AccountChange.Done;
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return AccountChange.Exists;
        }
    }

    /// <summary>Changes password or level; null keeps the old value.</summary>
    public async Task<AccountChange> UpdateAsync(string username, string? password, AuthLevel? level, CancellationToken cancellationToken)
    {
        if (password is not null && !IsValidPassword(password))
            return AccountChange.Invalid;
        // Before the transaction: on SQLite it stops all other writers, and hashing waits behind pending logins.
        var token = password is null ? null : await hasher.HashAsync(password, cancellationToken);
        try
        {
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            var user = await db.Users.SingleOrDefaultAsync(u => u.Username == username, cancellationToken);
            if (user is null)
                return AccountChange.Unknown;
            if (level is not null && level != AuthLevel.Admin && await IsLastAdministratorAsync(db, username, cancellationToken))
                return AccountChange.LastAdministrator;
            if (token is not null)
                user.AuthToken = token;
            if (level is { } l)
                user.AuthLevel = l;
            await db.SaveChangesAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            return AccountChange.Done;
        }
        finally
        {
            // Also when the commit's answer was lost: it may have succeeded.
            Forget(username);
        }
    }

    public async Task<AccountChange> DeleteAsync(string username, CancellationToken cancellationToken)
    {
        try
        {
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            if (await IsLastAdministratorAsync(db, username, cancellationToken))
                return AccountChange.LastAdministrator;
            var deleted = await db.Users.Where(u => u.Username == username).ExecuteDeleteAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            return deleted == 1 ? AccountChange.Done : AccountChange.Unknown;
        }
        finally
        {
            Forget(username);
        }
    }

    /// <summary>The level of an account; null when there is none.</summary>
    public async Task<AuthLevel?> FindAsync(string username, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db
            .Users.Where(u => u.Username == username)
            .Select(u => (AuthLevel?)u.AuthLevel)
            .SingleOrDefaultAsync(cancellationToken);
    }

    /// <summary>
    /// Creates the first administrator when there is none, with the configured password, or with a generated one that is returned to be
    /// shown once and stored nowhere in clear text.
    /// </summary>
    /// <returns>The generated password, or null.</returns>
    public async Task<string?> EnsureAdministratorAsync(CancellationToken cancellationToken)
    {
        await using (var db = database.Open())
        {
            if (await db.Users.AnyAsync(u => u.AuthLevel == AuthLevel.Admin, cancellationToken))
                return null;
        }

        var configured = options.Value.AdminPassword;
        var password = string.IsNullOrEmpty(configured)
            ? RandomNumberGenerator.GetString("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", 24)
            : configured;
        var change = await CreateAsync(options.Value.AdminUser, password, AuthLevel.Admin, cancellationToken);
        if (change == AccountChange.Exists)
            change = await UpdateAsync(options.Value.AdminUser, password, AuthLevel.Admin, cancellationToken);
        if (change != AccountChange.Done)
            throw new InvalidOperationException(
                $"The first administrator '{options.Value.AdminUser}' could not be made: {change}. "
                    + "Correct Site:AdminUser and Site:AdminPassword."
            );
        return string.IsNullOrEmpty(configured) ? password : null;
    }

    private StoredCredential? ReadLately(string username)
    {
        lock (_lock)
            return _read.TryGetValue(username, out var known) && time.GetElapsedTime(known.ReadAt) < Freshness ? known.Account : null;
    }

    private async Task<StoredCredential?> ReadAsync(string username, CancellationToken cancellationToken)
    {
        var asked = time.GetTimestamp();
        var changes = Volatile.Read(ref _changes);
        await using var db = database.Open();
        var stored = await db
            .Users.AsNoTracking()
            .Where(u => u.Username == username)
            .Select(u => new StoredCredential(u.AuthToken, u.AuthLevel))
            .SingleOrDefaultAsync(cancellationToken);
        lock (_lock)
        {
            // Keep only existing accounts, so that made-up names use no memory, and only if nothing has changed during the read.
            if (stored is not null && changes == _changes)
                _read[username] = (stored, asked);
            else
                _read.Remove(username);
        }

        return stored;
    }

    private void Forget(string username)
    {
        lock (_lock)
        {
            _changes++;
            _read.Remove(username);
        }
    }

    private static async Task<bool> IsLastAdministratorAsync(CatalogContext db, string username, CancellationToken cancellationToken) =>
        await db.Users.AnyAsync(u => u.Username == username && u.AuthLevel == AuthLevel.Admin, cancellationToken)
        && !await db.Users.AnyAsync(u => u.Username != username && u.AuthLevel == AuthLevel.Admin, cancellationToken);

    /// <summary>Whether the name can be sent over HTTP Basic.</summary>
    internal static bool IsValidName(string name) =>
        name.Length is > 0 and <= CatalogContext.MaxText && name.All(c => char.IsAscii(c) && !char.IsControl(c) && c != ':');

    private static bool IsValidPassword(string password) => password.Length is > 0 and <= 1024 && password.All(char.IsAscii);
}
