using Librarian.Cli.Output;
using Librarian.Client;

namespace Librarian.Cli.Commands;

/// <summary>A file that a command downloads.</summary>
internal static class DownloadedFile
{
    /// <summary>
    /// Downloads to a file beside the path and renames it when it is complete and on disk. Until then a file that has the name keeps it.
    /// </summary>
    /// <returns>The exit code of a failure, which has been reported; null if the file is there.</returns>
    public static async Task<int?> SaveAsync(Terminal terminal, string path, Func<Stream, Task<Reply<long>>> download)
    {
        var part = $"{path}.{Guid.NewGuid():N}.part";
        try
        {
            Reply<long> got;
            await using (var file = new FileStream(part, FileMode.CreateNew, FileAccess.Write))
            {
                got = await download(file);
                file.Flush(flushToDisk: true);
            }

            if (!got.IsSuccess)
                return terminal.Fail(got.Error);
            File.Move(part, path, overwrite: true);
            return null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return terminal.Fail($"{path} cannot be written: {error.Message} Nothing was changed; use another path and try again.");
        }
        finally
        {
            File.Delete(part);
        }
    }
}
