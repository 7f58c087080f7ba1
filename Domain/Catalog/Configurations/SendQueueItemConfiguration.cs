using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class SendQueueItemConfiguration : IEntityTypeConfiguration<SendQueueItem>
{
    public void Configure(EntityTypeBuilder<SendQueueItem> builder)
    {
        builder.ToTable("send_queue").HasKey(q => q.Id);
        builder.HasShortText(nameof(SendQueueItem.Destination), nameof(SendQueueItem.OrchestrationId));
        builder.HasIndex(q => new { q.Destination, q.Completed });
    }
}
