using System.Buffers;
using System.Globalization;
using System.Net.Mime;
using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.EntityFrameworkCore;
using Microsoft.Net.Http.Headers;
using ContentDispositionHeaderValue = Microsoft.Net.Http.Headers.ContentDispositionHeaderValue;

namespace Librarian.Functions.Api;

/// <summary>The data of catalogued files (docs/spec/data.md).</summary>
[Tags("Data")]
[ReadsPath("name", "Name of a file in the catalog, percent-encoded component by component.")]
public sealed class DataFunctions(CatalogDatabase database, SiteStores stores, ILogger<DataFunctions> log)
{
    private const string NoCopyHere = "No copy of the file is here.";
    private const string NoCopyNow = "No copy of the file can be read now.";
    private const string Bytes = MediaTypeNames.Application.Octet;
    private const int RetryAfterSeconds = 60;
    private const int FlushAt = 1 << 16;

    /// <summary>The bytes of a file, or of a directory's files one after the other. Takes a range.</summary>
    [Function("FileData"), Requires(AuthLevel.ReadOnly)]
    [Responds(200, "The bytes.")]
    [Responds(206, "The bytes of the range.")]
    [Responds(416, "The range begins behind the end.")]
    [Refuses<Failure>(404, Reasons.NoFilesFound, NoCopyHere)]
    [Refuses<Failure>(503, NoCopyNow)]
    [RespondsHeader(200, "ETag", "The catalog's checksum; the bytes are the same as long as it is.")]
    [RespondsHeader(200, DataRoutes.ChecksumHeader, "The catalog's checksum, which a client verifies.")]
    [RespondsHeader(503, "Retry-After", "Seconds after which to ask again.")]
    public Task<IResult> FileAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = DataRoutes.Prefix + DataRoutes.Files + "{*name}")] HttpRequest request,
        string name,
        CancellationToken cancellationToken
    ) => AnswerAsync(request, name, cancellationToken);

    /// <summary>The headers of the same answer, without the bytes.</summary>
    [Function("FileHead"), Requires(AuthLevel.ReadOnly)]
    [Responds(200, "The headers.")]
    [Refuses<Failure>(404, Reasons.NoFilesFound, NoCopyHere)]
    [Refuses<Failure>(503, NoCopyNow)]
    public Task<IResult> HeadAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "head", Route = DataRoutes.Prefix + DataRoutes.Files + "{*name}")] HttpRequest request,
        string name,
        CancellationToken cancellationToken
    ) => AnswerAsync(request, name, cancellationToken);

    /// <summary>The members of a directory with their sizes, one JSON object per line.</summary>
    [Function("FileTree"), Requires(AuthLevel.ReadOnly)]
    [Responds(200, "JSON lines; the last one has the number of members.")]
    [Refuses<Failure>(404, Reasons.NoFilesFound, NoCopyHere)]
    [Refuses<Failure>(503, NoCopyNow)]
    [RespondsHeader(200, "ETag", "As for the bytes.")]
    [RespondsHeader(503, "Retry-After", "Seconds after which to ask again.")]
    public async Task<IResult> TreeAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = DataRoutes.Prefix + DataRoutes.Trees + "{*name}")] HttpRequest request,
        string name,
        CancellationToken cancellationToken
    )
    {
        var (file, content, refusal) = await OpenAsync(request, name, cancellationToken);
        if (content is null)
            return refusal!;
        request.HttpContext.Response.RegisterForDispose(content);
        request.HttpContext.Response.Headers.ETag = TagOf(file!).ToString();
        return Results.Stream(to => WriteListingAsync(to, file!, content, cancellationToken), "application/jsonl");
    }

    private async Task<IResult> AnswerAsync(HttpRequest request, string name, CancellationToken cancellationToken)
    {
        var (file, content, refusal) = await OpenAsync(request, name, cancellationToken);
        if (content is null)
            return refusal!;
        request.HttpContext.Response.RegisterForDispose(content);
        var headers = request.HttpContext.Response.Headers;
        headers[DataRoutes.ChecksumHeader] = Uri.EscapeDataString(file!.Checksum);
        headers.XContentTypeOptions = "nosniff";
        var disposition = new ContentDispositionHeaderValue(DispositionTypeNames.Attachment);
        disposition.SetHttpFileName(PathText.Name(file.Name));
        headers.ContentDisposition = disposition.ToString();
        return Results.Stream(content.Stream, Bytes, entityTag: TagOf(file), enableRangeProcessing: true);
    }

    private static async Task WriteListingAsync(Stream to, FileRecord file, StoredContent content, CancellationToken cancellationToken)
    {
        var buffer = new ArrayBufferWriter<byte>(FlushAt + 4096);
        var head = new ListingHead(content.IsDirectory, content.Size, file.Checksum, file.TreeDigest);
        Append(buffer, JsonSerializer.SerializeToUtf8Bytes(head, WireJson.Wire.ListingHead));
        long members = 0;
        foreach (var member in content.Members())
        {
            members++;
            Append(buffer, JsonSerializer.SerializeToUtf8Bytes(LineOf(member), WireJson.Wire.ListingLine));
            if (buffer.WrittenCount < FlushAt)
                continue;
            await to.WriteAsync(buffer.WrittenMemory, cancellationToken);
            buffer.ResetWrittenCount();
        }

        Append(buffer, JsonSerializer.SerializeToUtf8Bytes(new ListingLine(Members: members), WireJson.Wire.ListingLine));
        await to.WriteAsync(buffer.WrittenMemory, cancellationToken);
    }

    private static void Append(ArrayBufferWriter<byte> buffer, byte[] line)
    {
        buffer.Write(line);
        buffer.Write("\n"u8);
    }

    private static ListingLine LineOf(ContentMember member)
    {
        var (path, pathBytes) = Encoded(member.Path);
        var (target, targetBytes) = member.Target is { } to ? Encoded(to) : (null, null);
        return new ListingLine(
            member.Type switch
            {
                MemberType.File => "file",
                MemberType.Directory => "directory",
                _ => "link",
            },
            path,
            pathBytes,
            member.Type == MemberType.File ? member.Size : null,
            member.IsExecutable ? true : null,
            target,
            targetBytes
        );
    }

    private static (string? Text, byte[]? Bytes) Encoded(string path) =>
        PathBytes.IsUnicode(path) ? (path, null) : (null, PathBytes.ToZeroTerminated(path)[..^1]);

    /// <summary>
    /// The catalog's checksum: any text, readable in the tag if it is an ordinary one. Not the tree digest, which the site may add later.
    /// </summary>
    private static EntityTagHeaderValue TagOf(FileRecord file)
    {
        var text = file.Checksum;
        return new EntityTagHeaderValue(
            text.All(c => c is > ' ' and <= '~' and not ('"' or '\\')) ? $"\"{text}\"" : $"\"{Uri.EscapeDataString(text)}\""
        );
    }

    /// <summary>Opens the first copy that can be read.</summary>
    private async Task<(FileRecord? File, StoredContent? Content, IResult? Refusal)> OpenAsync(
        HttpRequest request,
        string name,
        CancellationToken cancellationToken
    )
    {
        FileRecord? file;
        List<FileCopy> copies;
        List<string> peers;
        await using (var db = database.Open())
        {
            file = await db.Files.AsNoTracking().SingleOrDefaultAsync(f => f.Name == name, cancellationToken);
            if (file is null)
                return (null, null, Answers.Fail(request, 404, Reasons.NoFilesFound, "Check the name, which must match exactly."));
            copies = await db.IntactCopies.AsNoTracking().Where(c => c.FileName == name).OrderBy(c => c.Id).ToListAsync(cancellationToken);
            peers =
                copies.Count > 0
                    ? []
                    : await db
                        .RemoteCopies.Where(r => r.FileName == name)
                        .Select(r => r.Peer!.Name)
                        .Distinct()
                        .Order()
                        .ToListAsync(cancellationToken);
        }

        if (copies.Count == 0)
            return (
                null,
                null,
                Answers.Fail(
                    request,
                    404,
                    NoCopyHere,
                    peers.Count == 0 ? "No peer is known to have one." : $"Ask {string.Join(" or ", peers)}."
                )
            );
        var why = "";
        foreach (var copy in copies)
        {
            (var content, why) = await OpenAsync(file, copy, cancellationToken);
            if (content is not null)
                return (file, content, null);
        }

        request.HttpContext.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
        return (null, null, Answers.Fail(request, 503, NoCopyNow, why));
    }

    private async Task<(StoredContent? Content, string Why)> OpenAsync(FileRecord file, FileCopy copy, CancellationToken cancellationToken)
    {
        if (await stores.FindAsync(copy.StoreId, cancellationToken) is not { } store || !FileName.TryParse(copy.Path, out var path, out _))
            return (null, stores.WhyAway(copy.StoreId));
        string why;
        try
        {
            var content = await store.OpenContentAsync(path, cancellationToken);
            if (content is not null && (content.IsDirectory || content.Size == file.Size))
                return (content, "");
            why = content is null ? "Nothing is there." : $"It has {content.Size} bytes instead of {file.Size}.";
            content?.Dispose();
        }
        catch (IOException error)
        {
            why = error.Message;
        }

        Logs.CopyNotOpened(log, stores.Locate(copy.StoreId, copy.Path), why);
        return (null, "The copy is missing or damaged; the site's administrator finds the reason in its log.");
    }
}
