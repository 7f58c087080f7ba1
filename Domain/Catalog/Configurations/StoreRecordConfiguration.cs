using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class StoreRecordConfiguration : IEntityTypeConfiguration<StoreRecord>
{
    public void Configure(EntityTypeBuilder<StoreRecord> builder)
    {
        builder.ToTable("store_metadata").HasKey(s => s.Id);
        builder.HasShortText(nameof(StoreRecord.Name));
        builder.HasIndex(s => s.Name).IsUnique();
    }
}
