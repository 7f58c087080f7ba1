using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Domain.Peers;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Functions.Api;

/// <summary>Calls between sites of this project, beyond upstream's contract (docs/compatibility.md).</summary>
[Tags("Copies")]
public sealed class CopyFunctions(CatalogDatabase database, CopyProbe probe, SiteCatalog catalog)
{
    /// <summary>How long an answer may take to read copies; the peer asks again for the rest.</summary>
    private static readonly TimeSpan ReadWithin = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Checks which of the named files have an intact copy here. A peer asks this about copies that are in doubt because one of the two
    /// catalogs was restored.
    /// </summary>
    [Function("PeerCopies"), Requires(AuthLevel.Callback)]
    [Responds<CopiesResponse>(200, "The files that are held, and those of which that cannot be said now; the others are not held.")]
    public async Task<IResult> CopiesAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = PeerRoutes.Prefix + PeerRoutes.Copies)] HttpRequest request,
        [FromBody] CopiesRequest body,
        CancellationToken cancellationToken
    )
    {
        if (body.Names.Count > CopiesRequest.MaxNames || body.Names.Any(n => n is null))
            return Answers.Fail(
                request,
                422,
                "The request body is not valid.",
                $"Ask for at most {CopiesRequest.MaxNames} names, none of them null."
            );
        // The peer relies on the answer, so this catalog must record that one was given.
        await catalog.AdvanceAsync(cancellationToken);
        var names = body.Names.Distinct(StringComparer.Ordinal).ToList();
        List<DeclaredFile> files;
        await using (var db = database.Open())
            files = await db
                .Files.AsNoTracking()
                .Where(f => names.Contains(f.Name))
                .Select(f => new DeclaredFile(f.Name, f.Size, f.Checksum, f.TreeDigest))
                .ToListAsync(cancellationToken);
        var findings = await probe.ProbeAsync(files, ReadWithin, cancellationToken);
        return Answers.Json(
            new CopiesResponse(
                [
                    .. files
                        .Where(f => findings.GetValueOrDefault(f.Name) is { Presence: FilePresence.Intact })
                        .Select(f => new HeldFile(f.Name, f.Size, f.Checksum, [findings[f.Name].StoreId!.Value], f.TreeDigest)),
                ],
                [
                    .. files
                        .Where(f => findings.GetValueOrDefault(f.Name) is { Presence: FilePresence.Unknown or FilePresence.Reading })
                        .Select(f => f.Name),
                ]
            )
        );
    }
}
