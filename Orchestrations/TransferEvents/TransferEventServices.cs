using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Orchestrations.TransferEvents;

/// <summary>Registers the event that transfers have ended; whoever waits for it registers its handler.</summary>
public static class TransferEventServices
{
    public static IServiceCollection AddTransferEvents(this IServiceCollection services)
    {
        services.AddSingleton<EndedTransfers>();
        return services;
    }
}
