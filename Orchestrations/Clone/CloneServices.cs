using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Orchestrations.Clone;

/// <summary>Registers the sending of copies to peers.</summary>
public static class CloneServices
{
    public static IServiceCollection AddCloning(this IServiceCollection services)
    {
        services.AddSingleton<BatchWork>();
        services.AddSingleton<CloneScheduler>();
        services.AddSingleton<CloneCallbacks>();
        return services;
    }
}
