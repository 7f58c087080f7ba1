using System.Text;
using Librarian.Domain.Accounts;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Librarian.Domain.Catalog;

/// <summary>
/// The site's catalog. Tables and columns carry upstream's names (upstream-behaviour.md §1.2) so that existing panels keep
/// working; uniqueness, foreign keys and indexes that upstream lacks are added here. All times are UTC.
/// </summary>
public abstract class CatalogContext(DbContextOptions options) : DbContext(options)
{
    /// <summary>Longest name, path, checksum or user name (wire.md §3).</summary>
    public const int MaxText = 256;

    /// <summary>Files.</summary>
    public DbSet<FileRecord> Files => Set<FileRecord>();

    /// <summary>Local copies.</summary>
    public DbSet<Instance> Instances => Set<Instance>();

    /// <summary>Known copies at neighbours.</summary>
    public DbSet<RemoteInstance> RemoteInstances => Set<RemoteInstance>();

    /// <summary>Stores.</summary>
    public DbSet<StoreRecord> Stores => Set<StoreRecord>();

    /// <summary>Transfers to this site.</summary>
    public DbSet<IncomingTransfer> IncomingTransfers => Set<IncomingTransfer>();

    /// <summary>Transfers from this site.</summary>
    public DbSet<OutgoingTransfer> OutgoingTransfers => Set<OutgoingTransfer>();

    /// <summary>Store-to-store copies.</summary>
    public DbSet<CloneTransfer> CloneTransfers => Set<CloneTransfer>();

    /// <summary>Neighbours.</summary>
    public DbSet<PeerLibrarian> Librarians => Set<PeerLibrarian>();

    /// <summary>Batches.</summary>
    public DbSet<SendQueueItem> SendQueue => Set<SendQueueItem>();

    /// <summary>Performance records.</summary>
    public DbSet<CompletedTransfer> CompletedTransfers => Set<CompletedTransfer>();

    /// <summary>Suspected corrupt instances.</summary>
    public DbSet<CorruptFile> CorruptFiles => Set<CorruptFile>();

    /// <summary>Error log.</summary>
    public DbSet<ErrorRecord> Errors => Set<ErrorRecord>();

    /// <summary>Accounts.</summary>
    public DbSet<User> Users => Set<User>();

    /// <summary>Which site this catalog belongs to; one row.</summary>
    public DbSet<SiteRecord> Site => Set<SiteRecord>();

    /// <summary>Timer functions' status.</summary>
    public DbSet<TimerRecord> Timers => Set<TimerRecord>();

    /// <summary>Hand-carried drives of this site.</summary>
    public DbSet<Drive> Drives => Set<Drive>();

    /// <summary>What is on them.</summary>
    public DbSet<DriveContent> DriveContents => Set<DriveContent>();

    /// <summary>Files of directories on them.</summary>
    public DbSet<DriveMember> DriveMembers => Set<DriveMember>();

    /// <summary>Drives of other sites that were plugged in here.</summary>
    public DbSet<DriveArrival> DriveArrivals => Set<DriveArrival>();

    /// <summary>What became of their files.</summary>
    public DbSet<DriveArrivalFile> DriveArrivalFiles => Set<DriveArrivalFile>();

