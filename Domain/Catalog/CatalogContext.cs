using System.Text;
using Librarian.Domain.Catalog.Conversions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata;

namespace Librarian.Domain.Catalog;

/// <summary>
/// The site's catalog. Tables and columns have upstream's names (docs/spec/upstream.md#tables), so that existing dashboards keep working;
/// uniqueness, foreign keys and indexes that upstream lacks are added here. All times are UTC.
/// </summary>
public abstract class CatalogContext(DbContextOptions options) : DbContext(options)
{
    /// <summary>Longest name, path, checksum or user name (docs/spec/wire.md#lengths).</summary>
    public const int MaxText = 256;

    public DbSet<FileRecord> Files => Set<FileRecord>();

    /// <summary>Copies of files on this site's stores.</summary>
    public DbSet<FileCopy> Copies => Set<FileCopy>();

    /// <summary>Known copies at peers.</summary>
    public DbSet<RemoteCopy> RemoteCopies => Set<RemoteCopy>();

    public DbSet<StoreRecord> Stores => Set<StoreRecord>();

    /// <summary>Transfers to this site.</summary>
    public DbSet<IncomingTransfer> IncomingTransfers => Set<IncomingTransfer>();

    /// <summary>Transfers from this site.</summary>
    public DbSet<OutgoingTransfer> OutgoingTransfers => Set<OutgoingTransfer>();

    /// <summary>Store-to-store copies.</summary>
    public DbSet<CloneTransfer> CloneTransfers => Set<CloneTransfer>();

    /// <summary>Peers.</summary>
    public DbSet<Peer> Peers => Set<Peer>();

    /// <summary>Batches to peers.</summary>
    public DbSet<SendQueueItem> SendQueue => Set<SendQueueItem>();

    /// <summary>Performance of finished batches.</summary>
    public DbSet<CompletedTransfer> CompletedTransfers => Set<CompletedTransfer>();

    /// <summary>Corrupt and missing copies.</summary>
    public DbSet<CorruptFile> CorruptFiles => Set<CorruptFile>();

    public DbSet<ErrorRecord> Errors => Set<ErrorRecord>();

    public DbSet<User> Users => Set<User>();

    /// <summary>The site that this catalog belongs to; one row.</summary>
    public DbSet<SiteRecord> Site => Set<SiteRecord>();

    /// <summary>Starts of processes on this catalog.</summary>
    public DbSet<CatalogIncarnation> CatalogIncarnations => Set<CatalogIncarnation>();

    /// <summary>
    /// Copies that are available and not known to be corrupt or missing. Everything that reads, sends or names a copy of a file uses this;
    /// the list of corrupt copies is short, and its index by copy makes the check cheap.
    /// </summary>
    public IQueryable<FileCopy> IntactCopies => Copies.Where(i => i.Available && !CorruptFiles.Any(c => c.CopyId == i.Id));

    /// <summary>Status of timer functions.</summary>
    public DbSet<TimerRecord> Timers => Set<TimerRecord>();

    /// <summary>Hand-carried drives of this site.</summary>
    public DbSet<Drive> Drives => Set<Drive>();

    /// <summary>Files on this site's drives.</summary>
    public DbSet<DriveContent> DriveContents => Set<DriveContent>();

    /// <summary>Members of directories on this site's drives.</summary>
    public DbSet<DriveMember> DriveMembers => Set<DriveMember>();

    /// <summary>Drives of peers that were plugged in here.</summary>
    public DbSet<IncomingDrive> IncomingDrives => Set<IncomingDrive>();

    /// <summary>Outcomes of the files on incoming drives.</summary>
    public DbSet<IncomingDriveFile> IncomingDriveFiles => Set<IncomingDriveFile>();

    /// <summary>Public keys of other sites.</summary>
    public DbSet<PinnedSiteKey> SiteKeys => Set<PinnedSiteKey>();

    /// <inheritdoc />
    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder)
    {
        ArgumentNullException.ThrowIfNull(configurationBuilder);
        configurationBuilder.Properties<TransferStatus>().HaveConversion<UpperCaseName<TransferStatus>>().HaveMaxLength(16);
        configurationBuilder.Properties<DeletionPolicy>().HaveConversion<UpperCaseName<DeletionPolicy>>().HaveMaxLength(16);
        configurationBuilder.Properties<AuthLevel>().HaveConversion<UpperCaseName<AuthLevel>>().HaveMaxLength(16);
        configurationBuilder.Properties<ErrorSeverity>().HaveConversion<SnakeCaseName<ErrorSeverity>>();
        configurationBuilder.Properties<ErrorCategory>().HaveConversion<SnakeCaseName<ErrorCategory>>();
        configurationBuilder.Properties<DriveState>().HaveConversion<UpperCaseName<DriveState>>().HaveMaxLength(16);
        configurationBuilder.Properties<DriveContentState>().HaveConversion<UpperCaseName<DriveContentState>>().HaveMaxLength(16);
        configurationBuilder.Properties<IncomingDriveState>().HaveConversion<UpperCaseName<IncomingDriveState>>().HaveMaxLength(16);
        configurationBuilder.Properties<DriveFileOutcome>().HaveConversion<UpperCaseName<DriveFileOutcome>>().HaveMaxLength(16);
        configurationBuilder.Properties<DateTime>().HaveConversion<UtcTime>();
    }

    /// <inheritdoc />
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        ArgumentNullException.ThrowIfNull(modelBuilder);
        modelBuilder.ApplyConfigurationsFromAssembly(typeof(CatalogContext).Assembly);
        foreach (var property in modelBuilder.Model.GetEntityTypes().SelectMany(t => t.GetProperties()))
        {
            if (property.FindAnnotation(RelationalAnnotationNames.ColumnName) is null)
                property.SetColumnName(SnakeCase(property.Name));
            // Byte order, as in SQLite: the names below a directory are one range of the index, whatever the server's locale.
            if (
                (property.ClrType == typeof(string) || property.DeclaringType.ClrType == typeof(ErrorRecord) && property.ClrType.IsEnum)
                && Database.IsNpgsql()
            )
                property.SetCollation("C");
        }
    }

    private static string SnakeCase(string name)
    {
        var result = new StringBuilder(name.Length + 8);
        foreach (var c in name)
        {
            if (char.IsUpper(c) && result.Length > 0)
                result.Append('_');
            result.Append(char.ToLowerInvariant(c));
        }

        return result.ToString();
    }
}
