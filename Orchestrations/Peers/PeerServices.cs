using Librarian.Domain.Peers;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Orchestrations.Peers;

/// <summary>Registers what the site knows of its peers, and its calls to them.</summary>
public static class PeerServices
{
    public static IServiceCollection AddPeers(this IServiceCollection services)
    {
        services.AddSingleton<PeerDirectory>();
        services.AddSingleton<SiteCatalog>();
        services.AddSingleton<PeerCatalogs>();
        services.AddSingleton<PeerPresence>();
        services.AddSingleton<PeerConnections>();
        services.AddSingleton<PeerCheck>();
        return services;
    }
}
