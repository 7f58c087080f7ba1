using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class FileCopyConfiguration : IEntityTypeConfiguration<FileCopy>
{
    public void Configure(EntityTypeBuilder<FileCopy> builder)
    {
        builder.ToTable("instances").HasKey(i => i.Id);
        builder.HasShortText(nameof(FileCopy.FileName), nameof(FileCopy.CalculatedChecksum), nameof(FileCopy.Fingerprint));
        builder.Property(i => i.Path).HasMaxLength(4096);
        builder.HasOne(i => i.File).WithMany(f => f.Copies).HasForeignKey(i => i.FileName).OnDelete(DeleteBehavior.Restrict);
        builder.HasOne(i => i.Store).WithMany().HasForeignKey(i => i.StoreId).OnDelete(DeleteBehavior.Restrict);
        builder.HasIndex(i => new { i.FileName, i.StoreId }).IsUnique();
        builder.HasIndex(i => new { i.StoreId, i.CreatedTime });
        // SharedData queries the owner of a path for each file added by hand, and the admin search by path uses the index too.
        builder.HasIndex(i => new { i.StoreId, i.Path });
    }
}
