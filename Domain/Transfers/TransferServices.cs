using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Domain.Transfers;

/// <summary>Registers the rules for transfers to and from the site, and the ingest of staged files.</summary>
public static class TransferServices
{
    public static IServiceCollection AddTransfers(this IServiceCollection services)
    {
        services.AddSingleton<IncomingTransfers>();
        services.AddSingleton<OutgoingTransfers>();
        services.AddSingleton<Checkin>();
        services.AddSingleton<StagedFileIngest>();
        return services;
    }
}
