using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal static class ShortText
{
    /// <summary>Limits text properties to <see cref="CatalogContext.MaxText"/> characters.</summary>
    public static void HasShortText<T>(this EntityTypeBuilder<T> entity, params string[] properties)
        where T : class
    {
        foreach (var property in properties)
            entity.Property(property).HasMaxLength(CatalogContext.MaxText);
    }
}
