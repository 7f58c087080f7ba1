using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Domain.DataBatches;

/// <summary>Registers the data batches of the site.</summary>
public static class DataBatchServices
{
    public static IServiceCollection AddDataBatches(this IServiceCollection services)
    {
        services.AddSingleton<IncomingBatches>();
        return services;
    }
}
