using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class CloneTransferConfiguration : IEntityTypeConfiguration<CloneTransfer>
{
    public void Configure(EntityTypeBuilder<CloneTransfer> builder)
    {
        builder.ToTable("clone_transfers").HasKey(t => t.Id);
        builder.Property(t => t.SourceCopyId).HasColumnName("source_instance_id");
        builder.Property(t => t.DestinationCopyId).HasColumnName("destination_instance_id");
        builder.HasShortText(nameof(CloneTransfer.TransferManagerName));
        builder.HasOne<StoreRecord>().WithMany().HasForeignKey(t => t.SourceStoreId).OnDelete(DeleteBehavior.Restrict);
        builder.HasOne<StoreRecord>().WithMany().HasForeignKey(t => t.DestinationStoreId).OnDelete(DeleteBehavior.Restrict);
        builder.HasOne<FileCopy>().WithMany().HasForeignKey(t => t.SourceCopyId).OnDelete(DeleteBehavior.SetNull);
        builder.HasOne<FileCopy>().WithMany().HasForeignKey(t => t.DestinationCopyId).OnDelete(DeleteBehavior.SetNull);
    }
}
