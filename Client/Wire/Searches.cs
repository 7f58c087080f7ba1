using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Request of search/file (wire.md §6.4.1); criteria are ANDed, null is no constraint.</summary>
/// <param name="Name">Exact name.</param>
/// <param name="CreateTimeWindow">Ingest time on this site.</param>
/// <param name="Uploader">Exact uploader.</param>
/// <param name="Source">Exact source.</param>
/// <param name="MaxResults">At most this many, held below the server's own limit.</param>
public sealed record FileSearchRequest(
    string? Name = null, TimeWindow? CreateTimeWindow = null, string? Uploader = null, string? Source = null, long MaxResults = 64);

/// <summary>One file found.</summary>
/// <param name="Name">Catalog name.</param>
/// <param name="CreateTime">UTC; when this site ingested it.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Checksum">As declared by the uploader, byte for byte.</param>
/// <param name="Uploader">Who made it.</param>
/// <param name="Source">Where it came from.</param>
/// <param name="Instances">Copies here, at least one, unavailable ones too.</param>
/// <param name="RemoteInstances">Copies elsewhere.</param>
public sealed record FileSearchHit(
    string Name,
    DateTime CreateTime,
    long Size,
    string Checksum,
    string Uploader,
    string Source,
    IReadOnlyList<LocalInstance> Instances,
    IReadOnlyList<RemoteInstance> RemoteInstances);

/// <summary>A copy on a store of this site.</summary>
/// <param name="Path">Absolute path.</param>
/// <param name="DeletionPolicy">Whether it may be deleted.</param>
/// <param name="CreatedTime">UTC.</param>
/// <param name="Available">Whether it can be read now.</param>
/// <param name="Id">Set in instance searches, null in file searches.</param>
/// <param name="FileName">Set in instance searches, null in file searches.</param>
/// <param name="StoreId">Must be set in file searches: peers' recovery reads it (wire.md §0.12).</param>
public sealed record LocalInstance(
    [property: JsonConverter(typeof(WirePathConverter))] string Path,
    DeletionPolicy DeletionPolicy,
    DateTime CreatedTime,
    bool Available,
    long? Id = null,
    string? FileName = null,
    long? StoreId = null);

/// <summary>A copy on another site.</summary>
/// <param name="LibrarianName">That site.</param>
/// <param name="CopyTime">UTC; when this site learnt of it.</param>
/// <param name="Id">Set in instance searches, null in file searches.</param>
/// <param name="FileName">Set in instance searches, null in file searches.</param>
/// <param name="StoreId">Store on that site; set in instance searches.</param>
/// <param name="Sender">Site that sent it; set in instance searches.</param>
public sealed record RemoteInstance(
    string LibrarianName, DateTime CopyTime, long? Id = null, string? FileName = null, long? StoreId = null, string? Sender = null);

/// <summary>Request of search/instance_local (wire.md §6.4.3).</summary>
/// <param name="Id">Instance.</param>
/// <param name="Path">Exact path, verbatim.</param>
/// <param name="DeletionPolicy">The words <c>ALLOWED</c> or <c>DISALLOWED</c>.</param>
/// <param name="CreatedTime">Exact instant.</param>
/// <param name="FileName">Exact name.</param>
/// <param name="StoreId">Store.</param>
/// <param name="Available">Whether it can be read.</param>
/// <param name="MaxResults">At most this many.</param>
public sealed record LocalInstanceSearchRequest(
    long? Id = null,
    string? Path = null,
    string? DeletionPolicy = null,
    DateTime? CreatedTime = null,
    string? FileName = null,
    long? StoreId = null,
    bool? Available = null,
    long MaxResults = 64);

/// <summary>Request of search/instance_remote (wire.md §6.4.4).</summary>
/// <param name="Id">Instance.</param>
/// <param name="FileName">Exact name.</param>
/// <param name="StoreId">Store on the other site.</param>
/// <param name="LibrarianId">Other site.</param>
/// <param name="CopyTime">Exact instant.</param>
/// <param name="Sender">Site that sent it.</param>
/// <param name="MaxResults">At most this many.</param>
public sealed record RemoteInstanceSearchRequest(
    long? Id = null,
    string? FileName = null,
    long? StoreId = null,
    long? LibrarianId = null,
    DateTime? CopyTime = null,
    string? Sender = null,
    long MaxResults = 64);

/// <summary>Request of search/error (wire.md §6.4.2).</summary>
/// <param name="Id">Error.</param>
/// <param name="Category">What about.</param>
/// <param name="Severity">How grave.</param>
/// <param name="CreateTimeWindow">Applies to the time raised.</param>
/// <param name="IncludeResolved">False finds only what is not cleared.</param>
/// <param name="MaxResults">At most this many.</param>
public sealed record ErrorSearchRequest(
    long? Id = null,
    ErrorCategory? Category = null,
    ErrorSeverity? Severity = null,
    TimeWindow? CreateTimeWindow = null,
    bool IncludeResolved = false,
    long MaxResults = 64);

/// <summary>One recorded error.</summary>
/// <param name="Id">Identity.</param>
/// <param name="Severity">How grave.</param>
/// <param name="Category">What about.</param>
/// <param name="Message">What happened.</param>
/// <param name="RaisedTime">UTC.</param>
/// <param name="ClearedTime">UTC, or null.</param>
/// <param name="Cleared">Whether somebody dealt with it.</param>
/// <param name="Caller">Where in the program it arose.</param>
public sealed record ErrorSearchHit(
    long Id,
    ErrorSeverity Severity,
    ErrorCategory Category,
    string Message,
    DateTime RaisedTime,
    DateTime? ClearedTime = null,
    bool Cleared = false,
    string? Caller = null);

/// <summary>Request of error/clear (wire.md §6.5).</summary>
/// <param name="Id">Error to clear.</param>
public sealed record ErrorClearRequest(long Id);

/// <summary>200 of error/clear.</summary>
/// <param name="Id">Echo.</param>
/// <param name="ClearedTime">UTC.</param>
/// <param name="Cleared">True.</param>
public sealed record ErrorClearResponse(long Id, DateTime ClearedTime, bool Cleared);
