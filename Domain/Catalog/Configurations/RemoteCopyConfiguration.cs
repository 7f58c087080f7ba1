using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class RemoteCopyConfiguration : IEntityTypeConfiguration<RemoteCopy>
{
    public void Configure(EntityTypeBuilder<RemoteCopy> builder)
    {
        builder.ToTable("remote_instances").HasKey(r => r.Id);
        builder.Property(r => r.PeerId).HasColumnName("librarian_id");
        builder.HasShortText(nameof(RemoteCopy.FileName), nameof(RemoteCopy.Sender));
        builder.HasOne<FileRecord>().WithMany(f => f.RemoteCopies).HasForeignKey(r => r.FileName).OnDelete(DeleteBehavior.Restrict);
        builder.HasOne(r => r.Peer).WithMany().HasForeignKey(r => r.PeerId).OnDelete(DeleteBehavior.Restrict);
        builder
            .HasIndex(r => new
            {
                r.FileName,
                r.PeerId,
                r.StoreId,
            })
            .IsUnique();
        builder.HasIndex(r => r.PeerId);
        // Few copies are in doubt, and they are queried after every restore of a peer.
        builder
            .HasIndex(r => new { r.PeerId, r.UnconfirmedSince })
            .HasFilter("unconfirmed_since is not null")
            .HasDatabaseName("ix_remote_instances_unconfirmed");
    }
}
