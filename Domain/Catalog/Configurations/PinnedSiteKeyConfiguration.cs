using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class PinnedSiteKeyConfiguration : IEntityTypeConfiguration<PinnedSiteKey>
{
    public void Configure(EntityTypeBuilder<PinnedSiteKey> builder)
    {
        builder.ToTable("site_keys").HasKey(k => k.Site);
        builder.HasShortText(nameof(PinnedSiteKey.Site), nameof(PinnedSiteKey.PublicKey), nameof(PinnedSiteKey.How));
    }
}
