using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class DriveConfiguration : IEntityTypeConfiguration<Drive>
{
    public void Configure(EntityTypeBuilder<Drive> builder)
    {
        builder.ToTable("drives").HasKey(d => d.Id);
        builder.HasShortText(nameof(Drive.Name), nameof(Drive.Destination), nameof(Drive.ManifestSha256));
        builder.HasOne<StoreRecord>().WithMany().HasForeignKey(d => d.StoreId).OnDelete(DeleteBehavior.Restrict);
        builder.HasIndex(d => d.Name).IsUnique();
        builder.HasIndex(d => d.DriveId).IsUnique();
        builder.HasIndex(d => d.StoreId).IsUnique();
    }
}
