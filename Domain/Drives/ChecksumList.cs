using System.Text;

namespace Librarian.Domain.Drives;

/// <summary>
/// <c>SHA256SUMS</c> as GNU sha256sum writes it: digest, two spaces, path. A line whose path has a backslash or a line break begins with a
/// backslash, and those characters are written as <c>\\</c>, <c>\n</c> and <c>\r</c>.
/// </summary>
internal sealed class ChecksumList(Stream stream) : IAsyncDisposable
{
    private readonly StreamWriter _text = new(stream, new UTF8Encoding(false), 64 * 1024, leaveOpen: true) { NewLine = "\n" };

    public ValueTask DisposeAsync() => _text.DisposeAsync();

    internal async ValueTask WriteAsync(string sha256, string name, string? member)
    {
        var path = member is null ? $"{DrivePages.DataDirectory}/{name}" : $"{DrivePages.DataDirectory}/{name}/{member}";
        await _text.WriteLineAsync(Line(sha256, path));
    }

    internal static string Line(string sha256, string path)
    {
        if (path.AsSpan().IndexOfAny('\\', '\n', '\r') < 0)
            return $"{sha256}  {path}";
        var escaped = path.Replace("\\", @"\\", StringComparison.Ordinal)
            .Replace("\n", @"\n", StringComparison.Ordinal)
            .Replace("\r", @"\r", StringComparison.Ordinal);
        return $"\\{sha256}  {escaped}";
    }
}
