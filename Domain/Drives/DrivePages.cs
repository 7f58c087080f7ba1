using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

/// <summary>
/// Writes the files on a drive besides data and manifest, for people, for standard tools and for the Python Librarian: <c>SHA256SUMS</c>,
/// <c>README.txt</c>, <c>MANIFEST.html</c> and <c>manifest.upstream.json</c>. All depend on the manifest alone: writing them again gives
/// the same bytes.
/// </summary>
public static class DrivePages
{
    /// <summary>Digests of all files below <c>data/</c>, for <c>sha256sum --check</c>.</summary>
    public const string SumsFileName = "SHA256SUMS";

    /// <summary>A description of the drive in plain words.</summary>
    public const string ReadmeFileName = "README.txt";

    /// <summary>The manifest for people.</summary>
    public const string HtmlFileName = "MANIFEST.html";

    /// <summary>The directory of the data.</summary>
    public const string DataDirectory = "data";

    /// <summary>
    /// Writes the four files into <paramref name="root"/> from a checked manifest, reading it once. They are on disk when the task ends.
    /// </summary>
    /// <remarks>
    /// A crash between two of the renames leaves some files of this manifest and some of the previous one; writing again repairs that.
    /// </remarks>
    /// <param name="manifestPath">A manifest that <see cref="ManifestReader"/> has accepted.</param>
    /// <param name="root">The drive's root.</param>
    /// <param name="cancellationToken">Stops; each file is then the old one or the new one.</param>
    /// <exception cref="IOException">The drive is full or failing.</exception>
    public static async Task WriteAsync(string manifestPath, string root, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(manifestPath);
        ArgumentException.ThrowIfNullOrEmpty(root);
        await using var manifest = await ManifestCursor.OpenAsync(manifestPath, cancellationToken);
        await using var sumsFile = DriveFile.Create(root, SumsFileName);
        await using var htmlFile = DriveFile.Create(root, HtmlFileName);
        await using var upstreamFile = DriveFile.Create(root, UpstreamManifest.FileName);
        await using var readmeFile = DriveFile.Create(root, ReadmeFileName);

        await using (var sums = new ChecksumList(sumsFile.Stream))
        await using (var html = new HtmlPage(htmlFile.Stream, manifest.Header))
        await using (var upstream = new UpstreamWriter(upstreamFile.Stream, manifest.Header))
        {
            await html.BeginAsync();
            while (await manifest.ReadFileAsync(cancellationToken) is { } file)
            {
                await upstream.WriteAsync(file, cancellationToken);
                await html.WriteAsync(file);
                if (file.Sha256 is { } digest)
                    await sums.WriteAsync(digest, file.Name, null);
                while (await manifest.ReadMemberAsync(cancellationToken) is { } member)
                    await sums.WriteAsync(member.Sha256, file.Name, member.Path);
            }

            await html.EndAsync(manifest.ReadSeal());
            await upstream.EndAsync(cancellationToken);
        }

        await Readme.WriteAsync(readmeFile.Stream, manifest.Header, manifest.ReadSeal(), cancellationToken);
        foreach (var file in (DriveFile[])[sumsFile, readmeFile, htmlFile, upstreamFile])
            await file.CommitAsync(cancellationToken);
    }
}
