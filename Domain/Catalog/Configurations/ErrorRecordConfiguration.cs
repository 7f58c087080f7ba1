using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class ErrorRecordConfiguration : IEntityTypeConfiguration<ErrorRecord>
{
    public void Configure(EntityTypeBuilder<ErrorRecord> builder)
    {
        builder.ToTable("errors").HasKey(x => x.Id);
        builder.HasShortText(nameof(ErrorRecord.Severity), nameof(ErrorRecord.Category), nameof(ErrorRecord.Caller));
        builder.HasIndex(x => new { x.Cleared, x.RaisedTime });
    }
}
