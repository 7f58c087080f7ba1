using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

/// <summary>
/// Reads an upstream manifest that <see cref="UpstreamManifest"/> has accepted. Its files have neither SHA-256 nor members.
/// </summary>
public sealed class UpstreamCursor : IManifestCursor
{
    private readonly Stream _stream;
    private readonly JsonValueStream _json;

    private UpstreamCursor(Stream stream)
    {
        _stream = stream;
        _json = new JsonValueStream(stream);
    }

    /// <inheritdoc/>
    public long Position => _json.Position;

    /// <summary>Opens a manifest; the position is that of the first file.</summary>
    /// <exception cref="InvalidDataException">There is no manifest, or it is not an upstream manifest.</exception>
    public static async Task<UpstreamCursor> OpenAsync(string path, CancellationToken cancellationToken)
    {
        var cursor = new UpstreamCursor(DriveFile.TryOpenRead(path) ?? throw new InvalidDataException($"There is no '{path}'."));
        try
        {
            await UpstreamDocument.SeekFirstEntryAsync(cursor._json, cancellationToken);
            return cursor;
        }
        catch (JsonStreamException failure)
        {
            await cursor.DisposeAsync();
            throw Changed(failure);
        }
    }

    /// <inheritdoc/>
    public void Seek(long offset) => _json.Seek(offset);

    /// <inheritdoc/>
    public async ValueTask<ManifestFile?> ReadFileAsync(CancellationToken cancellationToken)
    {
        try
        {
            // A position is after an entry, so a comma may precede the next one.
            if (await _json.PeekAsync(cancellationToken) == ',')
                await _json.TakeAsync(",", cancellationToken);
            if (await _json.PeekAsync(cancellationToken) == ']')
                return null;
            var position = Position;
            return UpstreamEntry.Read((await _json.ReadValueAsync(cancellationToken)).Span, position);
        }
        catch (JsonStreamException failure)
        {
            throw Changed(failure);
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _stream.DisposeAsync();

    private static InvalidDataException Changed(JsonStreamException failure) =>
        new($"The upstream manifest is not what was checked: {failure.Message}. Check it again.", failure);
}
