namespace Librarian.Domain.Catalog;

/// <summary>A member of a directory on a drive (table <c>drive_members</c>).</summary>
public sealed class DriveMember
{
    /// <summary>The directory (<see cref="DriveContent.Id"/>).</summary>
    public required long ContentId { get; init; }

    /// <summary>Relative to the directory.</summary>
    public required string Path { get; init; }

    /// <summary>Bytes.</summary>
    public required long Size { get; init; }

    /// <summary>Lower-case hexadecimal.</summary>
    public required string Sha256 { get; init; }
}
