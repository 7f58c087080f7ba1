using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class OutgoingTransferConfiguration : IEntityTypeConfiguration<OutgoingTransfer>
{
    public void Configure(EntityTypeBuilder<OutgoingTransfer> builder)
    {
        builder.ToTable("outgoing_transfers").HasKey(t => t.Id);
        builder.Property(t => t.CopyId).HasColumnName("instance_id");
        builder.HasShortText(
            nameof(OutgoingTransfer.Destination),
            nameof(OutgoingTransfer.TransferChecksum),
            nameof(OutgoingTransfer.FileName),
            nameof(OutgoingTransfer.TransferManagerName)
        );
        builder.HasOne(t => t.File).WithMany().HasForeignKey(t => t.FileName).OnDelete(DeleteBehavior.Cascade);
        builder.HasOne(t => t.Copy).WithMany().HasForeignKey(t => t.CopyId).OnDelete(DeleteBehavior.SetNull);
        builder.HasOne<SendQueueItem>().WithMany().HasForeignKey(t => t.SendQueueId).OnDelete(DeleteBehavior.SetNull);
        builder
            .HasIndex(t => new { t.FileName, t.Destination })
            .IsUnique()
            .HasFilter("status in ('INITIATED','ONGOING','STAGED')")
            .HasDatabaseName("ux_outgoing_transfers_in_flight");
        builder.HasIndex(t => new
        {
            t.Destination,
            t.Status,
            t.StartTime,
        });
        builder.HasIndex(t => new { t.SendQueueId, t.Status });
        builder.HasIndex(t => new
        {
            t.FileName,
            t.Destination,
            t.Status,
        });
    }
}
