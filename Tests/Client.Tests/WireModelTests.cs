using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Librarian.Client.Wire;

namespace Librarian.Tests.Client;

/// <summary>
/// Tests captured exchanges (docs/spec/wire.md#captured-exchanges) and the rules of docs/spec/wire.md#json, model by model.
/// </summary>
public class WireModelTests
{
    public static TheoryData<string, string> Captured =>
        new()
        {
            {
                nameof(UploadStageRequest),
                """
                    {"upload_size":11,"upload_checksum":"xxh3:::df8d09e93f874900a99b8775cc15b6c7",
                    "upload_name":"one.bin","destination_location":"obs/one.bin","uploader":"admin"}
                    """.ReplaceLineEndings("")
            },
            {
                nameof(UploadStageResponse),
                """
                    {"available_bytes_on_store":80767885312,"store_name":"store_aaa","staging_name":"4c3e7bf9-9443-423b-8955-72d9f3a43d8c",
                    "staging_location":"/s/staging/4c3e7bf9-9443-423b-8955-72d9f3a43d8c/one.bin","upload_name":"one.bin",
                    "destination_location":"obs/one.bin",
                    "transfer_providers":{"local":{"hostnames":["vm","extra.example"]}},"transfer_id":1}
                    """.ReplaceLineEndings("")
            },
            {
                nameof(UploadCommitRequest),
                """
                    {"store_name":"store_aaa","staging_name":"4c3e7bf9","staging_location":"/s/one.bin",
                    "upload_name":"one.bin","destination_location":"obs/one.bin","transfer_provider_name":"local",
                    "transfer_provider":{"hostnames":["vm","extra.example"]},"meta_mode":"infer",
                    "deletion_policy":"1","uploader":"admin","null_obsid":true,"transfer_id":1}
                    """.ReplaceLineEndings("")
            },
            {
                nameof(FileSearchRequest),
                """{"name":"obs/one.bin","create_time_window":null,"uploader":null,"source":null,"max_results":64}"""
            },
            {
                "FileSearchHitList",
                """
                    [{"name":"obs/one.bin","create_time":"2026-11-22T13:06:49.265698","size":11,
                    "checksum":"xxh3:::df8d09e93f874900a99b8775cc15b6c7","uploader":"admin","source":"admin",
                    "instances":[{"path":"/s/store/obs/one.bin","deletion_policy":0,"created_time":"2026-11-22T13:06:49.265747",
                    "available":true,"id":null,"file_name":null,"store_id":1}],
                    "remote_instances":[{"librarian_name":"bbb","copy_time":"2026-11-22T13:10:10.021909",
                    "id":null,"file_name":null,"store_id":null,"sender":null}]}]
                    """.ReplaceLineEndings("")
            },
            {
                nameof(CloneBatchStageRequest),
                """
                    {"uploads":[{"upload_size":11,"upload_checksum":"xxh3:::df8d","upload_name":"obs/one.bin",
                    "destination_location":"obs/one.bin","uploader":"admin","source_transfer_id":1}],"source":"aaa","total_size":11}
                    """.ReplaceLineEndings("")
            },
            {
                nameof(CloneBatchStageResponse),
                """
                    {"available_bytes_on_store":78508879872,"store_name":"store_bbb",
                    "uploads":[{"staging_name":"ed91d6af","staging_location":"/s/staging/ed91d6af/obs/one.bin",
                    "upload_name":"obs/one.bin","destination_location":"obs/one.bin","source_transfer_id":1,"destination_transfer_id":1}],
                    "async_transfer_providers":{"globus":{"destination_endpoint":"dead-beef",
                    "native_app":false,"transfer_attempted":false,"transfer_complete":false,"task_id":""},
                    "rsync":{"hostname":"vm","transfer_attempted":false,"transfer_complete":false},
                    "local":{"hostnames":["vm"],"transfer_attempted":false,"transfer_complete":false,
                    "start_time_transfer":null,"bytes_transfer":null}}}
                    """.ReplaceLineEndings("")
            },
            {
                nameof(BatchFailure),
                """
                    {"reason":"File already exists on librarian.","suggested_remedy":"r",
                    "source_transfer_ids":[102,103],"destination_transfer_ids":[-1,-1]}
                    """.ReplaceLineEndings("")
            },
            {
                nameof(WrappedFailure),
                """{"detail":"{\"reason\":\"Transfer was already initiated or staged.\","""
                    + """\"suggested_remedy\":\"r\",\"source_transfer_id\":77,\"destination_transfer_id\":5}"}"""
            },
            { nameof(CheckinUpdateRequest), """{"source_transfer_ids":[],"destination_transfer_ids":[1,2],"new_status":1}""" },
            {
                nameof(CheckinUpdateResponse),
                """
                    {"modified_source_transfer_ids":[],"modified_destination_transfer_ids":[1,2],
                    "unmodified_source_transfer_ids":[],"unmodified_destination_transfer_ids":[],"reasons":[]}
                    """.ReplaceLineEndings("")
            },
            { nameof(CheckinStatusRequest), """{"source_transfer_ids":[1,999],"destination_transfer_ids":[14,-1]}""" },
            {
                nameof(CheckinStatusResponse),
                """{"source_transfer_status":{"1":null,"999":null},"destination_transfer_status":{"14":0,"-1":null}}"""
            },
            { nameof(CloneCompleteRequest), """{"source_transfer_id":3,"destination_transfer_id":3,"store_id":1}""" },
            { nameof(TransferPair), """{"source_transfer_id":3,"destination_transfer_id":3}""" },
            {
                nameof(CloneFailRequest),
                """{"source_transfer_id":1,"destination_transfer_id":1,"reason":"Transfer failed on source librarian."}"""
            },
            { nameof(TransferPairResponse), """{"source_transfer_id":1,"destination_transfer_id":1,"success":true}""" },
            { nameof(ValidateFileRequest), """{"file_name":"al.bin"}""" },
            {
                "FileValidationList",
                """
                    [{"librarian":"aaa","store":1,"instance_id":4,"original_checksum":"900150983cd24fb0d6963f7d28e17f72","original_size":3,
                    "current_checksum":"md5:::900150983cd24fb0d6963f7d28e17f72","current_size":3,"computed_same_checksum":true}]
                    """.ReplaceLineEndings("")
            },
            { nameof(CorruptPrepareRequest), """{"file_name":"pf.bin","librarian_name":"bbb"}""" },
            { nameof(CorruptPrepareResponse), """{"ready":true}""" },
            { nameof(CorruptResendRequest), """{"librarian_name":"bbb","file_name":"pf.bin"}""" },
            { nameof(CorruptResendResponse), """{"success":true,"destination_transfer_id":17}""" },
            {
                nameof(ErrorSearchRequest),
                """
                    {"id":null,"category":"transfer","severity":"critical",
                    "create_time_window":null,"include_resolved":false,"max_results":64}
                    """.ReplaceLineEndings("")
            },
            { nameof(PingRequest), "{}" },
            { nameof(UserUpdateRequest), """{"username":"u","password":null,"permission":100}""" },
            { nameof(LibrarianAddResponse), """{"success":true,"already_exists":false,"ping_success":null}""" },
        };

