using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;
using Librarian.Client.Wire;

namespace Librarian.Tests.Functions.Contract;

/// <summary>One endpoint (docs/spec/wire.md#endpoints).</summary>
/// <param name="Path">Below <c>/api/v2/</c>.</param>
/// <param name="Level">Least level (docs/spec/wire.md#level-of-each-endpoint).</param>
/// <param name="Body">Type of its request; null when any body is ignored.</param>
/// <param name="Sample">A request that is valid and, on an empty site, changes nothing that matters.</param>
/// <param name="SampleStatus">What that request is answered on an empty site, asked by an administrator.</param>
public sealed record Endpoint(string Path, AuthLevel Level, Type? Body, string Sample, int SampleStatus)
{
    /// <summary>Fields of the request that must be present, as they are named on the wire.</summary>
    public IReadOnlyList<string> Required => [.. Fields.Where(f => f.Required).Select(f => f.Name)];

    /// <summary>All fields of the request.</summary>
    public IReadOnlyList<(string Name, Type Type, bool Required, bool Nullable)> Fields
    {
        get
        {
            if (Body is null)
                return [];
            var nullability = new NullabilityInfoContext();
            var parameters = Body.GetConstructors()[0]
                .GetParameters()
                .Select(p =>
                    (Wire(p.Name!), p.ParameterType, !p.HasDefaultValue, nullability.Create(p).WriteState == NullabilityState.Nullable)
                );
            var properties = Body.GetProperties()
                .Where(p =>
                    p.GetCustomAttribute<JsonIgnoreAttribute>() is null
                    && p.GetCustomAttribute<System.Runtime.CompilerServices.RequiredMemberAttribute>() is not null
                )
                .Select(p => (Wire(p.Name), p.PropertyType, true, nullability.Create(p).WriteState == NullabilityState.Nullable));
            return [.. parameters.Concat(properties)];
        }
    }

    /// <inheritdoc />
    public override string ToString() => Path;

    private static string Wire(string name) => JsonNamingPolicy.SnakeCaseLower.ConvertName(name);
}

