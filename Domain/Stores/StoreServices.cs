using Librarian.Domain.TransferManagers;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Domain.Stores;

/// <summary>Registers the stores of the site and the way that bytes move to them.</summary>
public static class StoreServices
{
    public static IServiceCollection AddStores(this IServiceCollection services)
    {
        services.AddSingleton<SiteStores>();
        services.AddSingleton<LocalTransferManager>();
        return services;
    }
}
