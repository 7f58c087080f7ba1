using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Domain.Stores;

/// <summary>Registers the stores of the site.</summary>
public static class StoreServices
{
    public static IServiceCollection AddStores(this IServiceCollection services)
    {
        services.AddSingleton<SiteStores>();
        return services;
    }
}