/// <summary>The whole contract as data: the tests beside it are generated from these rows.</summary>
public static class ContractTable
{
    /// <summary>Every path of docs/spec/wire.md#endpoints, and the alias.</summary>
    public static readonly IReadOnlyList<Endpoint> Endpoints =
    [
        new("ping/", AuthLevel.None, typeof(PingRequest), "{}", 200),
        new("ping/logged", AuthLevel.ReadOnly, typeof(PingRequest), "{}", 200),
        new("ping/admin", AuthLevel.Admin, typeof(PingRequest), "{}", 200),
        new("users/create", AuthLevel.Admin, typeof(UserCreateRequest), """{"username":"reader","password":"p","permission":1}""", 400),
        new("users/update", AuthLevel.Admin, typeof(UserUpdateRequest), """{"username":"nobody","password":null,"permission":null}""", 200),
        new("users/delete", AuthLevel.Admin, typeof(UserRequest), """{"username":"nobody"}""", 400),
        new("users/get", AuthLevel.Admin, typeof(UserRequest), """{"username":"reader"}""", 200),
        new("users/password_update", AuthLevel.ReadOnly, typeof(PasswordUpdateRequest), """{"password":"wrong","new_password":"x"}""", 400),
        new(
            "upload/stage",
            AuthLevel.ReadAppend,
            typeof(UploadStageRequest),
            """{"upload_size":-1,"upload_checksum":"c","upload_name":"n","destination_location":"d","uploader":"u"}""",
            400
        ),
        new(
            "upload/commit",
            AuthLevel.ReadAppend,
            typeof(UploadCommitRequest),
            """
            {"store_name":"main","staging_name":"x","staging_location":"/x","upload_name":"x",
            "destination_location":"d","transfer_provider_name":"local","transfer_provider":{"hostnames":["h"]},
            "meta_mode":"infer","deletion_policy":"0","uploader":"u","null_obsid":false,"transfer_id":999}
            """.ReplaceLineEndings(""),
            404
        ),
        new(
            "search/file",
            AuthLevel.ReadOnly,
            typeof(FileSearchRequest),
            """
            {"name":"none","create_time_window":["0001-01-01T00:00:00","9999-12-31T23:59:59.999999"],
            "uploader":null,"source":null,"max_results":64}
            """.ReplaceLineEndings(""),
            404
        ),
        new(
            "search/error",
            AuthLevel.Admin,
            typeof(ErrorSearchRequest),
            """
            {"id":999,"category":"transfer","severity":"info",
            "create_time_window":["0001-01-01T00:00:00","9999-12-31T23:59:59.999999"],"include_resolved":true,"max_results":64}
            """.ReplaceLineEndings(""),
            404
        ),
        new(
            "search/instance_local",
            AuthLevel.Admin,
            typeof(LocalInstanceSearchRequest),
            """
            {"id":999,"path":"/p","deletion_policy":"ALLOWED","created_time":"2026-01-01T00:00:00",
            "file_name":"n","store_id":1,"available":true,"max_results":64}
            """.ReplaceLineEndings(""),
            404
        ),
        new(
            "search/instance_remote",
            AuthLevel.Admin,
            typeof(RemoteInstanceSearchRequest),
            """{"id":999,"file_name":"n","store_id":1,"librarian_id":1,"copy_time":"2026-01-01T00:00:00","sender":"s","max_results":64}""",
            404
        ),
        new("error/clear", AuthLevel.Admin, typeof(ErrorClearRequest), """{"id":999}""", 404),
        new(
            "clone/stage",
            AuthLevel.ReadAppend,
            typeof(CloneStageRequest),
            """
            {"upload_size":-1,"upload_checksum":"c","upload_name":"n",
            "destination_location":"d","uploader":"u","source":"s","source_transfer_id":1}
            """.ReplaceLineEndings(""),
            400
        ),
        new(
            "clone/batch_stage",
            AuthLevel.ReadAppend,
            typeof(CloneBatchStageRequest),
            """
            {"uploads":[{"upload_size":-1,"upload_checksum":"c","upload_name":"n",
            "destination_location":"d","uploader":"u","source_transfer_id":1}],"source":"s","total_size":1}
            """.ReplaceLineEndings(""),
            400
        ),
        new("clone/ongoing", AuthLevel.ReadAppend, typeof(TransferPair), """{"source_transfer_id":1,"destination_transfer_id":999}""", 404),
        new("clone/staged", AuthLevel.Callback, typeof(TransferPair), """{"source_transfer_id":1,"destination_transfer_id":999}""", 404),
        new(
            "clone/complete",
            AuthLevel.Callback,
            typeof(CloneCompleteRequest),
            """{"source_transfer_id":999,"destination_transfer_id":1,"store_id":1}""",
            400
        ),
        new(
            "clone/fail",
            AuthLevel.ReadAppend,
            typeof(CloneFailRequest),
            """{"source_transfer_id":1,"destination_transfer_id":999,"reason":"r"}""",
            404
        ),
        new(
            "checkin/update",
            AuthLevel.Callback,
            typeof(CheckinUpdateRequest),
            """{"source_transfer_ids":[999],"destination_transfer_ids":[999],"new_status":4}""",
            200
        ),
        new(
            "checkin/status",
            AuthLevel.Callback,
            typeof(CheckinStatusRequest),
            """{"source_transfer_ids":[999],"destination_transfer_ids":[999]}""",
            200
        ),
        new("validate/file", AuthLevel.ReadOnly, typeof(ValidateFileRequest), """{"file_name":"none"}""", 400),
        new(
            "corrupt/prepare",
            AuthLevel.Callback,
            typeof(CorruptPrepareRequest),
            """{"file_name":"none","librarian_name":"nobody"}""",
            401
        ),
        new("corrupt/resend", AuthLevel.Callback, typeof(CorruptResendRequest), """{"file_name":"none","librarian_name":"nobody"}""", 401),
        new(
            "admin/add_file",
            AuthLevel.Admin,
            typeof(AddFileRequest),
            """
            {"name":"n","create_time":"2026-01-01T00:00:00","size":1,"checksum":"c",
            "uploader":"u","source":"s","path":"/none","store_name":"main"}
            """.ReplaceLineEndings(""),
            400
        ),
        new("admin/stores/list", AuthLevel.Admin, null, "{}", 200),
        new("admin/stores/state_change", AuthLevel.Admin, typeof(StoreStateChangeRequest), """{"store_name":"none","enabled":true}""", 400),
        new(
            "admin/stores/manifest",
            AuthLevel.Admin,
            typeof(ManifestRequest),
            """
            {"store_name":"none","create_outgoing_transfers":false,"destination_librarian":"",
            "disable_store":false,"mark_local_instances_as_unavailable":false}
            """.ReplaceLineEndings(""),
            400
        ),
        new("admin/librarians/list", AuthLevel.Admin, typeof(LibrarianListRequest), """{"ping":false}""", 200),
        new(
            "admin/librarians/add",
            AuthLevel.Admin,
            typeof(LibrarianAddRequest),
            """{"librarian_name":"l","url":"http://127.0.0.1:80","port":1,"authenticator":"a:b","check_connection":true}""",
            200
        ),
        new(
            "admin/librarians/remove",
            AuthLevel.Admin,
            typeof(LibrarianRemoveRequest),
            """{"librarian_name":"none","remove_outgoing_transfers":false}""",
            400
        ),
        new(
            "admin/librarians/transfer_status/change",
            AuthLevel.Admin,
            typeof(TransferStatusChange),
            """{"librarian_name":"none","transfers_enabled":true}""",
            400
        ),
        new(
            "admin/librarians/transfer_status/set",
            AuthLevel.Admin,
            typeof(TransferStatusChange),
            """{"librarian_name":"none","transfers_enabled":true}""",
            400
        ),
        new(
            "admin/instance/delete_local",
            AuthLevel.Admin,
            typeof(InstanceDeleteRequest),
            """{"instance_id":999,"delete_file":false}""",
            400
        ),
        new(
            "admin/instance/delete_remote",
            AuthLevel.Admin,
            typeof(InstanceDeleteRequest),
            """{"instance_id":999,"delete_file":false}""",
            400
        ),
    ];
}
