using System.Runtime.InteropServices;
using Librarian.Client.Wire;

namespace Librarian.Client.Uploads;

/// <summary>Choices of an upload.</summary>
public sealed record UploadOptions
{
    /// <summary>Whether the site may delete its copy once enough others exist; by default it may not.</summary>
    public DeletionPolicy DeletionPolicy { get; init; } = DeletionPolicy.Disallowed;

    /// <summary>Recorded as the file's uploader; by default the account's name.</summary>
    public string? Uploader { get; init; }

    /// <summary>This host's name as store configurations list it; by default what the system says, unshortened.</summary>
    public string? Hostname { get; init; }

    /// <summary>How often to ask the catalog after a lost commit answer, waiting 1, 2, 4 … seconds before each question.</summary>
    public int LostAnswerQuestions { get; init; } = 5;
}

/// <summary>What an upload is doing.</summary>
public enum UploadPhase
{
    /// <summary>Reading the source to learn its checksum.</summary>
    Hashing,

    /// <summary>Copying to the staging area, checking again.</summary>
    Copying,

    /// <summary>The site verifies and ingests.</summary>
    Committing,
}

/// <summary>How far an upload is.</summary>
/// <param name="Phase">What it is doing.</param>
/// <param name="Bytes">Bytes done in this phase.</param>
/// <param name="TotalBytes">Bytes to do in this phase.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct UploadProgress(UploadPhase Phase, long Bytes, long TotalBytes);

/// <summary>A file the site has verified and cataloged.</summary>
/// <param name="Name">Its name in the catalog.</param>
/// <param name="Digest">Its size and checksum.</param>
/// <param name="AlreadyPresent">The site had this very content under this name before.</param>
public sealed record UploadReceipt(string Name, ContentDigest Digest, bool AlreadyPresent = false);

/// <summary>Why an upload did not succeed.</summary>
/// <param name="Code">Stable code; see <see cref="UploadErrors"/>.</param>
/// <param name="What">What happened.</param>
/// <param name="NotLost">What is safe.</param>
/// <param name="Next">What to do next.</param>
public sealed record UploadError(string Code, string What, string NotLost, string Next)
{
    /// <summary>One paragraph for people.</summary>
    /// <returns>Everything but the stray parts.</returns>
    public override string ToString() => $"{What} {NotLost} {Next} [{Code}]";
}

/// <summary>A receipt, or the reason there is none.</summary>
/// <param name="Receipt">Set on success.</param>
/// <param name="Error">Set on failure.</param>
public sealed record UploadOutcome(UploadReceipt? Receipt, UploadError? Error);

/// <summary>Codes of <see cref="UploadError"/>, fixed for scripts.</summary>
public static class UploadErrors
{
    /// <summary>The destination is absolute, empty or climbs out of the store.</summary>
    public const string Destination = "upload.destination-invalid";

    /// <summary>There is nothing at the local path.</summary>
    public const string SourceMissing = "upload.source-missing";

    /// <summary>The source contains something that cannot be kept faithfully.</summary>
    public const string SourceUnsupported = "upload.source-unsupported";

    /// <summary>The source cannot be read.</summary>
    public const string SourceUnreadable = "upload.source-unreadable";

    /// <summary>The source changed while it was being uploaded.</summary>
    public const string SourceChanged = "upload.source-changed";

    /// <summary>Other content has this name on the site.</summary>
    public const string NameTaken = "upload.name-taken";

    /// <summary>The site refused the upload.</summary>
    public const string Refused = "upload.refused";

    /// <summary>The site could not be reached before anything was copied.</summary>
    public const string Unreachable = "upload.unreachable";

    /// <summary>The site's answer could not be understood.</summary>
    public const string Garbled = "upload.garbled";

    /// <summary>None of the site's ways in works from this host.</summary>
    public const string NoProvider = "upload.no-provider";

    /// <summary>Copying to the staging area failed.</summary>
    public const string CopyFailed = "upload.copy-failed";

    /// <summary>The site's final answer was lost and the catalog does not have the file (yet).</summary>
    public const string AnswerLost = "upload.answer-lost";
}
