using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Domain.Files;

/// <summary>Registers the rules for catalogued files and their copies.</summary>
public static class FileServices
{
    public static IServiceCollection AddFiles(this IServiceCollection services)
    {
        services.AddSingleton<CopyChecks>();
        services.AddSingleton<CopyProbe>();
        services.AddSingleton<FileAdministration>();
        return services;
    }
}
