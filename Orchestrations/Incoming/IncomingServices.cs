using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Orchestrations.Incoming;

/// <summary>Registers the receiving of uploads and clones.</summary>
public static class IncomingServices
{
    public static IServiceCollection AddIncomingFiles(this IServiceCollection services)
    {
        services.AddSingleton<TransferUpdates>();
        services.AddSingleton<IncomingWorkflows>();
        services.AddSingleton<IncomingReview>();
        services.AddSingleton<StagingSweep>();
        services.AddSingleton<SourceCallbacks>();
        services.AddSingleton<UploadCommits>();
        return services;
    }
}
