using Librarian.Client.Uploads;
using Librarian.Client.Wire;

namespace Librarian.Client.Downloads;

/// <summary>
/// Downloads a file or directory of the catalog, verified and all or nothing. It goes on where an earlier attempt to the same destination
/// stopped, also in another process.
/// </summary>
/// <param name="client">The site.</param>
/// <param name="time">Times the pauses between attempts.</param>
public sealed class Download(LibrarianClient client, TimeProvider time)
{
    /// <summary>Attempts in a row that bring no byte; with their pauses this is about two minutes.</summary>
    private const int MaxFutileAttempts = 8;

    private const string Again = "Run the same command again; it goes on where it stopped.";

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(60);

    /// <summary>Downloads to a path that does not exist yet, in a directory that does.</summary>
    /// <param name="name">Name in the catalog.</param>
    /// <param name="destination">Path of the file or directory to create.</param>
    /// <param name="progress">Receives the progress.</param>
    /// <param name="cancellationToken">Ends the download; what has arrived is kept for the next one.</param>
    public async Task<DownloadOutcome> RunAsync(
        string name,
        string destination,
        IProgress<DownloadProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(destination);
        destination = Path.TrimEndingDirectorySeparator(Path.GetFullPath(destination));
        if (Path.GetDirectoryName(destination) is not { } parent || !Directory.Exists(parent))
            return Failed(
                DownloadErrors.NotWritten,
                $"{destination.Shown()} is not in a directory that exists.",
                "Nothing was downloaded.",
                "Create the directory, or give another destination."
            );
        try
        {
            using var part = PartialDownload.Open(destination);
            return part is null
                ? Failed(DownloadErrors.Busy, $"Another process downloads to {destination.Shown()}.", "", "Wait for it.")
                : await RunCheckedAsync(part, name, destination, progress, cancellationToken);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return Failed(DownloadErrors.NotWritten, error.Message, "What has arrived is kept beside the destination.", Again);
        }
    }

    private async Task<DownloadOutcome> RunCheckedAsync(
        PartialDownload part,
        string name,
        string destination,
        IProgress<DownloadProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        try
        {
            return await RunAsync(part, name, destination, progress, cancellationToken);
        }
        catch (BadListingException error)
        {
            if (!part.HasData)
                part.Remove();
            return Failed(
                DownloadErrors.BadListing,
                error.Message,
                "Nothing has the name of the destination.",
                "Check the address; if it is the site's, tell its administrator."
            );
        }
    }

    private async Task<DownloadOutcome> RunAsync(
        PartialDownload part,
        string name,
        string destination,
        IProgress<DownloadProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        for (var isSecond = false; ; isSecond = true)
        {
            var (head, failed) = await FetchAsync(part, name, destination, progress, cancellationToken);
            if (failed is not null)
            {
                // A password that was changed or a copy that is away for an hour must not cost what has arrived.
                if (failed.AlreadyPresent || !part.HasData)
                    part.Remove();
                return failed;
            }

            if (head!.Directory)
                PartWriter.MakeLinks(part.Data, part.ListingPath, all: false);
            if (await IsAsCataloguedAsync(part.Data, head, cancellationToken))
            {
                if (head.Directory)
                    PartWriter.MakeLinks(part.Data, part.ListingPath, all: true);
                return part.Commit() ? new DownloadOutcome(null, head.Size) : Taken(destination);
            }

            // A bit that flipped on the way or in memory is another one the second time.
            part.Clear();
            if (isSecond)
                return Failed(
                    DownloadErrors.Damaged,
                    $"The bytes of {name.Shown()} arrived twice and are not what the catalog's checksum says.",
                    "They were removed.",
                    "Tell the site's administrator that its copy may be corrupt."
                );
        }
    }

