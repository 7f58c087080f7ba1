namespace Librarian.Domain.Drives;

/// <summary>A file that waits for a drive, and its copies in the site's stores.</summary>
internal sealed record WaitingFile
{
    public required string Name { get; init; }

    public required long Size { get; init; }

    public required string Checksum { get; init; }

    public required string Uploader { get; init; }

    public required string Source { get; init; }

    public required List<WaitingCopy> Copies { get; init; }
}

/// <summary>A copy from which a waiting file can be put on a drive.</summary>
internal sealed record WaitingCopy
{
    public required long Id { get; init; }

    public required long StoreId { get; init; }

    public required string Path { get; init; }

    public required DeletionPolicy DeletionPolicy { get; init; }
}
