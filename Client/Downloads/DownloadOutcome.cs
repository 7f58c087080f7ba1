using System.Runtime.InteropServices;

namespace Librarian.Client.Downloads;

/// <summary>Progress of a download.</summary>
/// <param name="Bytes">Bytes on this host.</param>
/// <param name="TotalBytes">All bytes.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct DownloadProgress(long Bytes, long TotalBytes);

/// <summary>The reason why a download did not succeed.</summary>
/// <param name="Code">Stable code; see <see cref="DownloadErrors"/>.</param>
/// <param name="What">What happened.</param>
/// <param name="Kept">What stays on this host.</param>
/// <param name="Next">What to do next.</param>
public sealed record DownloadError(string Code, string What, string Kept, string Next)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Code}: {string.Join(' ', new[] { What, Kept, Next }.Where(static part => part.Length > 0))}";
}

/// <summary>Codes of <see cref="DownloadError.Code"/>.</summary>
public static class DownloadErrors
{
    /// <summary>The site refused: the file is unknown, or no copy of it is there.</summary>
    public const string Refused = "download.refused";

    /// <summary>The site cannot be reached, or sends no more.</summary>
    public const string Unreachable = "download.unreachable";

    /// <summary>Other data have the name of the destination.</summary>
    public const string Exists = "download.exists";

    /// <summary>The destination cannot be written.</summary>
    public const string NotWritten = "download.not_written";

    /// <summary>The bytes arrived twice, and twice they did not have the catalog's checksum.</summary>
    public const string Damaged = "download.damaged";

    /// <summary>The listing names a member that cannot be created safely, or is not complete.</summary>
    public const string BadListing = "download.bad_listing";

    /// <summary>Another process downloads to the same destination.</summary>
    public const string Busy = "download.busy";
}

/// <summary>Result of a download.</summary>
/// <param name="Error">Null if the data are at the destination, verified and on disk.</param>
/// <param name="Size">Bytes of the data.</param>
/// <param name="AlreadyPresent">Whether the destination had the same content before.</param>
public sealed record DownloadOutcome(DownloadError? Error, long Size = 0, bool AlreadyPresent = false);