    [Theory]
    [MemberData(nameof(Captured))]
    public void Model_CapturedExchange_RoundTripsByteForByte(string model, string json)
    {
        var info = Info(model);
        var value = JsonSerializer.Deserialize(json, info);
        var written = JsonSerializer.Serialize(value, info);
        // The captured detail escapes quotes as \", the encoder as \u0022. Both read the same (docs/spec/wire.md#escaping).
        Assert.Equal(json, model == nameof(WrappedFailure) ? written.Replace("\\u0022", "\\\"", StringComparison.Ordinal) : written);
    }

    [Theory]
    [MemberData(nameof(Captured))]
    public void Model_UnknownField_IsIgnored(string model, string json)
    {
        if (json[0] == '[')
            return;
        var extended = json == "{}" ? """{"zzz":[1]}""" : "{\"zzz\":{\"a\":[null]}," + json[1..];
        Assert.Equal(
            json,
            JsonSerializer
                .Serialize(JsonSerializer.Deserialize(extended, Info(model)), Info(model))
                .Replace("\\u0022", "\\\"", StringComparison.Ordinal)
        );
    }

    private static JsonTypeInfo Info(string model) => (JsonTypeInfo)typeof(WireJson).GetProperty(model)!.GetValue(WireJson.Wire)!;
}