    /// <summary>Gets listing and bytes; repeats as long as there is progress.</summary>
    private async Task<(ListingHead? Head, DownloadOutcome? Failed)> FetchAsync(
        PartialDownload part,
        string name,
        string destination,
        IProgress<DownloadProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        for (var futile = 0; ; futile++)
        {
            var (head, tag, error) = await ListAsync(part, name, cancellationToken);
            if (head is not null)
            {
                if (futile == 0 && Posix.Stat(destination, followLink: false).Kind != Posix.Kind.Missing)
                    return (head, await ComparedAsync(destination, head, cancellationToken));
                using var writer = new PartWriter(part.Data, head.Directory, part.ListingPath);
                var before = writer.Position;
                error = await StreamAsync(writer, name, tag, head, progress, cancellationToken);
                if (error is null && writer.IsComplete)
                    return (head, null);
                if (writer.Position > before)
                    futile = 0;
            }

            error ??= new Unreachable("The data ended early.", Sent: true);
            if (error is Refused { Status: not (>= 500 or 408 or 429) } refused)
                return (null, Failed(DownloadErrors.Refused, refused.ToString(), "", ""));
            if (futile == MaxFutileAttempts)
                return (null, Failed(DownloadErrors.Unreachable, $"{error}", "What has arrived is kept beside the destination.", Again));
            var asked = (error as Refused)?.RetryAfter ?? TimeSpan.Zero;
            var pause = TimeSpan.FromTicks(Math.Max(asked.Ticks, FirstPause.Ticks << futile));
            pause = pause < LongestPause ? pause : LongestPause;
            await Task.Delay(pause, time, cancellationToken);
        }
    }

    private async Task<(ListingHead? Head, string Tag, ReplyError? Error)> ListAsync(
        PartialDownload part,
        string name,
        CancellationToken cancellationToken
    )
    {
        Reply<string> listed;
        await using (var listing = new ListingFile(part.ListingPath))
            listed = await client.GetListingAsync(name, listing.WriteAsync, cancellationToken);
        if (!listed.IsSuccess)
            return (null, "", listed.Error);
        if (listed.Value.Length == 0)
            throw new BadListingException("The listing has no tag, so it may be no answer of a librarian.");
        // Before the data of an earlier attempt are judged by it.
        var head = Listing.Check(part.ListingPath);
        await part.BeginAsync(listed.Value, cancellationToken);
        return (head, listed.Value, null);
    }

    private async Task<ReplyError?> StreamAsync(
        PartWriter writer,
        string name,
        string tag,
        ListingHead head,
        IProgress<DownloadProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        progress?.Report(new DownloadProgress(writer.Position, head.Size));
        if (writer.IsComplete)
            return null;
        var got = await client.GetDataAsync(
            name,
            writer.Position,
            tag,
            async (bytes, token) =>
            {
                await writer.WriteAsync(bytes, token);
                progress?.Report(new DownloadProgress(writer.Position, head.Size));
            },
            cancellationToken
        );
        return got.Error;
    }

    private static async Task<DownloadOutcome> ComparedAsync(string destination, ListingHead head, CancellationToken cancellationToken)
    {
        try
        {
            return await IsAsCataloguedAsync(destination, head, cancellationToken)
                ? new DownloadOutcome(null, head.Size, AlreadyPresent: true)
                : Taken(destination);
        }
        catch (IOException)
        {
            // It holds something that a checksum does not cover, such as a link to a directory, or cannot be read.
            return Taken(destination);
        }
    }

    private static async Task<bool> IsAsCataloguedAsync(string path, ListingHead head, CancellationToken cancellationToken)
    {
        var digest = await ContentDigest.OfAsync(path, cancellationToken);
        // A link to a file counts as its content; the stream does not have it.
        return (head.Directory || digest.Size == head.Size)
            && await RecordedChecksum.IsOfAsync(head.Checksum, digest, path, cancellationToken)
            && (
                head.TreeDigest is null
                || digest.TreeDigest is null
                || TreeDigest.Understood(head.TreeDigest) is not { } tree
                || tree == digest.TreeDigest
            );
    }

    private static DownloadOutcome Taken(string destination) =>
        Failed(
            DownloadErrors.Exists,
            $"Other data are at {destination.Shown()}.",
            "They were not touched.",
            "Move them away, or give another destination."
        );

    private static DownloadOutcome Failed(string code, string what, string kept, string next) =>
        new(new DownloadError(code, what, kept, next));
}
