using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class TimerRecordConfiguration : IEntityTypeConfiguration<TimerRecord>
{
    public void Configure(EntityTypeBuilder<TimerRecord> builder)
    {
        builder.ToTable("timer_status").HasKey(t => t.Name);
        builder.HasShortText(nameof(TimerRecord.Name), nameof(TimerRecord.Schedule), nameof(TimerRecord.LeaseOwner));
    }
}
