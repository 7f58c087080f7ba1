using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class IncomingDriveConfiguration : IEntityTypeConfiguration<IncomingDrive>
{
    public void Configure(EntityTypeBuilder<IncomingDrive> builder)
    {
        builder.ToTable("drive_arrivals").HasKey(a => a.Id);
        builder.HasShortText(nameof(IncomingDrive.Name), nameof(IncomingDrive.Source), nameof(IncomingDrive.ManifestSha256));
        builder.HasIndex(a => new { a.DriveId, a.Trip }).IsUnique();
    }
}
