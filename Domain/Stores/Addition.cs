using Librarian.Domain.Checksums;

namespace Librarian.Domain.Stores;

/// <summary>A file or directory of one store that is to be copied into another.</summary>
/// <param name="Source">Its name in the store that is read.</param>
/// <param name="Name">Its name in the store that is written.</param>
/// <param name="Expected">Its content as the catalog declares it.</param>
/// <param name="Id">
/// Names this addition, its staging directory and its commit: the same for every attempt, and different from all other additions.
/// </param>
public sealed record Addition(FileName Source, FileName Name, ContentDescription Expected, Guid Id)
{
    /// <summary>SHA-256 that a single file must have, too, in lower-case hexadecimal; null if unknown.</summary>
    public string? ExpectedSha256 { get; init; }

    /// <summary>Expected <see cref="MemberFingerprint"/> of a directory, which includes names; null if unknown.</summary>
    public string? ExpectedMembers { get; init; }

    /// <summary>
    /// Returns true for the path of a directory entry that is not part of the data and is not copied; null if everything is. Called on one
    /// thread.
    /// </summary>
    public Func<string, bool>? LeaveOut { get; init; }
}

/// <summary>How an addition ended.</summary>
public enum AdditionStatus
{
    /// <summary>The copy has its name, is on disk, and was read back from there.</summary>
    Added,

    /// <summary>The source does not exist.</summary>
    SourceMissing,

    /// <summary>The source differs from the expected content: it is damaged or changing.</summary>
    SourceDiffers,

    /// <summary>The copy could not be read back equal, so the medium that was written is bad. Nothing of the copy was kept.</summary>
    CopyDiffers,

    /// <summary>Other data have the name; they were left unchanged.</summary>
    NameTaken,

    /// <summary>The store is full. Nothing of the copy was kept.</summary>
    NoSpace,

    /// <summary>The source contains links or special files that no store takes.</summary>
    Refused,

    /// <summary>The store's medium cannot hold one of the names or links, or a file of that size. Another medium may.</summary>
    Unfit,

    /// <summary>The operating system refused to read the source.</summary>
    SourceError,

    /// <summary>The operating system refused to write to the store.</summary>
    IoError,
}

/// <summary>The outcome of one addition.</summary>
/// <param name="Addition">The addition.</param>
/// <param name="Status">How it ended.</param>
/// <param name="Message">For people.</param>
public sealed record AdditionResult(Addition Addition, AdditionStatus Status, string Message)
{
    /// <summary>SHA-256 of a single file, lower-case hexadecimal; null for a directory.</summary>
    public string? Sha256 { get; init; }

    /// <summary>Number of regular files in it; 1 for a single file.</summary>
    public long Files { get; init; }

    public bool IsDirectory { get; init; }

    /// <summary>
    /// For an added file: it had its name already, from an interrupted attempt or from before the catalog's memory. The caller has to make
    /// sure that no other catalogued file has its data there.
    /// </summary>
    public bool WasThere { get; init; }

    /// <summary>
    /// For a directory, if requested: a file with one JSON line per member (<see cref="MemberLine"/>), in no order. The caller removes it.
    /// </summary>
    public string? MembersFile { get; init; }
}
