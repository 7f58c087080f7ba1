using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Paths that sites of this project call at each other beyond upstream's contract; all are POST (docs/compatibility.md).</summary>
public static class PeerRoutes
{
    /// <summary>Prefix of every path, without a leading slash.</summary>
    public const string Prefix = "peers/v1/";

    /// <summary>Asks which of the given files the site holds.</summary>
    public const string Copies = "copies";
}

/// <summary>Request to copies.</summary>
/// <param name="Names">Names of files, at most <see cref="MaxNames"/>.</param>
public sealed record CopiesRequest(IReadOnlyList<string> Names)
{
    /// <summary>The maximum number of names in one request.</summary>
    public const int MaxNames = 500;
}

/// <summary>A file with an intact copy at the answering site.</summary>
/// <param name="Name">Name of the file.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="Checksum">Checksum string in that site's catalog.</param>
/// <param name="StoreIds">Stores with a copy that this call probed and found intact; at least one.</param>
/// <param name="TreeDigest">
/// Digest over names and contents of a directory's members (docs/formats/tree-digest-v1.md); absent if unknown.
/// </param>
public sealed record HeldFile(
    string Name,
    long Size,
    string Checksum,
    IReadOnlyList<long> StoreIds,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? TreeDigest = null
);

/// <summary>Response 200 of copies. The site does not hold a file whose name is in neither list.</summary>
/// <param name="Files">Files that the site holds.</param>
/// <param name="Undecided">Names of files whose copies cannot be probed now or are still being read. Ask again later.</param>
public sealed record CopiesResponse(IReadOnlyList<HeldFile> Files, IReadOnlyList<string> Undecided);
