using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts the accounts.</summary>
internal sealed class UserAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db)
{
    /// <summary>Accounts keep the passwords of the Python site; an account that exists here is not changed.</summary>
    public Task RunAsync(CancellationToken cancellationToken) =>
        tables.AdoptAsync(
            new Kind<User>(
                "users",
                $"SELECT {source.Columns("users", "u", "username", "auth_token", "auth_level:text")} FROM users u ORDER BY u.username",
                row =>
                {
                    var user = new User
                    {
                        Username = row.Text("username"),
                        AuthToken = row.Text("auth_token"),
                        AuthLevel = row.Member<AuthLevel>("auth_level", AuthLevel.None),
                    };
                    var candidate = new Candidate<User>(user.Username, user);
                    if (!AccountDirectory.IsValidName(user.Username))
                        candidate.Skip("the name cannot be sent over HTTP (not ASCII, or with a colon)");
                    if (!PasswordHash.TryParse(user.AuthToken, out _))
                        candidate.Skip("its password is not kept as an Argon2id hash, so nobody could log in; make the account anew");
                    return candidate;
                },
                rows =>
                {
                    var names = rows.Select(u => u.Username).ToList();
                    return db.Users.Where(u => EF.Parameter(names).Contains(u.Username)).ToListAsync(cancellationToken);
                },
                user => user.Username
            )
            {
                Kept = (old, kept) =>
                    old.AuthToken == kept.AuthToken && old.AuthLevel == kept.AuthLevel
                        ? null
                        : "the account here stays as it is, with its own password and level",
            },
            cancellationToken
        );
}
