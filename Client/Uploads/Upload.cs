using System.Net;
using Librarian.Client.Wire;

namespace Librarian.Client.Uploads;

/// <summary>
/// Uploads a local file or directory to a site (docs/spec/wire.md#python-client-sequences): reads it for the checksum, stages, copies while
/// it reads again, commits. Never changes the source. An upload can be repeated safely at any point: the site discards the earlier attempt,
/// and the same content under the same name counts as success.
/// </summary>
/// <param name="client">Client of the site, with an account that may append.</param>
/// <param name="time">Clock for the waits after a lost response.</param>
public sealed partial class Upload(LibrarianClient client, TimeProvider time)
{
    private static readonly TimeSpan LongestWait = TimeSpan.FromMinutes(1);

    private const string SourceSafe = "The source was only read; nothing is lost.";

    /// <summary>Uploads one file or directory.</summary>
    /// <param name="localPath">
    /// File or directory; a directory becomes one file of the catalog. U+DC00 plus the byte stands for a byte that is not UTF-8, as in
    /// Python.
    /// </param>
    /// <param name="destination">Name in the catalog, a relative path.</param>
    /// <param name="options">Options, or null for the defaults.</param>
    /// <param name="progress">Called for every chunk, possibly on another thread.</param>
    /// <param name="cancellationToken">Cancels the upload. The site discards the staged data later.</param>
    /// <returns>A receipt or an error. Only cancellation throws.</returns>
    public async Task<UploadOutcome> RunAsync(
        string localPath,
        string destination,
        UploadOptions? options = null,
        IProgress<UploadProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(localPath);
        ArgumentNullException.ThrowIfNull(destination);
        options ??= new UploadOptions();
        var name = PathText.Normalise(destination);
        if (WrongDestination(destination, name) is { } wrong)
            return wrong;
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
        var staged = await StageAsync(
            new UploadStageRequest(digest.Size, digest.Checksum, PathText.Name(name), name, uploader, digest.TreeDigest),
            options,
            progress,
            cancellationToken
        );
        if (!staged.IsSuccess)
            return await StageErrorAsync(localPath, name, digest, staged.Error, cancellationToken);
        var slot = staged.Value;

        var hostname = options.Hostname ?? Dns.GetHostName();
        var (providerName, provider) = ChooseProvider(slot, hostname);
        if (provider is null)
            return NoProvider(slot, hostname);
        var copyFailure = provider.DataVersion is null
            ? await CopyAsync(localPath, slot.StagingLocation, digest, progress, cancellationToken)
            : await SendAsync(localPath, slot, digest, options, progress, cancellationToken);
        if (copyFailure is not null)
            return copyFailure;

        progress?.Report(new UploadProgress(UploadPhase.Committing, 0, digest.Size));
        var commit = await client.CommitUploadAsync(
            CommitRequest(slot, name, (providerName, provider), options.DeletionPolicy, uploader),
            cancellationToken
        );
        if (commit.IsSuccess)
        {
            progress?.Report(new UploadProgress(UploadPhase.Committing, digest.Size, digest.Size));
            return new UploadOutcome(new UploadReceipt(name, digest), null);
        }

        return await CommitErrorAsync(localPath, name, digest, commit.Error, options, cancellationToken);
    }

    /// <summary>A copy on a shared file system if this host has it, otherwise a data batch.</summary>
    private static KeyValuePair<string, SyncProvider> ChooseProvider(UploadStageResponse slot, string hostname)
    {
        var local = slot.TransferProviders.FirstOrDefault(offer => offer.Value.Hostnames.Contains(hostname, StringComparer.Ordinal));
        return local.Value is not null
            ? local
            : slot.TransferProviders.FirstOrDefault(static offer => offer.Value.DataVersion == DataBatchRoutes.Version);
    }

