using Librarian.Client.Wire;

namespace Librarian.Client.Uploads;

/// <content>What it means that the site refuses a name as taken.</content>
public sealed partial class Upload
{
    // A 409 only says that the name is taken, unless the site has checked its copy and says so. The catalog says which content has the
    // name. If the client cannot ask, or the catalog does not show the file yet, the upload has neither succeeded nor met other content.
    private async Task<UploadOutcome> ConflictAsync(
        string localPath,
        string name,
        ContentDigest digest,
        ReplyError error,
        CancellationToken cancellationToken
    )
    {
        if (error is Refused { CopyVerified: not null })
            return new UploadOutcome(new UploadReceipt(name, digest, AlreadyPresent: true), null);
        var found = await client.SearchFilesAsync(new FileSearchRequest(name, MaxResults: 1), cancellationToken);
        if (!found.IsSuccess)
            return Fail(
                UploadErrors.Unreachable,
                $"The name {name} is taken, and whether by the same content could not be asked: {found.Error}",
                "Upload again."
            );
        if (found.Value.Count == 0)
            return NotCatalogued(name, error);
        var same = found.Value.FirstOrDefault(hit => hit.Name == name && hit.Size == digest.Size && HasSameNames(hit, digest));
        try
        {
            if (same is not null && !await RecordedChecksum.IsOfAsync(same.Checksum, digest, localPath, cancellationToken))
                same = null;
        }
        catch (Exception unreadable) when (SourceError(unreadable) is { } outcome)
        {
            return outcome;
        }

        if (same is null)
            return Fail(
                UploadErrors.NameTaken,
                $"The site has other content under the name {name}: {error}",
                "Files are immutable: choose another name, or compare checksums with search-files."
            );
        if (!same.Instances.Any(static i => i.Available))
            return Fail(
                UploadErrors.Refused,
                $"The site has catalogued {name} with this content, but no copy of it is available there.",
                "Keep your copy and tell the site's operator."
            );
        return await VerifiedAsync(name, digest, same, cancellationToken);
    }

    // Only reading the copy shows that the content is still intact, because the catalog records a past state.
    private async Task<UploadOutcome> VerifiedAsync(
        string name,
        ContentDigest digest,
        FileSearchHit same,
        CancellationToken cancellationToken
    )
    {
        var read = await client.ValidateFileAsync(new ValidateFileRequest(name), cancellationToken);
        if (!read.IsSuccess)
            return Fail(
                UploadErrors.NotVerified,
                $"The site has catalogued {name} with this content, and whether its copy is good could not be asked: {read.Error}",
                "Keep your copy and upload again later."
            );
        // The response also names copies at other sites, and a store's number means nothing without its site.
        var elsewhere = same.RemoteInstances.Select(static r => r.LibrarianName).ToHashSet(StringComparer.Ordinal);
        return read.Value.Any(copy =>
            copy.ComputedSameChecksum
            && copy.CurrentSize == digest.Size
            && !elsewhere.Contains(copy.Librarian)
            && same.Instances.Any(i => i.Available && i.StoreId == copy.Store)
        )
            ? new UploadOutcome(new UploadReceipt(name, digest, AlreadyPresent: true), null)
            : Fail(
                UploadErrors.NotVerified,
                $"The site has catalogued {name} with this content, but has found no good copy of it there.",
                "Keep your copy and tell the site's operator."
            );
    }

    // The name is refused, and no file of the catalog has it: data of unknown origin lie there, a name above or below is a file, or another
    // transfer is storing it right now. The site's reason says which.
    private static UploadOutcome NotCatalogued(string name, ReplyError error) =>
        error is Refused { SuggestedRemedy.Length: > 0 } refused
            ? Fail(
                UploadErrors.Refused,
                $"The site did not take the name {name}, which is not in its catalog: {refused.Reason}",
                refused.SuggestedRemedy
            )
            : Fail(
                UploadErrors.Refused,
                $"The site did not take the name {name}, which is not in its catalog, and did not say why: {error}",
                "Upload again in a minute. If it is refused again, ask the site's operator what lies under that name in the store."
            );
}
