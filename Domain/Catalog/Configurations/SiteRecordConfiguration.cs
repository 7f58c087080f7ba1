using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class SiteRecordConfiguration : IEntityTypeConfiguration<SiteRecord>
{
    public void Configure(EntityTypeBuilder<SiteRecord> builder)
    {
        builder.ToTable("site").HasKey(x => x.Name);
        builder.HasShortText(nameof(SiteRecord.Name), nameof(SiteRecord.CatalogId));
    }
}
