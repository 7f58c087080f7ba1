using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class IncomingTransferConfiguration : IEntityTypeConfiguration<IncomingTransfer>
{
    public void Configure(EntityTypeBuilder<IncomingTransfer> builder)
    {
        builder.ToTable("incoming_transfers").HasKey(t => t.Id);
        builder.Property(t => t.FileName).HasColumnName("store_path");
        builder.Property(t => t.Committing).HasColumnName("placing");
        builder.HasShortText(
            nameof(IncomingTransfer.Uploader),
            nameof(IncomingTransfer.UploadName),
            nameof(IncomingTransfer.Source),
            nameof(IncomingTransfer.TransferChecksum),
            nameof(IncomingTransfer.TransferManagerName),
            nameof(IncomingTransfer.StagingPath),
            nameof(IncomingTransfer.FileName),
            nameof(IncomingTransfer.TreeDigest)
        );
        builder.HasOne(t => t.Store).WithMany().HasForeignKey(t => t.StoreId).OnDelete(DeleteBehavior.Restrict);
        builder.HasIndex(t => new { t.Status, t.StartTime });
        // Transfers with reserved space on a store (SiteStores.ChooseAsync) are a few rows among all that ever arrived there; the index
        // alone gives their sum.
        builder.HasIndex(t => new
        {
            t.StoreId,
            t.Status,
            t.TransferSize,
        });
        builder.HasIndex(t => t.StagingPath);
        builder.HasIndex(t => new { t.FileName, t.Status });
        builder.HasIndex(t => t.FileName).IsUnique().HasFilter("\"placing\"").HasDatabaseName("ux_incoming_transfers_placing");
        builder
            .HasIndex(t => new
            {
                t.Source,
                t.CallbackTries,
                t.Id,
            })
            .HasFilter("callback_tries is not null")
            .HasDatabaseName("ix_incoming_transfers_callback");
    }
}
