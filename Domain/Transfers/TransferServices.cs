using Librarian.Domain.TransferManagers;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Domain.Transfers;

/// <summary>Registers the rules for transfers to and from the site, the way that bytes move, and the ingest of staged files.</summary>
public static class TransferServices
{
    public static IServiceCollection AddTransfers(this IServiceCollection services)
    {
        services.AddSingleton<LocalTransferManager>();
        services.AddSingleton<IncomingTransfers>();
        services.AddSingleton<OutgoingTransfers>();
        services.AddSingleton<Checkin>();
        services.AddSingleton<StagedFileIngest>();
        return services;
    }
}
