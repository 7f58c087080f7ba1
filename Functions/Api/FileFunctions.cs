using Librarian.Client.Wire;
using Librarian.Domain.Files;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;

namespace Librarian.Functions.Api;

/// <summary>
/// Changes that an administrator makes to the catalog by hand (docs/spec/wire.md#add-file, docs/spec/wire.md#delete-instance).
/// </summary>
[Tags("Files")]
public sealed class FileFunctions(FileAdministration files)
{
    /// <summary>Catalogues data that already lie in a store, after reading them.</summary>
    [Function("AddFile"), Requires(AuthLevel.Admin)]
    [Responds<AddFileResponse>(200, "It is catalogued, or had been before.")]
    [Refuses<Failure>(
        400,
        "Store {store_name} does not exist.",
        "File {path} does not exist.",
        "File {path} does not have the declared checksum or size.",
        "The File is not valid."
    )]
    public async Task<IResult> AddAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminAddFile)] HttpRequest request,
        [FromBody] AddFileRequest body,
        CancellationToken cancellationToken
    )
    {
        var (outcome, message) = await files.AddAsync(
            new StoredData(body.Name, body.Size, body.Checksum, body.Uploader, body.Source, body.Path, body.StoreName, body.CreateTime),
            cancellationToken
        );
        return outcome switch
        {
            AddOutcome.Added => Answers.Json(new AddFileResponse(false, true, true)),
            AddOutcome.AlreadyThere => Answers.Json(new AddFileResponse(true, false, true)),
            AddOutcome.UnknownStore => Answers.Fail(request, 400, $"Store {body.StoreName} does not exist.", message),
            AddOutcome.Missing => Answers.Fail(request, 400, $"File {body.Path} does not exist.", message),
            AddOutcome.Mismatch => Answers.Fail(
                request,
                400,
                $"File {body.Path} does not have the declared checksum or size.",
                message + " Nothing was catalogued."
            ),
            _ => Answers.Fail(request, 400, "The File is not valid.", message),
        };
    }

    /// <summary>Removes a local copy from the catalog and, on request, deletes its data.</summary>
    [Function("InstanceDeleteLocal"), Requires(AuthLevel.Admin)]
    [Responds<InstanceDeleteResponse>(200, "The site does not know of it any more.")]
    [Responds<InstanceDeleteResponse>(400, "There is no such copy, or its data could not be deleted. It is still catalogued.")]
    public async Task<IResult> DeleteLocalAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminInstanceDeleteLocal)] HttpRequest request,
        [FromBody] InstanceDeleteRequest body,
        CancellationToken cancellationToken
    ) => Answer(body.InstanceId, await files.DeleteLocalAsync(body.InstanceId, body.DeleteFile ?? false, cancellationToken));

    /// <summary>Removes a peer's copy from the catalog.</summary>
    [Function("InstanceDeleteRemote"), Requires(AuthLevel.Admin)]
    [Responds<InstanceDeleteResponse>(200, "The site does not know of it any more.")]
    [Responds<InstanceDeleteResponse>(400, "There is no such copy.")]
    public async Task<IResult> DeleteRemoteAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.AdminInstanceDeleteRemote)] HttpRequest request,
        [FromBody] InstanceDeleteRequest body,
        CancellationToken cancellationToken
    ) => Answer(body.InstanceId, await files.DeleteRemoteAsync(body.InstanceId, cancellationToken));

    private static IResult Answer(long id, DeleteOutcome outcome) =>
        outcome == DeleteOutcome.Deleted
            ? Answers.Json(new InstanceDeleteResponse(true, id))
            : Answers.Json(new InstanceDeleteResponse(false, id), StatusCodes.Status400BadRequest);
}
