using System.Net;
using Librarian.Client.Wire;

namespace Librarian.Client.Uploads;

/// <summary>
/// Puts a local file or directory into a site (wire.md §8.2): read for the checksum, stage, copy while reading again, commit. The
/// source is only ever read. Repeating an upload is safe at any point: the site discards the earlier attempt, and content that is
/// already there under the same name counts as success.
/// </summary>
/// <param name="client">The site, with an account that may append.</param>
/// <param name="time">Clock for the waits after a lost answer.</param>
public sealed class Upload(LibrarianClient client, TimeProvider time)
{
    private const string SourceSafe = "The source was only read; nothing is lost.";

    /// <summary>Uploads one file or directory.</summary>
    /// <param name="localPath">File or directory; a directory becomes one file of the catalog.</param>
    /// <param name="destination">Its name in the catalog, a relative path.</param>
    /// <param name="options">Choices, or null for the defaults.</param>
    /// <param name="progress">Told of every chunk, possibly from another thread.</param>
    /// <param name="cancellationToken">Gives up; what was staged is discarded by the site in time.</param>
    /// <returns>A receipt or an error; only cancellation throws.</returns>
    public async Task<UploadOutcome> RunAsync(
        string localPath,
        string destination,
        UploadOptions? options = null,
        IProgress<UploadProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(localPath);
        ArgumentNullException.ThrowIfNull(destination);
        options ??= new UploadOptions();
        var name = PathText.Normalise(destination);
        if (name == "." || PathText.IsAbsolute(name) || name.Split('/').Contains("..", StringComparer.Ordinal))
            return Fail(UploadErrors.Destination, $"The destination \"{destination}\" is not a relative path inside the store.", "Give a path such as obs/2026/file.h5.");

        ContentDigest digest;
        try
        {
            var tree = SourceTree.List(localPath, cancellationToken);
            digest = await ContentDigest.OfAsync(tree, Meter(UploadPhase.Hashing, tree.TotalSize, progress), cancellationToken);
        }
        catch (Exception error) when (SourceError(error) is { } outcome)
        {
            return outcome;
        }

        var uploader = options.Uploader ?? client.Connection.User;
        var staged = await client.StageUploadAsync(new UploadStageRequest(digest.Size, digest.Checksum, PathText.Name(name), name, uploader), cancellationToken);
        if (!staged.IsSuccess)
            return await StageErrorAsync(name, digest, staged.Error, cancellationToken);
        var place = staged.Value;

        var hostname = options.Hostname ?? Dns.GetHostName();
        var (providerName, provider) = place.TransferProviders.FirstOrDefault(
            offer => offer.Value.Hostnames.Contains(hostname, StringComparer.Ordinal));
        if (provider is null)
        {
            var hosts = place.TransferProviders.SelectMany(static offer => offer.Value.Hostnames).Distinct(StringComparer.Ordinal).ToArray();
            return Fail(
                UploadErrors.NoProvider,
                $"Store {place.StoreName} cannot be written from this host, {hostname}; it can be from {(hosts.Length == 0 ? "no host" : string.Join(", ", hosts))}.",
                hosts.Length == 0
                    ? "Ask the site's operator to offer a way in for clients on that store."
                    : "Upload from one of those hosts, or ask the site's operator to list this one with the store.");
        }

        if (await CopyAsync(localPath, place.StagingLocation, digest, progress, cancellationToken) is { } copyFailure)
            return copyFailure;

        progress?.Report(new UploadProgress(UploadPhase.Committing, 0, digest.Size));
        var commit = await client.CommitUploadAsync(
            new UploadCommitRequest(
                place.StoreName,
                place.StagingName,
                place.StagingLocation,
                place.UploadName,
                name,
                providerName,
                new SyncProvider(provider.Hostnames),
                MetaMode: "infer",
                options.DeletionPolicy == DeletionPolicy.Allowed ? "ALLOWED" : "DISALLOWED",
                uploader,
                NullObsid: true)
            {
                TransferId = place.TransferId,
            },
            cancellationToken);
        if (commit.IsSuccess)
        {
            progress?.Report(new UploadProgress(UploadPhase.Committing, digest.Size, digest.Size));
            return new UploadOutcome(new UploadReceipt(name, digest), null);
        }

        return await CommitErrorAsync(name, digest, commit.Error, options, cancellationToken);
    }

    // A crash or error between stage and commit leaves an unfinished transfer and a staging directory at the site; staging the same
    // content again makes the site discard both (wire.md §6.3.1 row 4).
    private static async Task<UploadOutcome?> CopyAsync(
        string localPath, string stagingLocation, ContentDigest expected, IProgress<UploadProgress>? progress, CancellationToken cancellationToken)
    {
        try
        {
            var copied = await StagingCopy.CopyAsync(
                localPath, stagingLocation, Meter(UploadPhase.Copying, expected.Size, progress), cancellationToken);
            if (copied == expected)
                return null;
            StagingCopy.Discard(stagingLocation);
            return Fail(
                UploadErrors.SourceChanged,
                $"{localPath} changed while it was being uploaded ({expected.Size} bytes {expected.Checksum} became {copied.Size} bytes {copied.Checksum}).",
                "Upload again when nothing writes to it any more.");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or UnsupportedSourceException)
        {
            return Fail(
                UploadErrors.CopyFailed,
                $"Copying to the staging area failed: {error.Message}",
                "Check that the store's staging area is mounted here, writable for you and not full, then upload again.");
        }
    }

