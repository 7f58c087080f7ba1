using System.Runtime.InteropServices;
using Librarian.Client.DataBatches;

namespace Librarian.Client.Uploads;

/// <summary>Options of an upload.</summary>
public sealed record UploadOptions
{
    /// <summary>Whether the site may delete its copy once enough others exist; by default it may not.</summary>
    public DeletionPolicy DeletionPolicy { get; init; } = DeletionPolicy.Disallowed;

    /// <summary>The file's uploader in the catalog; by default the account's name.</summary>
    public string? Uploader { get; init; }

    /// <summary>This host's name as store configurations list it; by default the system's full host name.</summary>
    public string? Hostname { get; init; }

    /// <summary>How often to ask the catalog after a lost response to the commit. The pauses are 1, 2, 4 … seconds, up to 64.</summary>
    public int LostAnswerQuestions { get; init; } = 5;

    /// <summary>How the bytes are sent if the site's staging is not on a shared file system.</summary>
    public BatchOptions Batch { get; init; } = new();

    /// <summary>
    /// How often to ask again while the site reads its copy of the same file. The site names the pause, usually half a minute.
    /// </summary>
    public int ReadingQuestions { get; init; } = 240;
}

/// <summary>Phase of an upload.</summary>
public enum UploadPhase
{
    /// <summary>The client reads the source to compute its checksum.</summary>
    Hashing,

    /// <summary>The client copies to the staging area and computes the checksum again.</summary>
    Copying,

    /// <summary>The site verifies and ingests the data.</summary>
    Committing,

    /// <summary>The site reads the copy of the same file that it already has.</summary>
    Waiting,
}

/// <summary>Progress of an upload.</summary>
/// <param name="Phase">Current phase.</param>
/// <param name="Bytes">Bytes done in this phase.</param>
/// <param name="TotalBytes">Bytes to do in this phase.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct UploadProgress(UploadPhase Phase, long Bytes, long TotalBytes);

/// <summary>A file that the site has verified and catalogued.</summary>
/// <param name="Name">Name in the catalog.</param>
/// <param name="Digest">Size and checksum.</param>
/// <param name="AlreadyPresent">The site already had this content under this name.</param>
public sealed record UploadReceipt(string Name, ContentDigest Digest, bool AlreadyPresent = false);

/// <summary>The reason why an upload did not succeed.</summary>
/// <param name="Code">Stable code; see <see cref="UploadErrors"/>.</param>
/// <param name="What">What happened.</param>
/// <param name="NotLost">Which data are safe.</param>
/// <param name="Next">What to do next.</param>
public sealed record UploadError(string Code, string What, string NotLost, string Next)
{
    /// <summary>The whole error as one paragraph.</summary>
    /// <returns>The three sentences and the code.</returns>
    public override string ToString() => $"{What} {NotLost} {Next} [{Code}]";
}

/// <summary>A receipt, or an error.</summary>
/// <param name="Receipt">Set on success.</param>
/// <param name="Error">Set on failure.</param>
public sealed record UploadOutcome(UploadReceipt? Receipt, UploadError? Error);

/// <summary>Codes of <see cref="UploadError"/>; scripts rely on them.</summary>
public static class UploadErrors
{
    /// <summary>The destination is absolute or empty, or leaves the store.</summary>
    public const string Destination = "upload.destination-invalid";

    /// <summary>The local path does not exist.</summary>
    public const string SourceMissing = "upload.source-missing";

    /// <summary>The source contains something that cannot be kept faithfully.</summary>
    public const string SourceUnsupported = "upload.source-unsupported";

    /// <summary>The source cannot be read.</summary>
    public const string SourceUnreadable = "upload.source-unreadable";

    /// <summary>The source changed during the upload.</summary>
    public const string SourceChanged = "upload.source-changed";

    /// <summary>Other content has this name on the site.</summary>
    public const string NameTaken = "upload.name-taken";

    /// <summary>The site has catalogued this content under this name, but whether its copy is good could not be established.</summary>
    public const string NotVerified = "upload.not-verified";

    /// <summary>The site refused the upload.</summary>
    public const string Refused = "upload.refused";

    /// <summary>The site could not be reached before any data was copied.</summary>
    public const string Unreachable = "upload.unreachable";

    /// <summary>The site's response is malformed.</summary>
    public const string Malformed = "upload.garbled";

    /// <summary>None of the site's transfer providers works from this host.</summary>
    public const string NoProvider = "upload.no-provider";

    /// <summary>Copying to the staging area failed.</summary>
    public const string CopyFailed = "upload.copy-failed";

    /// <summary>The connection was lost while the data were sent; what has arrived is kept.</summary>
    public const string Interrupted = "upload.interrupted";

    /// <summary>The site's disk is full; what has arrived is kept.</summary>
    public const string Full = "upload.full";

    /// <summary>The site's response to the commit was lost, and the catalog does not show the file (yet).</summary>
    public const string AnswerLost = "upload.answer-lost";
}
