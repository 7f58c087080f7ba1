using Librarian.Orchestrations.TransferManagers.Https;
using Librarian.Orchestrations.TransferManagers.Local;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Orchestrations.TransferManagers;

/// <summary>Registers the transfer managers, the preferred one first.</summary>
public static class TransferManagerServices
{
    public static IServiceCollection AddTransferManagers(this IServiceCollection services)
    {
        services.AddSingleton<ITransferManager, LocalManager>();
        services.AddSingleton<ITransferManager, HttpsManager>();
        services.AddSingleton<TransferManagerChoice>();
        return services;
    }
}
