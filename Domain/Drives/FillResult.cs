using Librarian.Domain.Catalog;
using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

/// <summary>How one round of filling ended.</summary>
public enum FillOutcome
{
    /// <summary>Files were copied to the drive and more may fit.</summary>
    More,

    /// <summary>Every waiting file is on some drive, or pauses after a failure.</summary>
    Idle,

    /// <summary>No waiting file fits, but one would fit if the drive were empty.</summary>
    Full,

    /// <summary>The drive is not mounted, or another one is.</summary>
    NotPlugged,

    /// <summary>An earlier drive for the same destination is filled first.</summary>
    StandBy,

    /// <summary>The medium refuses writes, or is too small for the waiting files.</summary>
    Trouble,

    /// <summary>The drive is no longer being filled.</summary>
    Frozen,
}

/// <summary>Result of one round.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Files">Files copied to the drive.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="Message">For people.</param>
public sealed record FillResult(FillOutcome Outcome, int Files, long Bytes, string Message)
{
    /// <summary>A round that copied nothing.</summary>
    internal static FillResult Nothing(FillOutcome outcome, string message) => new(outcome, 0, 0, message);

    internal static FillResult NotPlugged(Drive drive) =>
        Nothing(
            FillOutcome.NotPlugged,
            $"{drive.MountPath} is not drive '{drive.Name}' (its marker {DriveMarker.FileName} is missing or another drive's). "
                + "Nothing is written there; plug the drive in and mount it, filling goes on by itself."
        );

    internal static FillResult FrozenMeanwhile(Drive drive) =>
        Nothing(
            FillOutcome.Frozen,
            $"Drive '{drive.Name}' was frozen or recorded as lost meanwhile. "
                + "What was copied since is removed from it again and waits for the next drive."
        );
}
