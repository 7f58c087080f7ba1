using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Request to admin/add_file: catalogs data that already lie on a store (docs/spec/wire.md#add-file).</summary>
/// <param name="Name">Name in the catalog.</param>
/// <param name="CreateTime">The file's creation time in the catalog, UTC. Upstream ignores it and uses the current time.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="Checksum">Checksum string.</param>
/// <param name="Uploader">Who uploaded the file.</param>
/// <param name="Source">Where the file came from.</param>
/// <param name="Path">Absolute path of the data, verbatim.</param>
/// <param name="StoreName">Store that holds the data.</param>
public sealed record AddFileRequest(
    string Name,
    DateTime CreateTime,
    long Size,
    string Checksum,
    string Uploader,
    string Source,
    string Path,
    string StoreName
);

/// <summary>Response 200 of admin/add_file.</summary>
/// <param name="AlreadyExists">Whether the catalog already had the name.</param>
/// <param name="FileExists">Whether the path exists; false if not checked.</param>
/// <param name="Success">Whether the file is catalogued now.</param>
public sealed record AddFileResponse(bool AlreadyExists, bool FileExists, bool Success);

/// <summary>One entry of admin/stores/list (docs/spec/wire.md#stores-list).</summary>
/// <param name="Name">Store name.</param>
/// <param name="StoreType">Always <c>local</c> upstream.</param>
/// <param name="FreeSpace">Bytes, or -1 when unavailable.</param>
/// <param name="Ingestable">Whether the store accepts new files.</param>
/// <param name="Available">Whether the store can be reached.</param>
/// <param name="Enabled">Whether an operator has enabled the store.</param>
public sealed record StoreEntry(string Name, string StoreType, long FreeSpace, bool Ingestable, bool Available, bool Enabled);

/// <summary>Request to admin/stores/state_change.</summary>
/// <param name="StoreName">Store.</param>
/// <param name="Enabled">Requested state.</param>
public sealed record StoreStateChangeRequest(string StoreName, bool Enabled);

/// <summary>Response 200 of admin/stores/state_change.</summary>
/// <param name="StoreName">As in the request.</param>
/// <param name="Enabled">Current state.</param>
/// <param name="Success">Always true.</param>
public sealed record StoreStateChangeResponse(string StoreName, bool Enabled, bool Success);

/// <summary>
/// Request to admin/stores/manifest: lists the files on a store and, on request, prepares the store for transport
/// (docs/spec/wire.md#store-manifest).
/// </summary>
/// <param name="StoreName">Store.</param>
/// <param name="CreateOutgoingTransfers">Whether to open a transfer to the destination for each file.</param>
/// <param name="DestinationLibrarian">Site that the store will travel to, or empty.</param>
/// <param name="DisableStore">Whether to disable the store first.</param>
/// <param name="MarkLocalInstancesAsUnavailable">Whether to mark the copies on the store as unavailable.</param>
public sealed record ManifestRequest(
    string StoreName,
    bool CreateOutgoingTransfers = false,
    string DestinationLibrarian = "",
    bool DisableStore = false,
    bool MarkLocalInstancesAsUnavailable = false
);

/// <summary>One file of a manifest.</summary>
/// <param name="Name">Name in the catalog.</param>
/// <param name="CreateTime">Creation time of the file, UTC.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="Checksum">Checksum string.</param>
/// <param name="Uploader">Who uploaded the file.</param>
/// <param name="Source">
/// Where the file came from. If a transfer was opened for the file, the site that wrote the manifest, because the Python command makes the
/// destination call the source back (docs/spec/wire.md#ingest-manifest).
/// </param>
/// <param name="InstancePath">Absolute path of the copy when the manifest was written, verbatim.</param>
/// <param name="DeletionPolicy">Whether the copy may be deleted.</param>
/// <param name="InstanceCreateTime">Creation time of the copy, UTC.</param>
/// <param name="InstanceAvailable">Always true.</param>
/// <param name="OutgoingTransferId">Transfer that was opened for the file, or -1.</param>
public sealed record ManifestEntry(
    string Name,
    DateTime CreateTime,
    long Size,
    string Checksum,
    string Uploader,
    string Source,
    string InstancePath,
    DeletionPolicy DeletionPolicy,
    DateTime InstanceCreateTime,
    bool InstanceAvailable,
    long OutgoingTransferId
);

/// <summary>Response 200 of admin/stores/manifest.</summary>
/// <param name="LibrarianName">Site that wrote the manifest.</param>
/// <param name="StoreName">Store.</param>
/// <param name="StoreFiles">Files on the store.</param>
public sealed record Manifest(string LibrarianName, string StoreName, IReadOnlyList<ManifestEntry> StoreFiles);

/// <summary>Request to admin/librarians/list (docs/spec/wire.md#librarians).</summary>
/// <param name="Ping">Whether to ping each peer.</param>
/// <param name="Check">
/// Whether to check this site and each peer for problems that keep the two from working together. Not in upstream's protocol.
/// </param>
public sealed record LibrarianListRequest(bool Ping = true, bool? Check = null);

/// <summary>A peer of this site.</summary>
/// <param name="Name">Name of the peer.</param>
/// <param name="Url">URL with scheme, without port.</param>
/// <param name="Port">TCP port.</param>
/// <param name="Available">Whether the peer answered; null if it was not pinged.</param>
/// <param name="Enabled">Whether transfers to the peer are enabled.</param>
/// <param name="Problems">
/// Problems that keep the two sites from working together, each with its remedy; absent if not checked. Not in upstream's protocol.
/// </param>
public sealed record LibrarianEntry(
    string Name,
    string Url,
    long Port,
    bool? Available,
    bool Enabled,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<string>? Problems = null
);

/// <summary>Response 200 of admin/librarians/list.</summary>
/// <param name="Librarians">The peers.</param>
public sealed record LibrarianListResponse(IReadOnlyList<LibrarianEntry> Librarians);

/// <summary>Request to admin/librarians/add.</summary>
/// <param name="LibrarianName">Name of the peer.</param>
/// <param name="Url">URL with scheme, without port.</param>
/// <param name="Port">TCP port.</param>
/// <param name="Authenticator">This site's account at the peer, as <c>user:password</c>.</param>
/// <param name="CheckConnection">Whether to check first which site answers at the address and whether the account may log in.</param>
/// <param name="Offline">
/// True: the peer is offline, so nothing is checked. With true or false, the response contains reasons and warnings; upstream's callers do
/// not send this field and get the response of upstream's contract.
/// </param>
public sealed record LibrarianAddRequest(
    string LibrarianName,
    string Url,
    long Port,
    string Authenticator,
    bool CheckConnection = true,
    bool? Offline = null
);

/// <summary>Response 200 of admin/librarians/add.</summary>
/// <param name="Success">Whether the peer is registered now.</param>
/// <param name="AlreadyExists">Whether the peer was registered before.</param>
/// <param name="PingSuccess">Whether the peer answered; null if it was not pinged.</param>
/// <param name="Changed">
/// Fields that the request changed: <c>url</c>, <c>port</c>, <c>user</c>, <c>password</c>. Not in upstream's protocol.
/// </param>
/// <param name="Warnings">Problems that remain although the peer is registered, each with its remedy. Not in upstream's protocol.</param>
public sealed record LibrarianAddResponse(
    bool Success,
    bool AlreadyExists,
    bool? PingSuccess = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<string>? Changed = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<string>? Warnings = null
);

/// <summary>Request to admin/librarians/remove.</summary>
/// <param name="LibrarianName">Name of the peer.</param>
/// <param name="RemoveOutgoingTransfers">Whether to fail unfinished transfers to the peer.</param>
public sealed record LibrarianRemoveRequest(string LibrarianName, bool RemoveOutgoingTransfers = false);

/// <summary>Response 200 of admin/librarians/remove.</summary>
/// <param name="Success">Always true.</param>
/// <param name="NumberOfTransfersRemoved">Number of transfers that were failed.</param>
public sealed record LibrarianRemoveResponse(bool Success, long NumberOfTransfersRemoved);

/// <summary>Request to admin/librarians/transfer_status/change, and its response 200.</summary>
/// <param name="LibrarianName">Name of the peer.</param>
/// <param name="TransfersEnabled">Whether files may be sent to the peer.</param>
public sealed record TransferStatusChange(string LibrarianName, bool TransfersEnabled);

/// <summary>Request to admin/instance/delete_local and delete_remote (docs/spec/wire.md#delete-instance).</summary>
/// <param name="InstanceId">Id of the copy.</param>
/// <param name="DeleteFile">Whether to delete the data too; only for local copies.</param>
public sealed record InstanceDeleteRequest(long InstanceId, bool? DeleteFile = false);

/// <summary>Response to a deletion. For an unknown copy it is a 400 with success false.</summary>
/// <param name="Success">Whether the copy was removed.</param>
/// <param name="InstanceId">As in the request.</param>
public sealed record InstanceDeleteResponse(bool Success, long InstanceId);
