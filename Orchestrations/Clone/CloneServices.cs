using Librarian.Orchestrations.TransferEvents;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Orchestrations.Clone;

/// <summary>Registers the sending of copies to peers.</summary>
public static class CloneServices
{
    public static IServiceCollection AddCloning(this IServiceCollection services)
    {
        services.AddSingleton<BatchCalls>();
        services.AddSingleton<TransferIds>();
        services.AddSingleton<BatchWork>();
        services.AddSingleton<CopyConfirmation>();
        services.AddSingleton<CloneScheduler>();
        services.AddSingleton<CopyAcknowledgements>();
        services.AddSingleton<IEndedTransfersHandler, EndedBatches>();
        return services;
    }
}
