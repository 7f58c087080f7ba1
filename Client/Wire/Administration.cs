namespace Librarian.Client.Wire;

/// <summary>Request of admin/add_file: catalogs data that already lies on a store (wire.md §6.10.1).</summary>
/// <param name="Name">Catalog name.</param>
/// <param name="CreateTime">UTC time to catalogue the file under (upstream ignores it and takes its own).</param>
/// <param name="Size">Bytes.</param>
/// <param name="Checksum">Checksum string.</param>
/// <param name="Uploader">Who made it.</param>
/// <param name="Source">Where it came from.</param>
/// <param name="Path">Absolute path, verbatim.</param>
/// <param name="StoreName">Store it lies on.</param>
public sealed record AddFileRequest(
    string Name, DateTime CreateTime, long Size, string Checksum, string Uploader, string Source, string Path, string StoreName);

/// <summary>200 of admin/add_file.</summary>
/// <param name="AlreadyExists">The catalog had the name already.</param>
/// <param name="FileExists">The path exists; false when not looked at.</param>
/// <param name="Success">Whether it is cataloged now.</param>
public sealed record AddFileResponse(bool AlreadyExists, bool FileExists, bool Success);

/// <summary>One entry of admin/stores/list (wire.md §6.10.2).</summary>
/// <param name="Name">Store name.</param>
/// <param name="StoreType">Always <c>local</c> upstream.</param>
/// <param name="FreeSpace">Bytes, or -1 when unavailable.</param>
/// <param name="Ingestable">Whether it takes new files.</param>
/// <param name="Available">Whether it can be reached.</param>
/// <param name="Enabled">Whether an operator lets it be used.</param>
public sealed record StoreEntry(string Name, string StoreType, long FreeSpace, bool Ingestable, bool Available, bool Enabled);

/// <summary>Request of admin/stores/state_change.</summary>
/// <param name="StoreName">Store.</param>
/// <param name="Enabled">State wanted.</param>
public sealed record StoreStateChangeRequest(string StoreName, bool Enabled);

/// <summary>200 of admin/stores/state_change.</summary>
/// <param name="StoreName">Echo.</param>
/// <param name="Enabled">State now.</param>
/// <param name="Success">True.</param>
public sealed record StoreStateChangeResponse(string StoreName, bool Enabled, bool Success);

/// <summary>Request of admin/stores/manifest: what is on a store, optionally making it ready to travel (wire.md §6.10.4).</summary>
/// <param name="StoreName">Store.</param>
/// <param name="CreateOutgoingTransfers">Open a transfer per file to the destination.</param>
/// <param name="DestinationLibrarian">Site it will travel to, or empty.</param>
/// <param name="DisableStore">Take the store out of use first.</param>
/// <param name="MarkLocalInstancesAsUnavailable">Say that the copies are gone from here.</param>
public sealed record ManifestRequest(
    string StoreName,
    bool CreateOutgoingTransfers = false,
    string DestinationLibrarian = "",
    bool DisableStore = false,
    bool MarkLocalInstancesAsUnavailable = false);

/// <summary>One file of a manifest.</summary>
/// <param name="Name">Catalog name.</param>
/// <param name="CreateTime">UTC.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Checksum">Checksum string.</param>
/// <param name="Uploader">Who made it.</param>
/// <param name="Source">Where it came from.</param>
/// <param name="InstancePath">Absolute path at the time of writing, verbatim.</param>
/// <param name="DeletionPolicy">Whether it may be deleted.</param>
/// <param name="InstanceCreateTime">UTC.</param>
/// <param name="InstanceAvailable">True.</param>
/// <param name="OutgoingTransferId">Transfer opened for it, or -1.</param>
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
    long OutgoingTransferId);

/// <summary>200 of admin/stores/manifest.</summary>
/// <param name="LibrarianName">The site that wrote it.</param>
/// <param name="StoreName">Store.</param>
/// <param name="StoreFiles">Its files.</param>
public sealed record Manifest(string LibrarianName, string StoreName, IReadOnlyList<ManifestEntry> StoreFiles);

/// <summary>Request of admin/librarians/list (wire.md §6.10.5).</summary>
/// <param name="Ping">Whether to try each site.</param>
public sealed record LibrarianListRequest(bool Ping = true);

/// <summary>A site this one knows.</summary>
/// <param name="Name">Its identity.</param>
/// <param name="Url">With scheme, without port.</param>
/// <param name="Port">TCP port.</param>
/// <param name="Available">Whether it answered, or null when not tried.</param>
/// <param name="Enabled">Whether transfers to it are enabled.</param>
public sealed record LibrarianEntry(string Name, string Url, long Port, bool? Available, bool Enabled);

/// <summary>200 of admin/librarians/list.</summary>
/// <param name="Librarians">The sites.</param>
public sealed record LibrarianListResponse(IReadOnlyList<LibrarianEntry> Librarians);

/// <summary>Request of admin/librarians/add.</summary>
/// <param name="LibrarianName">Identity of the other site.</param>
/// <param name="Url">With scheme, without port.</param>
/// <param name="Port">TCP port.</param>
/// <param name="Authenticator"><c>user:password</c> of this site's account over there.</param>
/// <param name="CheckConnection">Whether to ping it first.</param>
public sealed record LibrarianAddRequest(string LibrarianName, string Url, long Port, string Authenticator, bool CheckConnection = true);

/// <summary>200 of admin/librarians/add.</summary>
/// <param name="Success">Whether it is known now.</param>
/// <param name="AlreadyExists">It was known before; nothing changed.</param>
/// <param name="PingSuccess">Whether it answered, or null when not tried.</param>
public sealed record LibrarianAddResponse(bool Success, bool AlreadyExists, bool? PingSuccess = null);

/// <summary>Request of admin/librarians/remove.</summary>
/// <param name="LibrarianName">Identity of the other site.</param>
/// <param name="RemoveOutgoingTransfers">Whether to fail what is on its way there.</param>
public sealed record LibrarianRemoveRequest(string LibrarianName, bool RemoveOutgoingTransfers = false);

/// <summary>200 of admin/librarians/remove.</summary>
/// <param name="Success">True.</param>
/// <param name="NumberOfTransfersRemoved">How many transfers were failed.</param>
public sealed record LibrarianRemoveResponse(bool Success, long NumberOfTransfersRemoved);

/// <summary>Request and 200 of admin/librarians/transfer_status/change.</summary>
/// <param name="LibrarianName">Identity of the other site.</param>
/// <param name="TransfersEnabled">Whether files may be sent there.</param>
public sealed record TransferStatusChange(string LibrarianName, bool TransfersEnabled);

/// <summary>Request of admin/instance/delete_local and delete_remote (wire.md §6.10.6).</summary>
/// <param name="InstanceId">Instance.</param>
/// <param name="DeleteFile">Whether to delete the data too; only for local ones.</param>
public sealed record InstanceDeleteRequest(long InstanceId, bool? DeleteFile = false);

/// <summary>Answer to a deletion; an unknown instance is a 400 with success false.</summary>
/// <param name="Success">Whether it is gone.</param>
/// <param name="InstanceId">Echo.</param>
public sealed record InstanceDeleteResponse(bool Success, long InstanceId);
