using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Orchestrations.PeerUpkeep;

/// <summary>Registers what looks after peers across all features.</summary>
public static class PeerUpkeepServices
{
    public static IServiceCollection AddPeerUpkeep(this IServiceCollection services)
    {
        services.AddSingleton<PeerProbes>();
        services.AddSingleton<PeerCatalogCheck>();
        services.AddSingleton<PeerRemoval>();
        return services;
    }
}
