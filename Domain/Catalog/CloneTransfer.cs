namespace Librarian.Domain.Catalog;

/// <summary>A copy from one local store to another (table <c>clone_transfers</c>).</summary>
public sealed class CloneTransfer
{
    public long Id { get; init; }

    public required TransferStatus Status { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime StartTime { get; init; }

    /// <summary>UTC.</summary>
    public DateTime? EndTime { get; set; }

    /// <summary>The store that is read.</summary>
    public required long SourceStoreId { get; init; }

    /// <summary>The store that is written.</summary>
    public required long DestinationStoreId { get; init; }

    /// <summary>Transfer manager that carried it.</summary>
    public string? TransferManagerName { get; set; }

    /// <summary>The copy that is read; null once its row is gone.</summary>
    public long? SourceCopyId { get; set; }

    /// <summary>The new copy.</summary>
    public long? DestinationCopyId { get; set; }
}
