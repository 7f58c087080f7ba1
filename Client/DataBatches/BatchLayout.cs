using System.IO.Compression;
using System.Text.Json;

namespace Librarian.Client.DataBatches;

/// <summary>Writes the layout of a data batch (docs/spec/data-batches.md#layout).</summary>
internal static class BatchLayout
{
    /// <summary>Writes the layout to a temporary file, compressed, so that a million members need no memory.</summary>
    /// <returns>The file, which is deleted when it is closed.</returns>
    /// <exception cref="IOException">A source cannot be listed, or the file cannot be written.</exception>
    internal static async Task<FileStream> WriteAsync(IEnumerable<BatchItem> items, CancellationToken cancellationToken)
    {
        var file = new FileStream(
            Path.Join(Path.GetTempPath(), $"librarian-{Guid.NewGuid():N}.layout"),
            new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.ReadWrite,
                Share = FileShare.None,
                BufferSize = 64 << 10,
                Options = FileOptions.DeleteOnClose | FileOptions.Asynchronous,
                // Names of files are not for other users of this machine.
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            }
        );
        try
        {
            await using (var zipped = new GZipStream(file, CompressionLevel.Fastest, leaveOpen: true))
            await using (var lines = new BufferedStream(zipped, 64 << 10))
            {
                foreach (var item in items)
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    Write(lines, item);
                }
            }

            return file;
        }
        catch
        {
            await file.DisposeAsync();
            throw;
        }
    }

    private static void Write(Stream lines, BatchItem item)
    {
        if (!item.IsDirectory)
        {
            var executable = item.Members().Single().IsExecutable ? true : (bool?)null;
            Write(lines, new LayoutLine(Transfer: item.TransferId, Type: LayoutLine.File, Size: item.Size, Executable: executable));
            return;
        }

        Write(lines, new LayoutLine(Transfer: item.TransferId, Type: LayoutLine.Directory, Size: item.Size));
        long members = 0;
        foreach (var member in item.Members())
        {
            members++;
            Write(lines, LineOf(member));
        }

        Write(lines, new LayoutLine(Members: members));
    }

    private static LayoutLine LineOf(in BatchMember member)
    {
        var (path, pathBytes) = Encoded(member.Path);
        var (target, targetBytes) = Encoded(member.Target);
        return member.Type switch
        {
            BatchMemberType.Directory => new LayoutLine(Type: LayoutLine.Directory, Path: path, PathBytes: pathBytes),
            BatchMemberType.Link => new LayoutLine(
                Type: LayoutLine.Link,
                Path: path,
                PathBytes: pathBytes,
                Target: target,
                TargetBytes: targetBytes
            ),
            _ => new LayoutLine(
                Type: LayoutLine.File,
                Path: path,
                PathBytes: pathBytes,
                Size: member.Size,
                Executable: member.IsExecutable ? true : null
            ),
        };
    }

    private static (string? Text, byte[]? Bytes) Encoded(string? text) =>
        text is null || PathBytes.IsUnicode(text) ? (text, null) : (null, PathBytes.ToZeroTerminated(text)[..^1]);

    private static void Write(Stream lines, LayoutLine line)
    {
        JsonSerializer.Serialize(lines, line, LayoutJson.Default.LayoutLine);
        lines.WriteByte((byte)'\n');
    }
}
