using Librarian.Orchestrations.Validation;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Orchestrations.Repair;

/// <summary>Registers the validation of copies and the replacement of corrupt ones.</summary>
public static class RepairServices
{
    public static IServiceCollection AddRepair(this IServiceCollection services)
    {
        services.AddSingleton<FileValidator>();
        services.AddSingleton<ReplacementOffer>();
        services.AddSingleton<ReplacementRequests>();
        services.AddSingleton<ReplacementSender>();
        services.AddSingleton<RepairScheduler>();
        return services;
    }
}