    /// <summary>Keys of other sites.</summary>
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
        configurationBuilder.Properties<DriveArrivalState>().HaveConversion<UpperCaseName<DriveArrivalState>>().HaveMaxLength(16);
        configurationBuilder.Properties<DriveFileOutcome>().HaveConversion<UpperCaseName<DriveFileOutcome>>().HaveMaxLength(16);
        configurationBuilder.Properties<DateTime>().HaveConversion<UtcTime>();
    }

    /// <inheritdoc />
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        ArgumentNullException.ThrowIfNull(modelBuilder);
        modelBuilder.Entity<FileRecord>(e =>
        {
            e.ToTable("files").HasKey(f => f.Name);
            e.Property(f => f.Name).HasMaxLength(MaxText);
            Text(e, nameof(FileRecord.Checksum), nameof(FileRecord.Uploader), nameof(FileRecord.Source));
            e.HasIndex(f => new { f.CreateTime, f.Name });
            // A search for any of these reads its newest hits off the index, however many files match (wire.md §6.4.1).
            e.HasIndex(f => new { f.Source, f.CreateTime, f.Name }).IsDescending(false, true, false);
            e.HasIndex(f => new { f.Uploader, f.CreateTime, f.Name }).IsDescending(false, true, false);
            e.HasIndex(f => new { f.Uploader, f.Source, f.CreateTime, f.Name }).IsDescending(false, false, true, false);
        });
        modelBuilder.Entity<Instance>(e =>
        {
            e.ToTable("instances").HasKey(i => i.Id);
            Text(e, nameof(Instance.FileName), nameof(Instance.CalculatedChecksum));
            e.Property(i => i.Path).HasMaxLength(4096);
            e.HasOne(i => i.File).WithMany(f => f.Instances).HasForeignKey(i => i.FileName).OnDelete(DeleteBehavior.Restrict);
            e.HasOne(i => i.Store).WithMany().HasForeignKey(i => i.StoreId).OnDelete(DeleteBehavior.Restrict);
            e.HasIndex(i => new { i.FileName, i.StoreId }).IsUnique();
            e.HasIndex(i => new { i.StoreId, i.CreatedTime });
            // "Whose data lie here?" (SharedData) is asked for each file added by hand, and the admin search by path asks it too.
            e.HasIndex(i => new { i.StoreId, i.Path });
        });
        modelBuilder.Entity<RemoteInstance>(e =>
        {
            e.ToTable("remote_instances").HasKey(r => r.Id);
            Text(e, nameof(RemoteInstance.FileName), nameof(RemoteInstance.Sender));
            e.HasOne<FileRecord>().WithMany(f => f.RemoteInstances).HasForeignKey(r => r.FileName).OnDelete(DeleteBehavior.Restrict);
            e.HasOne(r => r.Librarian).WithMany().HasForeignKey(r => r.LibrarianId).OnDelete(DeleteBehavior.Restrict);
            e.HasIndex(r => new { r.FileName, r.LibrarianId, r.StoreId }).IsUnique();
            e.HasIndex(r => r.LibrarianId);
        });
        modelBuilder.Entity<StoreRecord>(e =>
        {
            e.ToTable("store_metadata").HasKey(s => s.Id);
            Text(e, nameof(StoreRecord.Name));
            e.HasIndex(s => s.Name).IsUnique();
        });
        modelBuilder.Entity<IncomingTransfer>(e =>
        {
            e.ToTable("incoming_transfers").HasKey(t => t.Id);
            Text(e, nameof(IncomingTransfer.Uploader), nameof(IncomingTransfer.UploadName), nameof(IncomingTransfer.Source),
                nameof(IncomingTransfer.TransferChecksum), nameof(IncomingTransfer.TransferManagerName),
                nameof(IncomingTransfer.StagingPath), nameof(IncomingTransfer.StorePath));
            e.HasOne(t => t.Store).WithMany().HasForeignKey(t => t.StoreId).OnDelete(DeleteBehavior.Restrict);
            e.HasIndex(t => new { t.Status, t.StartTime });
            // What is promised on a store (SiteStores.ChooseAsync) is a few rows among all that ever arrived there; the index alone tells their sum.
            e.HasIndex(t => new { t.StoreId, t.Status, t.TransferSize });
            e.HasIndex(t => t.StagingPath);
            e.HasIndex(t => new { t.StorePath, t.Status });
            e.HasIndex(t => t.StorePath).IsUnique().HasFilter("\"placing\"").HasDatabaseName("ux_incoming_transfers_placing");
            e.HasIndex(t => new { t.Source, t.CallbackTries, t.Id }).HasFilter("callback_tries is not null").HasDatabaseName("ix_incoming_transfers_callback");
        });
        modelBuilder.Entity<OutgoingTransfer>(e =>
        {
            e.ToTable("outgoing_transfers").HasKey(t => t.Id);
            Text(e, nameof(OutgoingTransfer.Destination), nameof(OutgoingTransfer.TransferChecksum), nameof(OutgoingTransfer.FileName),
                nameof(OutgoingTransfer.TransferManagerName));
            e.HasOne(t => t.File).WithMany().HasForeignKey(t => t.FileName).OnDelete(DeleteBehavior.Cascade);
            e.HasOne(t => t.Instance).WithMany().HasForeignKey(t => t.InstanceId).OnDelete(DeleteBehavior.SetNull);
            e.HasOne<SendQueueItem>().WithMany().HasForeignKey(t => t.SendQueueId).OnDelete(DeleteBehavior.SetNull);
            e.HasIndex(t => new { t.FileName, t.Destination }).IsUnique()
                .HasFilter("status in ('INITIATED','ONGOING','STAGED')").HasDatabaseName("ux_outgoing_transfers_in_flight");
            e.HasIndex(t => new { t.Destination, t.Status, t.StartTime });
            e.HasIndex(t => new { t.SendQueueId, t.Status });
            e.HasIndex(t => new { t.FileName, t.Destination, t.Status });
        });
        modelBuilder.Entity<CloneTransfer>(e =>
        {
            e.ToTable("clone_transfers").HasKey(t => t.Id);
            Text(e, nameof(CloneTransfer.TransferManagerName));
            e.HasOne<StoreRecord>().WithMany().HasForeignKey(t => t.SourceStoreId).OnDelete(DeleteBehavior.Restrict);
            e.HasOne<StoreRecord>().WithMany().HasForeignKey(t => t.DestinationStoreId).OnDelete(DeleteBehavior.Restrict);
            e.HasOne<Instance>().WithMany().HasForeignKey(t => t.SourceInstanceId).OnDelete(DeleteBehavior.SetNull);
            e.HasOne<Instance>().WithMany().HasForeignKey(t => t.DestinationInstanceId).OnDelete(DeleteBehavior.SetNull);
        });
        modelBuilder.Entity<PeerLibrarian>(e =>
        {
            e.ToTable("librarians").HasKey(l => l.Id);
            Text(e, nameof(PeerLibrarian.Name), nameof(PeerLibrarian.Url));
            e.Property(l => l.Authenticator).HasMaxLength(1024);
            e.HasIndex(l => l.Name).IsUnique();
        });
        modelBuilder.Entity<SendQueueItem>(e =>
        {
            e.ToTable("send_queue").HasKey(q => q.Id);
            Text(e, nameof(SendQueueItem.Destination), nameof(SendQueueItem.OrchestrationId));
            e.HasIndex(q => new { q.Destination, q.Completed });
        });
        modelBuilder.Entity<CompletedTransfer>(e =>
        {
            e.ToTable("completed_transfers").HasKey(c => c.Id);
            e.Property(c => c.Id).ValueGeneratedNever();
            Text(e, nameof(CompletedTransfer.TaskId), nameof(CompletedTransfer.SourceEndpointId), nameof(CompletedTransfer.DestinationEndpointId));
            e.HasOne<SendQueueItem>().WithOne().HasForeignKey<CompletedTransfer>(c => c.Id).OnDelete(DeleteBehavior.Cascade);
            e.HasIndex(c => c.TaskId).IsUnique();
        });
        modelBuilder.Entity<CorruptFile>(e =>
        {
            e.ToTable("corrupt_files").HasKey(c => c.Id);
            Text(e, nameof(CorruptFile.FileName), nameof(CorruptFile.FileSource), nameof(CorruptFile.Checksum));
            e.HasIndex(c => c.InstanceId);
            e.HasIndex(c => c.FileName);
        });
        modelBuilder.Entity<ErrorRecord>(e =>
        {
            e.ToTable("errors").HasKey(x => x.Id);
            Text(e, nameof(ErrorRecord.Severity), nameof(ErrorRecord.Category), nameof(ErrorRecord.Caller));
            e.HasIndex(x => new { x.Cleared, x.RaisedTime });
        });
        modelBuilder.Entity<User>(e =>
        {
            e.ToTable("users").HasKey(u => u.Username);
            Text(e, nameof(User.Username), nameof(User.AuthToken));
        });
        modelBuilder.Entity<TimerRecord>(e =>
        {
            e.ToTable("timer_status").HasKey(t => t.Name);
            Text(e, nameof(TimerRecord.Name), nameof(TimerRecord.Schedule), nameof(TimerRecord.LeaseOwner));
        });
        ModelDrives(modelBuilder);

        modelBuilder.Entity<SiteRecord>(e =>
        {
            e.ToTable("site").HasKey(x => x.Name);
            Text(e, nameof(SiteRecord.Name));
        });
        foreach (var property in modelBuilder.Model.GetEntityTypes().SelectMany(t => t.GetProperties()))
        {
            property.SetColumnName(SnakeCase(property.Name));
            // Byte order, as SQLite's: the names below a directory are one range of the index, whatever the server's locale.
            if ((property.ClrType == typeof(string) || property.DeclaringType.ClrType == typeof(ErrorRecord) && property.ClrType.IsEnum) && Database.IsNpgsql()) property.SetCollation("C");
        }
    }

    private static void ModelDrives(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<Drive>(e =>
        {
            e.ToTable("drives").HasKey(d => d.Id);
            Text(e, nameof(Drive.Name), nameof(Drive.Destination), nameof(Drive.ManifestSha256));
            e.HasOne<StoreRecord>().WithMany().HasForeignKey(d => d.StoreId).OnDelete(DeleteBehavior.Restrict);
            e.HasIndex(d => d.Name).IsUnique();
            e.HasIndex(d => d.DriveId).IsUnique();
            e.HasIndex(d => d.StoreId).IsUnique();
        });
        modelBuilder.Entity<DriveContent>(e =>
        {
            e.ToTable("drive_contents").HasKey(c => c.Id);
            Text(e, nameof(DriveContent.FileName), nameof(DriveContent.Destination), nameof(DriveContent.Sha256));
            e.HasOne<Drive>().WithMany().HasForeignKey(c => c.DriveRow).OnDelete(DeleteBehavior.Restrict);
            e.HasIndex(c => new { c.FileName, c.Destination }).IsUnique().HasFilter("state in ('COPYING','STORED')").HasDatabaseName("ux_drive_contents_one_drive");
            e.HasIndex(c => new { c.DriveRow, c.State, c.Id });
            // The manifest is written in this order, a page at a time.
            e.HasIndex(c => new { c.DriveRow, c.Id });
            e.HasIndex(c => new { c.FileName, c.Destination, c.State });
            e.HasIndex(c => c.OutgoingTransferId);
        });
        modelBuilder.Entity<DriveMember>(e =>
        {
            e.ToTable("drive_members").HasKey(m => new { m.ContentId, m.Path });
            e.Property(m => m.Path).HasMaxLength(4096);
            Text(e, nameof(DriveMember.Sha256));
            e.HasOne<DriveContent>().WithMany().HasForeignKey(m => m.ContentId).OnDelete(DeleteBehavior.Cascade);
        });
        modelBuilder.Entity<DriveArrival>(e =>
        {
            e.ToTable("drive_arrivals").HasKey(a => a.Id);
            Text(e, nameof(DriveArrival.Name), nameof(DriveArrival.Source), nameof(DriveArrival.ManifestSha256));
            e.HasIndex(a => new { a.DriveId, a.Trip }).IsUnique();
        });
        modelBuilder.Entity<DriveArrivalFile>(e =>
        {
            e.ToTable("drive_arrival_files").HasKey(f => f.Id);
            Text(e, nameof(DriveArrivalFile.FileName), nameof(DriveArrivalFile.Checksum));
            e.HasOne<DriveArrival>().WithMany().HasForeignKey(f => f.ArrivalId).OnDelete(DeleteBehavior.Cascade);
            e.HasIndex(f => new { f.ArrivalId, f.FileName }).IsUnique();
            e.HasIndex(f => new { f.ArrivalId, f.Told, f.Id });
            e.HasIndex(f => new { f.ArrivalId, f.Outcome, f.Id });
        });
        modelBuilder.Entity<PinnedSiteKey>(e =>
        {
            e.ToTable("site_keys").HasKey(k => k.Site);
            Text(e, nameof(PinnedSiteKey.Site), nameof(PinnedSiteKey.PublicKey), nameof(PinnedSiteKey.How));
        });
    }

    private static void Text<T>(Microsoft.EntityFrameworkCore.Metadata.Builders.EntityTypeBuilder<T> entity, params string[] properties)
        where T : class
    {
        foreach (var property in properties) entity.Property(property).HasMaxLength(MaxText);
    }

    private static string SnakeCase(string name)
    {
        var result = new StringBuilder(name.Length + 8);
        foreach (var c in name)
        {
            if (char.IsUpper(c) && result.Length > 0) result.Append('_');
            result.Append(char.ToLowerInvariant(c));
        }

        return result.ToString();
    }
}

