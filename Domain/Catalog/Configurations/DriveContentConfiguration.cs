using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class DriveContentConfiguration : IEntityTypeConfiguration<DriveContent>
{
    public void Configure(EntityTypeBuilder<DriveContent> builder)
    {
        builder.ToTable("drive_contents").HasKey(c => c.Id);
        builder.HasShortText(nameof(DriveContent.FileName), nameof(DriveContent.Destination), nameof(DriveContent.Sha256));
        builder.HasOne<Drive>().WithMany().HasForeignKey(c => c.DriveRow).OnDelete(DeleteBehavior.Restrict);
        builder
            .HasIndex(c => new { c.FileName, c.Destination })
            .IsUnique()
            .HasFilter("state in ('COPYING','STORED')")
            .HasDatabaseName("ux_drive_contents_one_drive");
        builder.HasIndex(c => new
        {
            c.DriveRow,
            c.State,
            c.Id,
        });
        // The manifest is written in this order, page by page.
        builder.HasIndex(c => new { c.DriveRow, c.Id });
        builder.HasIndex(c => new
        {
            c.FileName,
            c.Destination,
            c.State,
        });
        builder.HasIndex(c => c.OutgoingTransferId);
    }
}
