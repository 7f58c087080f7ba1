using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class CompletedTransferConfiguration : IEntityTypeConfiguration<CompletedTransfer>
{
    public void Configure(EntityTypeBuilder<CompletedTransfer> builder)
    {
        builder.ToTable("completed_transfers").HasKey(c => c.Id);
        builder.Property(c => c.Id).ValueGeneratedNever();
        builder.HasShortText(
            nameof(CompletedTransfer.TaskId),
            nameof(CompletedTransfer.SourceEndpointId),
            nameof(CompletedTransfer.DestinationEndpointId)
        );
        builder.HasOne<SendQueueItem>().WithOne().HasForeignKey<CompletedTransfer>(c => c.Id).OnDelete(DeleteBehavior.Cascade);
        builder.HasIndex(c => c.TaskId).IsUnique();
    }
}
