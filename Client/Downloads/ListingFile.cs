namespace Librarian.Client.Downloads;

/// <summary>Receives a listing into a file, and refuses lines that would not fit into memory.</summary>
internal sealed class ListingFile(string path) : IAsyncDisposable
{
    private readonly FileStream _file = new(path, FileMode.Create, FileAccess.Write);
    private long _line;

    public ValueTask DisposeAsync() => _file.DisposeAsync();

    /// <exception cref="BadListingException">A line is too long.</exception>
    internal ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        var last = bytes.Span.LastIndexOf((byte)'\n');
        _line = last < 0 ? _line + bytes.Length : bytes.Length - last - 1;
        return _line <= Listing.LongestLine + (1 << 16)
            ? _file.WriteAsync(bytes, cancellationToken)
            : throw new BadListingException("A line of the listing has no end.");
    }
}