    private static UploadCommitRequest CommitRequest(
        UploadStageResponse slot,
        string name,
        (string Name, SyncProvider Provider) provider,
        DeletionPolicy policy,
        string uploader
    ) =>
        new(
            slot.StoreName,
            slot.StagingName,
            slot.StagingLocation,
            slot.UploadName,
            name,
            provider.Name,
            new SyncProvider(provider.Provider.Hostnames) { DataVersion = provider.Provider.DataVersion },
            MetaMode: "infer",
            policy == DeletionPolicy.Allowed ? "ALLOWED" : "DISALLOWED",
            uploader,
            NullObsid: true
        )
        {
            TransferId = slot.TransferId,
        };

    private static UploadOutcome? WrongDestination(string destination, string name)
    {
        if (name == "." || PathText.IsAbsolute(name) || name.Split('/').Contains("..", StringComparer.Ordinal))
            return Fail(
                UploadErrors.Destination,
                $"The destination \"{destination.Shown()}\" is not a relative path inside the store.",
                "Give a path such as obs/2026/file.h5."
            );
        if (!PathBytes.IsUnicode(name))
        {
            return Fail(
                UploadErrors.Destination,
                $"The destination \"{destination.Shown()}\" is not valid UTF-8, so no catalog can hold it.",
                "Choose another name for it, or upload the directory that it lies in as one file: "
                    + "names inside a directory may be any bytes."
            );
        }

        return null;
    }

    private static UploadOutcome NoProvider(UploadStageResponse slot, string hostname)
    {
        var hosts = slot.TransferProviders.SelectMany(static offer => offer.Value.Hostnames).Distinct(StringComparer.Ordinal).ToArray();
        return Fail(
            UploadErrors.NoProvider,
            $"Store {slot.StoreName} cannot be written from this host, {hostname}; "
                + $"it can be from {(hosts.Length == 0 ? "no host" : string.Join(", ", hosts))}.",
            hosts.Length == 0
                ? "Ask the site's operator to offer a way in for clients on that store."
                : "Upload from one of those hosts, or ask the site's operator to list this one with the store."
        );
    }

    // A crash or error between stage and commit leaves an unfinished transfer and a staging directory at the site. When the same content is
    // staged again, the site discards both (docs/spec/wire.md#upload-stage-restart).
    private static async Task<UploadOutcome?> CopyAsync(
        string localPath,
        string stagingLocation,
        ContentDigest expected,
        IProgress<UploadProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        try
        {
            var copied = await StagingCopy.CopyAsync(
                localPath,
                stagingLocation,
                Meter(UploadPhase.Copying, expected.Size, progress),
                cancellationToken
            );
            if (copied == expected && copied.TreeDigest == expected.TreeDigest)
                return null;
            StagingCopy.Discard(stagingLocation);
            return Fail(
                UploadErrors.SourceChanged,
                $"{localPath.Shown()} changed while it was being uploaded "
                    + $"({expected.Size} bytes {expected.Checksum} became {copied.Size} bytes {copied.Checksum}).",
                "Upload again when nothing writes to it any more."
            );
        }
        catch (SourceChangedException error)
        {
            return Fail(UploadErrors.SourceChanged, error.Message, "Upload again when nothing writes to it any more.");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or UnsupportedSourceException)
        {
            return Fail(
                UploadErrors.CopyFailed,
                $"Copying to the staging area failed: {error.Message}",
                "Check that the store's staging area is mounted here, writable for you and not full, then upload again."
            );
        }
    }

    // Before the site answers that the file is there, it reads a copy that it has not read for a long time. For a large copy that takes
    // longer than a request may.
    private async Task<Reply<UploadStageResponse>> StageAsync(
        UploadStageRequest request,
        UploadOptions options,
        IProgress<UploadProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        for (var question = 0; ; question++)
        {
            var reply = await client.StageUploadAsync(request, cancellationToken);
            if (reply.Error is not Refused { Status: 503, Reason: Reasons.CopyBeingRead } reading || question >= options.ReadingQuestions)
                return reply;
            progress?.Report(new UploadProgress(UploadPhase.Waiting, 0, request.UploadSize));
            await Task.Delay(
                reading.RetryAfter is { } wait && wait > TimeSpan.Zero && wait < LongestWait ? wait : LongestWait,
                time,
                cancellationToken
            );
        }
    }

