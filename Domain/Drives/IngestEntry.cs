using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;

namespace Librarian.Domain.Drives;

/// <summary>
/// An entry of the manifest: its name as a path (null when it is not a valid one), the expected digest over its members' names and
/// contents, the members that have names of <see cref="ForeignEntries"/> (null when not known), and its offset.
/// </summary>
internal sealed record IngestEntry(
    ManifestFile File,
    FileName? Path,
    FileNameRefusal Refusal,
    string? Members,
    IReadOnlySet<string>? Listed,
    long Offset
)
{
    public bool LeavesOut(string path) =>
        ForeignEntries.IsForeignName(path[(path.LastIndexOf('/') + 1)..]) && Listed?.Contains(path) != true;

    /// <summary>
    /// Whether the data under a file's name match the manifest, including names of members; null when they could not be read.
    /// </summary>
    internal async Task<bool?> IsCommittedAsync(LocalStore store, bool flush, CancellationToken cancellationToken)
    {
        var expected = new ContentDescription(Checksum.Parse(File.Checksum), File.Size);
        var members = new MemberFingerprint();
        var found = await store.DigestAsync(
            Path!,
            [expected.Checksum.Algorithm, ChecksumAlgorithm.Sha256],
            new DigestOptions
            {
                FlushToDisk = flush,
                FromMedium = true,
                OnMember = m =>
                {
                    if (m.Path.Length > 0)
                        members.Add(m.Path, m.SizeBytes, m.Checksums[ChecksumAlgorithm.Sha256].Digest);
                },
            },
            cancellationToken: cancellationToken
        );
        if (found.Status is DigestStatus.IoError or DigestStatus.Changed)
            return null;
        return found.Matches(expected)
            && (Members is null || Members == members.ToString())
            && (File.Sha256 is null || (!found.IsDirectory && found.Checksums[ChecksumAlgorithm.Sha256].Digest == File.Sha256));
    }

    /// <summary>A text of any length, as far as the catalog holds it.</summary>
    internal static string Short(string text) => text.Length > CatalogContext.MaxText ? text[..CatalogContext.MaxText] : text;
}
