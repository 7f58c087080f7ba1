namespace Librarian.Domain.Drives;

/// <summary>
/// Writes a manifest line by line in the memory of one line. The same rows always give the same bytes. It writes nothing that
/// <see cref="ManifestReader"/> would refuse; breaking the order or the totals is an error of the program.
/// </summary>
/// <param name="stream">Where it goes; stays open, flushed by <see cref="EndAsync"/> but not to disk.</param>
public sealed class ManifestWriter(Stream stream)
{
    /// <summary>The manifest's name in the root of a drive.</summary>
    public const string FileName = "MANIFEST.jsonl";

    /// <summary>Writes the first line.</summary>
    public Task WriteHeaderAsync(ManifestHeader header, CancellationToken cancellationToken) => throw new NotSupportedException("Written next." + stream);

    /// <summary>Writes a file; a directory's members must follow.</summary>
    /// <exception cref="InvalidOperationException">The file before lacks members, or no reader would accept the line.</exception>
    public ValueTask WriteFileAsync(ManifestFile file, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>Writes the next file of a directory, in the order of the paths' bytes.</summary>
    /// <exception cref="InvalidOperationException">There are more than the directory's count, the order is broken, or no reader would accept the line.</exception>
    public ValueTask WriteMemberAsync(ManifestMember member, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>Signs and writes the last line, and flushes the stream.</summary>
    /// <exception cref="InvalidOperationException">The lines are not what the header says, or the key is not the header's.</exception>
    public Task<ManifestSeal> EndAsync(SiteSigningKey key, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");
}