    private async Task<UploadOutcome> StageErrorAsync(
        string localPath,
        string name,
        ContentDigest digest,
        ReplyError error,
        CancellationToken cancellationToken
    )
    {
        if (error is Refused { Status: 409 })
            return await ConflictAsync(localPath, name, digest, error, cancellationToken);
        return error switch
        {
            Refused refused => Fail(
                UploadErrors.Refused,
                $"The site refused the upload: {refused.Reason}",
                refused.SuggestedRemedy.Length == 0 ? "Ask the site's operator." : refused.SuggestedRemedy
            ),
            Unreachable lost => Fail(UploadErrors.Unreachable, lost.Why, "Check the connection and upload again."),
            _ => Fail(UploadErrors.Malformed, error.ToString(), "Check that the address is a librarian's, and the versions on both sides."),
        };
    }

    // The client never repeats a commit after a lost response: an upstream site would turn a completed transfer into a failed one
    // (docs/spec/wire.md#upload-commit). The client asks the catalog instead.
    private async Task<UploadOutcome> CommitErrorAsync(
        string localPath,
        string name,
        ContentDigest digest,
        ReplyError error,
        UploadOptions options,
        CancellationToken cancellationToken
    )
    {
        if (error is Refused { Status: 409 })
            return await ConflictAsync(localPath, name, digest, error, cancellationToken);
        if (error is Refused { Status: < 500 } refused)
            return Fail(
                UploadErrors.Refused,
                $"The site did not ingest the upload: {refused.Reason}",
                (refused.SuggestedRemedy + " Upload again; the site discards this attempt.").TrimStart()
            );
        for (var question = 0; question < options.LostAnswerQuestions; question++)
        {
            await Task.Delay(TimeSpan.FromSeconds(1 << Math.Min(question, 6)), time, cancellationToken);
            if (await PresentAsync(name, digest, cancellationToken) is { Receipt: { } receipt })
                return new UploadOutcome(receipt with { AlreadyPresent = false }, null);
        }

        return Fail(
            UploadErrors.AnswerLost,
            $"The site's answer to the commit was lost ({error}) and its catalog does not show {name} yet.",
            $"Search for the name \"{name}\" in a while; if it is not there, upload again, which is safe either way."
        );
    }

    private static bool HasSameNames(FileSearchHit hit, ContentDigest digest) =>
        hit.TreeDigest is null || digest.TreeDigest is null || hit.TreeDigest == digest.TreeDigest;

    // When the site accepted this upload, the name was free or its copy was known to be corrupt. A copy that is available now was verified
    // since then.
    private async Task<UploadOutcome?> PresentAsync(string name, ContentDigest digest, CancellationToken cancellationToken)
    {
        var found = await client.SearchFilesAsync(new FileSearchRequest(name, MaxResults: 1), cancellationToken);
        return
            found.IsSuccess
            && found.Value.Any(hit =>
                hit.Name == name
                && hit.Size == digest.Size
                && hit.Checksum == digest.Checksum
                && HasSameNames(hit, digest)
                && hit.Instances.Any(static i => i.Available)
            )
            ? new UploadOutcome(new UploadReceipt(name, digest, AlreadyPresent: true), null)
            : null;
    }

    private static UploadOutcome? SourceError(Exception error) =>
        error switch
        {
            FileNotFoundException or DirectoryNotFoundException => Fail(UploadErrors.SourceMissing, error.Message, "Check the path."),
            SourceChangedException => Fail(UploadErrors.SourceChanged, error.Message, "Upload again when nothing writes to it any more."),
            UnsupportedSourceException => Fail(
                UploadErrors.SourceUnsupported,
                error.Message,
                "Replace it by the data it stands for, or leave it out, and upload again."
            ),
            ArgumentException => Fail(UploadErrors.SourceMissing, error.Message, "Check the path."),
            IOException or UnauthorizedAccessException => Fail(
                UploadErrors.SourceUnreadable,
                error.Message,
                "Make the source readable and upload again."
            ),
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
