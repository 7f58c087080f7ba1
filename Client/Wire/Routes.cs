namespace Librarian.Client.Wire;

/// <summary>Paths of the 36 endpoints and one alias, below <see cref="Prefix"/>; all are POST (docs/spec/wire.md#endpoints).</summary>
public static class Routes
{
    /// <summary>Prefix of every path, without a leading slash.</summary>
    public const string Prefix = "api/v2/";

    /// <summary>ping/, the only canonical path that ends in a slash.</summary>
    public const string Ping = "ping/";

    /// <summary>ping/logged.</summary>
    public const string PingLogged = "ping/logged";

    /// <summary>ping/admin.</summary>
    public const string PingAdmin = "ping/admin";

    /// <summary>users/create.</summary>
    public const string UsersCreate = "users/create";

    /// <summary>users/update.</summary>
    public const string UsersUpdate = "users/update";

    /// <summary>users/delete.</summary>
    public const string UsersDelete = "users/delete";

    /// <summary>users/get.</summary>
    public const string UsersGet = "users/get";

    /// <summary>users/password_update.</summary>
    public const string UsersPasswordUpdate = "users/password_update";

    /// <summary>upload/stage.</summary>
    public const string UploadStage = "upload/stage";

    /// <summary>upload/commit.</summary>
    public const string UploadCommit = "upload/commit";

    /// <summary>search/file.</summary>
    public const string SearchFile = "search/file";

    /// <summary>search/error.</summary>
    public const string SearchError = "search/error";

    /// <summary>search/instance_local.</summary>
    public const string SearchInstanceLocal = "search/instance_local";

    /// <summary>search/instance_remote.</summary>
    public const string SearchInstanceRemote = "search/instance_remote";

    /// <summary>error/clear.</summary>
    public const string ErrorClear = "error/clear";

    /// <summary>clone/stage.</summary>
    public const string CloneStage = "clone/stage";

    /// <summary>clone/batch_stage.</summary>
    public const string CloneBatchStage = "clone/batch_stage";

    /// <summary>clone/ongoing.</summary>
    public const string CloneOngoing = "clone/ongoing";

    /// <summary>clone/staged.</summary>
    public const string CloneStaged = "clone/staged";

    /// <summary>clone/complete.</summary>
    public const string CloneComplete = "clone/complete";

    /// <summary>clone/fail.</summary>
    public const string CloneFail = "clone/fail";

    /// <summary>checkin/update.</summary>
    public const string CheckinUpdate = "checkin/update";

    /// <summary>checkin/status.</summary>
    public const string CheckinStatus = "checkin/status";

    /// <summary>validate/file.</summary>
    public const string ValidateFile = "validate/file";

    /// <summary>corrupt/prepare.</summary>
    public const string CorruptPrepare = "corrupt/prepare";

    /// <summary>corrupt/resend.</summary>
    public const string CorruptResend = "corrupt/resend";

    /// <summary>admin/add_file.</summary>
    public const string AdminAddFile = "admin/add_file";

    /// <summary>admin/stores/list; called without a body.</summary>
    public const string AdminStoresList = "admin/stores/list";

    /// <summary>admin/stores/state_change.</summary>
    public const string AdminStoresStateChange = "admin/stores/state_change";

    /// <summary>admin/stores/manifest.</summary>
    public const string AdminStoresManifest = "admin/stores/manifest";

    /// <summary>admin/librarians/list.</summary>
    public const string AdminLibrariansList = "admin/librarians/list";

    /// <summary>admin/librarians/add.</summary>
    public const string AdminLibrariansAdd = "admin/librarians/add";

    /// <summary>admin/librarians/remove.</summary>
    public const string AdminLibrariansRemove = "admin/librarians/remove";

    /// <summary>admin/librarians/transfer_status/change.</summary>
    public const string AdminLibrariansTransferStatusChange = "admin/librarians/transfer_status/change";

    /// <summary>
    /// The name that Python's client uses instead of "change"; sites serve it as an alias (docs/spec/wire.md#transfer-status-alias).
    /// </summary>
    public const string AdminLibrariansTransferStatusSet = "admin/librarians/transfer_status/set";

    /// <summary>admin/instance/delete_local.</summary>
    public const string AdminInstanceDeleteLocal = "admin/instance/delete_local";

    /// <summary>admin/instance/delete_remote.</summary>
    public const string AdminInstanceDeleteRemote = "admin/instance/delete_remote";
}