    private async Task<UploadOutcome> StageErrorAsync(string name, ContentDigest digest, ReplyError error, CancellationToken cancellationToken)
    {
        if (error is Refused { Status: 409 })
            return await ConflictAsync(name, digest, error, cancellationToken);
        return error switch
        {
            Refused refused => Fail(UploadErrors.Refused, $"The site refused the upload: {refused.Reason}", refused.SuggestedRemedy.Length == 0 ? "Ask the site's operator." : refused.SuggestedRemedy),
            Unreachable lost => Fail(UploadErrors.Unreachable, lost.Why, "Check the connection and upload again."),
            _ => Fail(UploadErrors.Garbled, error.ToString(), "Check that the address is a librarian's, and the versions on both sides."),
        };
    }

    // After a lost answer the commit is never repeated: an upstream site would turn a completed transfer into a failed one
    // (wire.md §6.3.2). The catalog is asked instead.
    private async Task<UploadOutcome> CommitErrorAsync(
        string name, ContentDigest digest, ReplyError error, UploadOptions options, CancellationToken cancellationToken)
    {
        if (error is Refused { Status: 409 })
            return await ConflictAsync(name, digest, error, cancellationToken);
        if (error is Refused { Status: < 500 } refused)
            return Fail(UploadErrors.Refused, $"The site did not ingest the upload: {refused.Reason}", (refused.SuggestedRemedy + " Upload again; the site discards this attempt.").TrimStart());
        for (var question = 0; question < options.LostAnswerQuestions; question++)
        {
            await Task.Delay(TimeSpan.FromSeconds(1 << Math.Min(question, 6)), time, cancellationToken);
            if (await PresentAsync(name, digest, cancellationToken) is { Receipt: { } receipt })
                return new UploadOutcome(receipt with { AlreadyPresent = false }, null);
        }

        return Fail(
            UploadErrors.AnswerLost,
            $"The site's answer to the commit was lost ({error}) and its catalog does not show {name} yet.",
            $"Search for the name \"{name}\" in a while; if it is not there, upload again, which is safe either way.");
    }

    private async Task<UploadOutcome?> PresentAsync(string name, ContentDigest digest, CancellationToken cancellationToken)
    {
        var found = await client.SearchFilesAsync(new FileSearchRequest(name, MaxResults: 1), cancellationToken);
        return found.IsSuccess && found.Value.Any(hit => hit.Name == name && hit.Size == digest.Size && hit.Checksum == digest.Checksum && hit.Instances.Any(static i => i.Available))
            ? new UploadOutcome(new UploadReceipt(name, digest, AlreadyPresent: true), null)
            : null;
    }

    // A 409 says only that the name is taken. By what, the catalog tells; when it cannot be asked, or does not show the file yet,
    // the upload has neither succeeded nor met other content.
    private async Task<UploadOutcome> ConflictAsync(string name, ContentDigest digest, ReplyError error, CancellationToken cancellationToken)
    {
        var found = await client.SearchFilesAsync(new FileSearchRequest(name, MaxResults: 1), cancellationToken);
        if (!found.IsSuccess)
            return Fail(UploadErrors.Unreachable, $"The name {name} is taken, and whether by the same content could not be asked: {found.Error}", "Upload again.");
        if (found.Value.Count == 0)
            return Fail(UploadErrors.Refused, $"The name {name} is taken but not in the catalog: another upload of it may be running. {error}", "Upload again in a minute.");
        var same = found.Value.FirstOrDefault(hit => hit.Name == name && hit.Size == digest.Size && hit.Checksum == digest.Checksum);
        if (same is null)
            return Fail(UploadErrors.NameTaken, $"The site has other content under the name {name}: {error}", "Files are immutable: choose another name, or compare checksums with search-files.");
        return same.Instances.Any(static i => i.Available)
            ? new UploadOutcome(new UploadReceipt(name, digest, AlreadyPresent: true), null)
            : Fail(UploadErrors.Refused, $"The site has catalogued {name} with this content, but no copy of it is available there.", "Keep your copy and tell the site's operator.");
    }

    private static UploadOutcome? SourceError(Exception error) => error switch
    {
        FileNotFoundException or DirectoryNotFoundException => Fail(UploadErrors.SourceMissing, error.Message, "Check the path."),
        UnsupportedSourceException => Fail(UploadErrors.SourceUnsupported, error.Message, "Replace it by the data it stands for, or leave it out, and upload again."),
        IOException or UnauthorizedAccessException => Fail(UploadErrors.SourceUnreadable, error.Message, "Make the source readable and upload again."),
        _ => null,
    };

    private static Action<long> Meter(UploadPhase phase, long total, IProgress<UploadProgress>? progress)
    {
        if (progress is null)
            return static _ => { };
        long done = 0;
        progress.Report(new UploadProgress(phase, 0, total));
        return bytes => progress.Report(new UploadProgress(phase, done += bytes, total));
    }

    private static UploadOutcome Fail(string code, string what, string next) => new(null, new UploadError(code, what, SourceSafe, next));
}
