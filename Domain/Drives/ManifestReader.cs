using System.Diagnostics.CodeAnalysis;

namespace Librarian.Domain.Drives;

/// <summary>What reading a whole manifest found: a header and seal, or a refusal with one of these codes.</summary>
/// <remarks>
/// <c>manifest.missing</c>, <c>manifest.format</c> (not a manifest, or a line breaks the rules), <c>manifest.version</c>, <c>manifest.truncated</c> (no valid
/// last line), <c>manifest.edited</c> (the bytes are not those that were sealed), <c>manifest.signature</c>, <c>manifest.totals</c>, <c>manifest.path</c> (a name that
/// would leave the store), <c>manifest.duplicate</c> (a name twice).
/// </remarks>
public sealed record ManifestCheck
{
    /// <summary>Whether every check passed.</summary>
    [MemberNotNullWhen(true, nameof(Header), nameof(Seal))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool Accepted => Refusal is null;

    /// <summary>The first line; its <see cref="ManifestHeader.SiteKey"/> made the signature, and is still to be compared with the key known for the site.</summary>
    public ManifestHeader? Header { get; init; }

    /// <summary>Digest and totals.</summary>
    public ManifestSeal? Seal { get; init; }

    /// <summary>Why the manifest is not used.</summary>
    public DriveRefusal? Refusal { get; init; }
}

/// <summary>Checks manifests. Memory does not grow with the lines, but for 16 bytes per name to find duplicates.</summary>
public static class ManifestReader
{
    /// <summary>Reads the manifest once from start to end and checks everything but whether its key is the site's.</summary>
    public static Task<ManifestCheck> CheckAsync(Stream stream, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>The same for a file; <c>manifest.missing</c> when there is none.</summary>
    public static Task<ManifestCheck> CheckAsync(string path, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");
}
