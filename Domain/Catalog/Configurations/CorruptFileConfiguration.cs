using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class CorruptFileConfiguration : IEntityTypeConfiguration<CorruptFile>
{
    public void Configure(EntityTypeBuilder<CorruptFile> builder)
    {
        builder.ToTable("corrupt_files").HasKey(c => c.Id);
        builder.Property(c => c.CopyId).HasColumnName("instance_id");
        builder.Property(c => c.CopyPath).HasColumnName("instance_path");
        builder.HasShortText(nameof(CorruptFile.FileName), nameof(CorruptFile.FileSource), nameof(CorruptFile.Checksum));
        builder.HasIndex(c => c.CopyId);
        builder.HasIndex(c => c.FileName);
    }
}
