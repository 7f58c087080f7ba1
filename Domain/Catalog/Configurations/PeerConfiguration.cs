using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Librarian.Domain.Catalog.Configurations;

internal sealed class PeerConfiguration : IEntityTypeConfiguration<Peer>
{
    public void Configure(EntityTypeBuilder<Peer> builder)
    {
        builder.ToTable("librarians").HasKey(l => l.Id);
        builder.HasShortText(nameof(Peer.Name), nameof(Peer.Url), nameof(Peer.CatalogId));
        builder.Property(l => l.CatalogSeen).HasMaxLength(512);
        builder.Property(l => l.Authenticator).HasMaxLength(1024);
        builder.HasIndex(l => l.Name).IsUnique();
    }
}
