using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Durable;

/// <summary>Adds the engine to a host.</summary>
public static class DurableTaskServiceCollectionExtensions
{
    /// <summary>
    /// Adds <see cref="DurableTaskClient"/> and a background worker. One database must be chosen, with
    /// <see cref="DurableTaskBuilder.UsePostgreSql(string)"/> or <see cref="DurableTaskBuilder.UseSqlite(string)"/>.
    /// </summary>
    public static IServiceCollection AddDurableTask(this IServiceCollection services, Action<DurableTaskBuilder> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        var builder = new DurableTaskBuilder(services);
        configure(builder);
        builder.Build();
        return services;
    }
}
