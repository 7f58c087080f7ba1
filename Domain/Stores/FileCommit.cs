using Librarian.Domain.Checksums;

namespace Librarian.Domain.Stores;

/// <summary>A request to commit verified data: to move them from staging to their final name.</summary>
/// <param name="StagingName">The entry of staging.</param>
/// <param name="UploadName">
/// The data's path in it; null if the staging entry is the data themselves and not a directory around them.
/// </param>
/// <param name="Destination">The final name in the store.</param>
/// <param name="Expected">The verified content. Used to verify a copy, and to recognise the data after a crash.</param>
/// <param name="CommitId">
/// Names this commit: the same for every attempt and different from all other commits, so that an attempt after a crash continues the
/// first.
/// </param>
public sealed record FileCommit(Guid StagingName, FileName? UploadName, FileName Destination, ContentDescription Expected, Guid CommitId)
{
    /// <summary>
    /// Entered while the data are read, to copy them or to recognise them after a crash; null for no limit. A rename reads nothing and does
    /// not wait.
    /// </summary>
    public SemaphoreSlim? Readers { get; init; }

    /// <summary>
    /// The reading that verified the staged data, with <see cref="DigestOptions.FlushToDisk"/> and <see cref="DigestOptions.TakeOver"/>.
    /// Data are renamed only if every entry is still the one that was read and nobody else can write it. All other data, and all data
    /// without such a reading, are copied and verified in the copy.
    /// </summary>
    public DigestResult? Verified { get; init; }

    /// <summary>
    /// A flush of these data by an earlier run may have failed, and another would succeed without effect: they are written anew, never
    /// renamed as they are.
    /// </summary>
    public bool Rewrite { get; init; }
}

/// <summary>How a commit ended.</summary>
public enum FileCommitStatus
{
    /// <summary>The data are at the destination, durably.</summary>
    Committed,

    /// <summary>Other data have the destination's name. Neither they nor the staged data were touched.</summary>
    TargetExists,

    /// <summary>There are no staged data, and the destination does not hold the expected data either.</summary>
    StagedMissing,

    /// <summary>The copied data differ from the expected content. The staged data are untouched; the copy was removed.</summary>
    Mismatch,

    /// <summary>The staged data have a structure that may not be committed; see <see cref="TreeInspection"/>. They are untouched.</summary>
    Refused,

    /// <summary>The store's file system is full, or its quota is used up. The staged data are untouched.</summary>
    NoSpace,

    /// <summary>The operating system refused a step. Calling again with the same <see cref="FileCommit"/> continues safely.</summary>
    IoError,
}

/// <summary>The outcome of <see cref="LocalStore.CommitFileAsync"/>.</summary>
/// <param name="Status">How it ended.</param>
/// <param name="Code">Stable identifier of the outcome, such as <c>store.target_exists</c>.</param>
/// <param name="Message">What happened, what was not lost, and what to do next.</param>
public sealed record FileCommitResult(FileCommitStatus Status, string Code, string Message)
{
    /// <summary>True if an earlier, interrupted attempt had moved the data already.</summary>
    public bool Recovered { get; init; }

    /// <summary>For <see cref="FileCommitStatus.Mismatch"/>: the actual content.</summary>
    public DigestResult? Actual { get; init; }

    /// <summary>For <see cref="FileCommitStatus.Refused"/>: the findings.</summary>
    public TreeInspection? Inspection { get; init; }
}

/// <summary>The outcome of creating a staging directory.</summary>
/// <param name="Code">Stable identifier; <c>store.staged</c> on success.</param>
/// <param name="Message">For people.</param>
/// <param name="Location">On success, the absolute path where the client puts the data; null otherwise.</param>
public sealed record StagingResult(string Code, string Message, string? Location);

/// <summary>Whether a name exists in a store.</summary>
public enum Presence
{
    /// <summary>The name does not exist.</summary>
    Absent,

    /// <summary>The name exists.</summary>
    Present,

    /// <summary>The store is not mounted, so nothing is known.</summary>
    Unknown,
}

public enum RemovalStatus
{
    /// <summary>The data are gone.</summary>
    Removed,

    /// <summary>There was nothing to remove; equivalent to <see cref="Removed"/>.</summary>
    NothingThere,

    /// <summary>Something could not be removed; calling again continues.</summary>
    IoError,
}

/// <summary>The outcome of a removal.</summary>
/// <param name="Status">How it ended.</param>
/// <param name="Code">Stable identifier of the outcome.</param>
/// <param name="Message">What happened and what to do next.</param>
public sealed record RemovalResult(RemovalStatus Status, string Code, string Message)
{
    /// <summary>True unless something is left.</summary>
    public bool IsGone => Status != RemovalStatus.IoError;
}

/// <summary>A directory that was found in staging.</summary>
/// <param name="Name">Its name.</param>
/// <param name="ModifiedUtc">When an entry was last added to or removed from its top level; UTC.</param>
public readonly record struct StagedEntry(Guid Name, DateTimeOffset ModifiedUtc);
