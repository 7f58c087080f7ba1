using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Paths of the data endpoints (docs/spec/data.md); all are GET, and the name of a file follows.</summary>
public static class DataRoutes
{
    /// <summary>Prefix of every path, without a leading slash.</summary>
    public const string Prefix = "data/v1/";

    /// <summary>files/NAME: the bytes.</summary>
    public const string Files = "files/";

    /// <summary>trees/NAME: the listing.</summary>
    public const string Trees = "trees/";

    /// <summary>Header with the catalog's checksum of the file.</summary>
    public const string ChecksumHeader = "Librarian-Checksum";
}

/// <summary>First line of a listing (docs/spec/data.md#listing).</summary>
/// <param name="Directory">Whether the file is a directory.</param>
/// <param name="Size">Bytes of all regular files.</param>
/// <param name="Checksum">The catalog's checksum, verbatim.</param>
/// <param name="TreeDigest">Tree digest of a directory; null if the catalog has none.</param>
public sealed record ListingHead(
    bool Directory,
    long Size,
    string Checksum,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? TreeDigest = null
);

/// <summary>A line of a listing: a member, or the last line, which only has <paramref name="Members"/>.</summary>
/// <param name="Type"><c>file</c>, <c>directory</c> or <c>link</c>.</param>
/// <param name="Path">Path below the directory; empty for a file that is no directory.</param>
/// <param name="PathBytes">The path, if it is not UTF-8.</param>
/// <param name="Size">Bytes of a file.</param>
/// <param name="Executable">Whether a file's owner may execute it.</param>
/// <param name="Target">Target of a link.</param>
/// <param name="TargetBytes">The target, if it is not UTF-8.</param>
/// <param name="Members">Number of members, in the last line.</param>
public sealed record ListingLine(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Type = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Path = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] byte[]? PathBytes = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? Size = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] bool? Executable = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Target = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] byte[]? TargetBytes = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? Members = null
);
