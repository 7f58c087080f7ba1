using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Request to search/file (docs/spec/wire.md#search-file). A file must match all criteria; null matches everything.</summary>
/// <param name="Name">Exact name.</param>
/// <param name="CreateTimeWindow">Time of ingest at this site.</param>
/// <param name="Uploader">Exact uploader.</param>
/// <param name="Source">Exact source.</param>
/// <param name="MaxResults">Maximum number of results; the server has a limit of its own.</param>
public sealed record FileSearchRequest(
    string? Name = null,
    TimeWindow? CreateTimeWindow = null,
    string? Uploader = null,
    string? Source = null,
    long MaxResults = 64
);

/// <summary>A file that search/file found.</summary>
/// <param name="Name">Name in the catalog.</param>
/// <param name="CreateTime">Time of ingest at this site, UTC.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="Checksum">Checksum as the uploader declared it, byte for byte.</param>
/// <param name="Uploader">Who uploaded the file.</param>
/// <param name="Source">Where the file came from.</param>
/// <param name="Instances">Copies at this site, including unavailable ones; at least one.</param>
/// <param name="RemoteInstances">Remote copies.</param>
/// <param name="TreeDigest">
/// Digest over names and contents of a directory's members (docs/formats/tree-digest-v1.md); absent if unknown. Not in upstream's protocol;
/// upstream ignores it.
/// </param>
public sealed record FileSearchHit(
    string Name,
    DateTime CreateTime,
    long Size,
    string Checksum,
    string Uploader,
    string Source,
    IReadOnlyList<LocalInstance> Instances,
    IReadOnlyList<RemoteInstance> RemoteInstances,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? TreeDigest = null
);

/// <summary>A copy on a store of this site.</summary>
/// <param name="Path">Absolute path.</param>
/// <param name="DeletionPolicy">Whether the copy may be deleted.</param>
/// <param name="CreatedTime">Creation time of the copy, UTC.</param>
/// <param name="Available">Whether the copy can be read now.</param>
/// <param name="Id">Id of the copy; set in instance searches, null in file searches.</param>
/// <param name="FileName">Name of the file; set in instance searches, null in file searches.</param>
/// <param name="StoreId">
/// Id of the store. Must be set in file searches, because the recovery of peers reads it (docs/spec/wire.md#search-file-store-id).
/// </param>
public sealed record LocalInstance(
    [property: JsonConverter(typeof(WirePathConverter))] string Path,
    DeletionPolicy DeletionPolicy,
    DateTime CreatedTime,
    bool Available,
    long? Id = null,
    string? FileName = null,
    long? StoreId = null
);

/// <summary>A remote copy.</summary>
/// <param name="LibrarianName">Peer that holds the copy.</param>
/// <param name="CopyTime">Time at which this site learnt of the copy, UTC.</param>
/// <param name="Id">Id of the copy's record; set in instance searches, null in file searches.</param>
/// <param name="FileName">Name of the file; set in instance searches, null in file searches.</param>
/// <param name="StoreId">Id of the store at that peer; set in instance searches.</param>
/// <param name="Sender">Site that sent the copy; set in instance searches.</param>
/// <param name="UnconfirmedSince">
/// UTC time since which the copy is in doubt and does not count; absent while it counts. Only in instance searches.
/// </param>
public sealed record RemoteInstance(
    string LibrarianName,
    DateTime CopyTime,
    long? Id = null,
    string? FileName = null,
    long? StoreId = null,
    string? Sender = null,
    [property: System.Text.Json.Serialization.JsonIgnore(Condition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull)]
        DateTime? UnconfirmedSince = null
);

/// <summary>Request to search/instance_local (docs/spec/wire.md#search-instance-local).</summary>
/// <param name="Id">Id of the copy.</param>
/// <param name="Path">Exact path, verbatim.</param>
/// <param name="DeletionPolicy">The words <c>ALLOWED</c> or <c>DISALLOWED</c>.</param>
/// <param name="CreatedTime">Exact instant.</param>
/// <param name="FileName">Exact name.</param>
/// <param name="StoreId">Id of the store.</param>
/// <param name="Available">Whether the copy can be read.</param>
/// <param name="MaxResults">Maximum number of results.</param>
public sealed record LocalInstanceSearchRequest(
    long? Id = null,
    string? Path = null,
    string? DeletionPolicy = null,
    DateTime? CreatedTime = null,
    string? FileName = null,
    long? StoreId = null,
    bool? Available = null,
    long MaxResults = 64
);

/// <summary>Request to search/instance_remote (docs/spec/wire.md#search-instance-remote).</summary>
/// <param name="Id">Id of the remote copy's record.</param>
/// <param name="FileName">Exact name.</param>
/// <param name="StoreId">Id of the store at the peer.</param>
/// <param name="LibrarianId">Id of the peer.</param>
/// <param name="CopyTime">Exact instant.</param>
/// <param name="Sender">Site that sent the copy.</param>
/// <param name="MaxResults">Maximum number of results.</param>
public sealed record RemoteInstanceSearchRequest(
    long? Id = null,
    string? FileName = null,
    long? StoreId = null,
    long? LibrarianId = null,
    DateTime? CopyTime = null,
    string? Sender = null,
    long MaxResults = 64
);

/// <summary>Request to search/error (docs/spec/wire.md#search-error).</summary>
/// <param name="Id">Id of the error.</param>
/// <param name="Category">Category of the error.</param>
/// <param name="Severity">Severity of the error.</param>
/// <param name="CreateTimeWindow">Time at which the error was raised.</param>
/// <param name="IncludeResolved">Whether to include cleared errors.</param>
/// <param name="MaxResults">Maximum number of results.</param>
public sealed record ErrorSearchRequest(
    long? Id = null,
    ErrorCategory? Category = null,
    ErrorSeverity? Severity = null,
    TimeWindow? CreateTimeWindow = null,
    bool IncludeResolved = false,
    long MaxResults = 64
);

/// <summary>An entry of the error log.</summary>
/// <param name="Id">Id of the error.</param>
/// <param name="Severity">Severity of the error.</param>
/// <param name="Category">Category of the error.</param>
/// <param name="Message">What happened.</param>
/// <param name="RaisedTime">Time at which the error was raised, UTC.</param>
/// <param name="ClearedTime">Time at which the error was cleared, UTC, or null.</param>
/// <param name="Cleared">Whether the error is cleared.</param>
/// <param name="Caller">Part of the program that raised the error; with the category it is the error key.</param>
public sealed record ErrorSearchHit(
    long Id,
    ErrorSeverity Severity,
    ErrorCategory Category,
    string Message,
    DateTime RaisedTime,
    DateTime? ClearedTime = null,
    bool Cleared = false,
    string? Caller = null
);

/// <summary>Request to error/clear (docs/spec/wire.md#error-clear).</summary>
/// <param name="Id">Id of the error to clear.</param>
public sealed record ErrorClearRequest(long Id);

/// <summary>Response 200 of error/clear.</summary>
/// <param name="Id">As in the request.</param>
/// <param name="ClearedTime">Time at which the error was cleared, UTC.</param>
/// <param name="Cleared">Always true.</param>
public sealed record ErrorClearResponse(long Id, DateTime ClearedTime, bool Cleared);
