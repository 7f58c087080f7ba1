using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class IncomingDriveFileConfiguration : IEntityTypeConfiguration<IncomingDriveFile>
{
    public void Configure(EntityTypeBuilder<IncomingDriveFile> builder)
    {
        builder.ToTable("drive_arrival_files").HasKey(f => f.Id);
        builder.Property(f => f.IncomingDriveId).HasColumnName("arrival_id");
        builder.Property(f => f.Reported).HasColumnName("told");
        builder.HasShortText(nameof(IncomingDriveFile.FileName), nameof(IncomingDriveFile.Checksum));
        builder.HasOne<IncomingDrive>().WithMany().HasForeignKey(f => f.IncomingDriveId).OnDelete(DeleteBehavior.Cascade);
        builder.HasIndex(f => new { f.IncomingDriveId, f.FileName }).IsUnique();
        builder.HasIndex(f => new
        {
            f.IncomingDriveId,
            f.Reported,
            f.Id,
        });
        builder.HasIndex(f => new
        {
            f.IncomingDriveId,
            f.Outcome,
            f.Id,
        });
    }
}
