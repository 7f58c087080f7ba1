using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Tests.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Domain.Accounts;

/// <summary>Requests are answered from memory, and still nobody keeps rights that were taken away.</summary>
public sealed class AccountDirectoryTests(PostgresServer server) : IDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly PasswordHasher _hasher = new(new PasswordHasherOptions { Cost = new Argon2Cost(64, 1, 1) });

    public void Dispose() => _hasher.Dispose();

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Authenticate_ChangedHere_HoldsAtOnce(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        var accounts = Directory(catalog.Database);
        Assert.Equal(AccountChange.Done, await accounts.CreateAsync("ada", "one", AuthLevel.ReadAppend, default));
        Assert.Equal(AuthLevel.ReadAppend, await accounts.AuthenticateAsync("ada", "one", default));
        Assert.Equal(AuthLevel.ReadAppend, await accounts.AuthenticateAsync("ada", "one", default));

        await accounts.UpdateAsync("ada", null, AuthLevel.ReadOnly, default);
        Assert.Equal(AuthLevel.ReadOnly, await accounts.AuthenticateAsync("ada", "one", default));
        await accounts.UpdateAsync("ada", "two", null, default);
        Assert.Equal(AuthLevel.None, await accounts.AuthenticateAsync("ada", "one", default));
        Assert.Equal(AuthLevel.ReadOnly, await accounts.AuthenticateAsync("ada", "two", default));
        await accounts.DeleteAsync("ada", default);
        Assert.Equal(AuthLevel.None, await accounts.AuthenticateAsync("ada", "two", default));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Authenticate_ChangedByAnotherProcess_HoldsAfterASecondAtMost(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        var (here, there) = (Directory(catalog.Database), Directory(catalog.Database));
        await there.CreateAsync("ada", "one", AuthLevel.ReadAppend, default);
        Assert.Equal(AuthLevel.ReadAppend, await here.AuthenticateAsync("ada", "one", default));

        await there.UpdateAsync("ada", "two", AuthLevel.Callback, default);
        // What was given is there at once: only a credential that was good before is answered from memory.
        Assert.Equal(AuthLevel.Callback, await here.AuthenticateAsync("ada", "two", default));
        Assert.Equal(AuthLevel.None, await here.AuthenticateAsync("ada", "one", default));

        await there.DeleteAsync("ada", default);
        Assert.Equal(AuthLevel.Callback, await here.AuthenticateAsync("ada", "two", default));
        _time.Advance(AccountDirectory.Freshness);
        Assert.Equal(AuthLevel.None, await here.AuthenticateAsync("ada", "two", default));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Authenticate_SameCredentialAgain_AsksTheDatabaseOnceASecond(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        var accounts = Directory(catalog.Database);
        await accounts.CreateAsync("ada", "one", AuthLevel.Admin, default);
        await accounts.AuthenticateAsync("ada", "one", default);
        await using (var db = catalog.Database.Open())
            await db.Database.ExecuteSqlAsync($"alter table users rename to users_away");

        Assert.Equal(AuthLevel.Admin, await accounts.AuthenticateAsync("ada", "one", default));
        await Assert.ThrowsAnyAsync<Exception>(() => accounts.AuthenticateAsync("ada", "wrong", default));
        _time.Advance(AccountDirectory.Freshness);
        await Assert.ThrowsAnyAsync<Exception>(() => accounts.AuthenticateAsync("ada", "one", default));
    }

    private AccountDirectory Directory(CatalogDatabase database) =>
        new(
            database,
            _hasher,
            new CredentialVerifier(_hasher, new VerifiedCredentialCache(_time)),
            Options.Create(new SiteOptions()),
            _time
        );
}
