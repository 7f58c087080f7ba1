using Librarian.Domain.Catalog;

namespace Librarian.Domain.Drives;

/// <summary>How one round of ingest ended.</summary>
public enum IngestRound
{
    /// <summary>Entries were decided; more may follow.</summary>
    More,

    /// <summary>Every entry of the manifest has been decided.</summary>
    Done,

    /// <summary>
    /// Nothing can be done now: the drive is not plugged, no store has space, a disk fails. The ingest continues by itself.
    /// </summary>
    Wait,
}

/// <summary>Result of one round.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Message">For people.</param>
public sealed record IngestRoundResult(IngestRound Outcome, string Message)
{
    internal static IngestRoundResult Waiting(string message) => new(IngestRound.Wait, message);

    internal static IngestRoundResult Away(IncomingDrive incoming) =>
        Waiting(
            $"{incoming.MountPath} is not drive '{incoming.Name}' now. "
                + "Nothing was lost; plug it in and mount it there, the ingest goes on by itself."
        );
}
