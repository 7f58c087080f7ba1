using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class FileRecordConfiguration : IEntityTypeConfiguration<FileRecord>
{
    public void Configure(EntityTypeBuilder<FileRecord> builder)
    {
        builder.ToTable("files").HasKey(f => f.Name);
        builder.Property(f => f.Name).HasMaxLength(CatalogContext.MaxText);
        builder.HasShortText(
            nameof(FileRecord.Checksum),
            nameof(FileRecord.Uploader),
            nameof(FileRecord.Source),
            nameof(FileRecord.TreeDigest)
        );
        builder.HasIndex(f => new { f.CreateTime, f.Name });
        // A search by any of these reads its newest hits from the index, however many files match (docs/spec/wire.md#search-file).
        builder
            .HasIndex(f => new
            {
                f.Source,
                f.CreateTime,
                f.Name,
            })
            .IsDescending(false, true, false);
        builder
            .HasIndex(f => new
            {
                f.Uploader,
                f.CreateTime,
                f.Name,
            })
            .IsDescending(false, true, false);
        builder
            .HasIndex(f => new
            {
                f.Uploader,
                f.Source,
                f.CreateTime,
                f.Name,
            })
            .IsDescending(false, false, true, false);
    }
}