/// <summary>The catalog on SQLite, the embedded default.</summary>
public sealed class SqliteCatalog(DbContextOptions<SqliteCatalog> options) : CatalogContext(options);

/// <summary>The catalog on PostgreSQL, for production and for several workers.</summary>
public sealed class PostgresCatalog(DbContextOptions<PostgresCatalog> options) : CatalogContext(options);

/// <summary>Stores an enum by its upper-case member name, as upstream does (upstream-behaviour.md §1.1).</summary>
internal sealed class UpperCaseName<T>() : ValueConverter<T, string>(
    value => value.ToString()!.ToUpperInvariant(),
    text => Enum.Parse<T>(text, true))
    where T : struct, Enum;

/// <summary>Stores an enum as it goes over the wire: lower case with underscores.</summary>
internal sealed class SnakeCaseName<T>() : ValueConverter<T, string>(
    value => System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString()!),
    text => Enum.Parse<T>(text.Replace("_", "", StringComparison.Ordinal), true))
    where T : struct, Enum;

/// <summary>
/// Reads every time as UTC (SQLite has no time zone of its own) and keeps whole microseconds, as PostgreSQL and the wire do: a time that a
/// client was told is found again by equality on either database.
/// </summary>
internal sealed class UtcTime() : ValueConverter<DateTime, DateTime>(
    value => Whole(value.Kind == DateTimeKind.Unspecified ? DateTime.SpecifyKind(value, DateTimeKind.Utc) : value.ToUniversalTime()),
    value => DateTime.SpecifyKind(value, DateTimeKind.Utc))
{
    private static DateTime Whole(DateTime utc) => new(utc.Ticks - (utc.Ticks % TimeSpan.TicksPerMicrosecond), DateTimeKind.Utc);
}
