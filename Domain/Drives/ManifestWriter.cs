using Librarian.Domain.Security;

namespace Librarian.Domain.Drives;

/// <summary>
/// Writes a manifest line by line, in the memory of one line. The same rows always give the same bytes. It writes nothing that
/// <see cref="ManifestReader"/> would refuse, except that it does not check for a repeated name; breaking the order or the totals is an
/// error of the program.
/// </summary>
/// <param name="stream">Destination; stays open. <see cref="EndAsync"/> flushes it, but not to disk.</param>
public sealed class ManifestWriter(Stream stream) : IDisposable
{
    /// <summary>The manifest's name in the root of a drive.</summary>
    public const string FileName = "MANIFEST.jsonl";

    private readonly SealedWriter _lines = new(stream, ManifestHeader.FormatName);
    private readonly ManifestLines _state = new();
    private ManifestHeader? _header;
    private bool _ended;

    /// <summary>Writes the first line.</summary>
    /// <exception cref="InvalidOperationException">No reader would accept it, or it was written already.</exception>
    public async Task WriteHeaderAsync(ManifestHeader header, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(header);
        if (_header is not null)
            throw new InvalidOperationException("The header has been written.");
        ThrowIf(LineRules.Check(header));
        _header = header;
        await _lines.WriteAsync(header, DriveJson.Default.ManifestHeader, cancellationToken);
    }

    /// <summary>Writes a file; a directory's members must follow.</summary>
    /// <exception cref="InvalidOperationException">The file before lacks members, or no reader would accept the line.</exception>
    public ValueTask WriteFileAsync(ManifestFile file, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(file);
        ThrowUnlessOpen();
        ThrowIf(_state.Add(file));
        return _lines.WriteAsync(file, DriveJson.Default.ManifestFile, cancellationToken);
    }

    /// <summary>Writes the next file of a directory, in the order of the paths' bytes.</summary>
    /// <exception cref="InvalidOperationException">There are more files than the directory's count, the order is broken, or no reader would
    /// accept the line.</exception>
    public ValueTask WriteMemberAsync(ManifestMember member, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(member);
        ThrowUnlessOpen();
        ThrowIf(_state.Add(member));
        return _lines.WriteAsync(member, DriveJson.Default.ManifestMember, cancellationToken);
    }

    /// <summary>Signs and writes the last line, and flushes the stream.</summary>
    /// <exception cref="InvalidOperationException">The lines do not match the header, or the key is not the header's.</exception>
    public async Task<ManifestSeal> EndAsync(SiteSigningKey key, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(key);
        ThrowUnlessOpen();
        ThrowIf(_state.End());
        var totals = _state.Totals;
        if (totals != new ManifestTotals(_header!.Files, _header.Members, _header.Bytes))
            throw new InvalidOperationException(
                $"The header says {_header.Files} files, {_header.Members} members, {_header.Bytes} bytes; written were {totals}."
            );
        if (key.PublicKey != _header.SiteKey)
            throw new InvalidOperationException("The key is not the one in the header.");
        _ended = true;
        var (digest, signature) = _lines.Seal(key);
        var end = new ManifestEnd(ManifestHeader.FormatName, totals.Files, totals.Members, totals.Bytes, digest, signature);
        await _lines.EndAsync(end, DriveJson.Default.ManifestEnd, cancellationToken);
        return new ManifestSeal(digest, totals);
    }

    /// <summary>Releases memory; the stream stays open.</summary>
    public void Dispose() => _lines.Dispose();

    private static void ThrowIf(LineProblem? problem)
    {
        if (problem is not null)
            throw new InvalidOperationException($"Not written into the manifest: {problem.What}.");
    }

    private void ThrowUnlessOpen()
    {
        if (_header is null || _ended)
            throw new InvalidOperationException("Lines come after the header and before the end.");
    }
}
