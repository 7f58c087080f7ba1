using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class CatalogIncarnationConfiguration : IEntityTypeConfiguration<CatalogIncarnation>
{
    public void Configure(EntityTypeBuilder<CatalogIncarnation> builder)
    {
        builder.ToTable("catalog_incarnations").HasKey(c => c.Id);
        builder.HasShortText(nameof(CatalogIncarnation.Id));
        builder.HasIndex(c => c.StartedTime);
    }
}
