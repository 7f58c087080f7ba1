using Librarian.Domain.Checksums;

namespace Librarian.Domain.Stores;

/// <summary>A request to move verified data from staging to their final name.</summary>
/// <param name="StagingName">The entry of staging.</param>
/// <param name="UploadName">The data's path in it; null when the entry of staging is no directory around them but the data themselves.</param>
/// <param name="Destination">The final name in the store.</param>
/// <param name="Expected">
/// What the data were verified to be. Used to verify a copy, and to recognise the data after a crash.
/// </param>
/// <param name="PlacementId">
/// Names this placement; the same for every attempt of it and for no other, so that an attempt after a crash continues the first.
/// </param>
public sealed record Placement(Guid StagingName, StorePath? UploadName, StorePath Destination, ContentDescription Expected, Guid PlacementId)
{
    /// <summary>
    /// Entered for as long as the data are read, to copy them or to recognise them after a crash; null when nothing bounds that. A rename reads nothing
    /// and does not wait.
    /// </summary>
    public SemaphoreSlim? Readers { get; init; }
}

/// <summary>How a placement ended.</summary>
public enum PlaceStatus
{
    /// <summary>The data are at the destination, durably.</summary>
    Placed,

    /// <summary>The destination is taken by other data. Neither they nor the staged data were touched.</summary>
    TargetExists,

    /// <summary>There are no staged data, and the destination does not hold the expected data either.</summary>
    StagedMissing,

    /// <summary>What was copied is not what was expected. The staged data are untouched, the copy is removed.</summary>
    Mismatch,

    /// <summary>The staged data have a structure that may not be committed; see <see cref="TreeInspection"/>. They are untouched.</summary>
    Refused,

    /// <summary>The store's filesystem is full or its quota used up. The staged data are untouched.</summary>
    NoSpace,

    /// <summary>The operating system refused a step. Calling again with the same placement continues safely.</summary>
    IoError,
}

/// <summary>The outcome of <see cref="LocalStore.PlaceAsync"/>.</summary>
/// <param name="Status">How it ended.</param>
/// <param name="Code">Stable identifier of the outcome, such as <c>store.target_exists</c>.</param>
/// <param name="Message">What happened, what was not lost, and what to do next.</param>
public sealed record PlaceResult(PlaceStatus Status, string Code, string Message)
{
    /// <summary>True when an earlier, interrupted attempt had moved the data already.</summary>
    public bool Recovered { get; init; }

    /// <summary>For <see cref="PlaceStatus.Mismatch"/>: what was found.</summary>
    public DigestResult? Actual { get; init; }

    /// <summary>For <see cref="PlaceStatus.Refused"/>: what was found.</summary>
    public TreeInspection? Inspection { get; init; }
}

/// <summary>How making a staging directory ended.</summary>
/// <param name="Code">Stable identifier; <c>store.staged</c> on success.</param>
/// <param name="Message">For people.</param>
/// <param name="Location">On success, the absolute path where the client puts the data; null otherwise.</param>
public sealed record StagingResult(string Code, string Message, string? Location);

/// <summary>How a removal ended.</summary>
public enum RemovalStatus
{
    /// <summary>The data are gone.</summary>
    Removed,

    /// <summary>There was nothing to remove; as good as <see cref="Removed"/>.</summary>
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

/// <summary>A staging directory found on disk.</summary>
/// <param name="Name">Its name.</param>
/// <param name="ModifiedUtc">When an entry was last added to or removed from its top level, UTC.</param>
public readonly record struct StagedEntry(Guid Name, DateTimeOffset ModifiedUtc);
