namespace Librarian.Domain.Drives;

/// <summary>
/// What a drive holds besides data and manifest, for people, for standard tools and for the Python Librarian: <c>SHA256SUMS</c>, <c>README.txt</c>,
/// <c>MANIFEST.html</c> and <c>manifest.upstream.json</c>. All are functions of the manifest: writing them again gives the same bytes.
/// </summary>
public static class DrivePages
{
    /// <summary>Writes the four files into <paramref name="root"/> from a checked manifest, reading it once. They are on disk when the task ends.</summary>
    /// <param name="manifestPath">A manifest that <see cref="ManifestReader"/> has accepted.</param>
    /// <param name="root">The drive's root.</param>
    /// <param name="cancellationToken">Stops; each file is then the old one or the new one.</param>
    /// <exception cref="IOException">The drive is full or failing.</exception>
    public static Task WriteAsync(string manifestPath, string root, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");
}
