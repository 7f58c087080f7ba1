using Librarian.Domain.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Accounts;

/// <summary>Registers accounts and the check of their passwords.</summary>
public static class AccountServices
{
    public static IServiceCollection AddAccounts(this IServiceCollection services)
    {
        services.AddSingleton<PasswordHasher>(_ => new PasswordHasher());
        services.AddSingleton(provider => new VerifiedCredentialCache(
            provider.GetRequiredService<TimeProvider>(),
            new VerifiedCredentialCacheOptions { Lifetime = provider.GetRequiredService<IOptions<SiteOptions>>().Value.CredentialLifetime }
        ));
        services.AddSingleton<CredentialVerifier>();
        services.AddSingleton<AccountDirectory>();
        return services;
    }
}
