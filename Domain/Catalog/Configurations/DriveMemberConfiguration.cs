using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class DriveMemberConfiguration : IEntityTypeConfiguration<DriveMember>
{
    public void Configure(EntityTypeBuilder<DriveMember> builder)
    {
        builder.ToTable("drive_members").HasKey(m => new { m.ContentId, m.Path });
        builder.Property(m => m.Path).HasMaxLength(4096);
        builder.HasShortText(nameof(DriveMember.Sha256));
        builder.HasOne<DriveContent>().WithMany().HasForeignKey(m => m.ContentId).OnDelete(DeleteBehavior.Cascade);
    }
}
