using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Librarian.Tests.TestKit.Upstream;

/// <summary>A transfer in upstream's catalog.</summary>
public sealed class UpstreamTransfer
{
    public required long Id { get; init; }

    public required string Name { get; init; }

    public required long Size { get; init; }

    public required string Checksum { get; init; }

    /// <summary>0 INITIATED, 1 ONGOING, 2 STAGED, 3 COMPLETED, 4 FAILED, 5 CANCELLED.</summary>
    public int Status { get; set; }

    /// <summary>Id of the transfer at the other site.</summary>
    public long? Theirs { get; set; }

    /// <summary>Path at which the data are staged.</summary>
    public string? Slot { get; set; }

    /// <summary>For an incoming transfer: the source that the stage call named.</summary>
    public string? Source { get; init; }
}

/// <summary>
/// An unmodified Python Librarian (5.0.1) as a peer sees it, as source and as destination. It speaks, checks and reacts as
/// docs/spec/wire.md#between-sites and docs/spec/wire.md#endpoints describe, quirks included, and its messages equal those of
/// docs/spec/wire.md#captured-exchanges byte for byte. Tests call its background tasks; nothing runs on its own. <see cref="Violations"/>
/// collects requests to which upstream would answer 422.
/// </summary>
public sealed partial class UpstreamLibrarian : IAsyncDisposable
{
    private static readonly JsonSerializerOptions s_raw = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly string[] s_statusNames = ["INITIATED", "ONGOING", "STAGED", "COMPLETED", "FAILED", "CANCELLED"];
    private readonly Lock _gate = new();
    private long _ids;

    /// <param name="name">The librarian's name, and that of its account at the peer.</param>
    /// <param name="peer">The peer's name, and that of its account here.</param>
    /// <param name="folder">Parent of the staging and store directories.</param>
    public UpstreamLibrarian(string name, string peer, string folder)
    {
        (Name, PeerName) = (name, peer);
        Staging = Directory.CreateDirectory(Path.Combine(folder, name, "staging")).FullName;
        Store = Directory.CreateDirectory(Path.Combine(folder, name, "store")).FullName;
        Server = new WireServer(AnswerAsync);
    }

    public string Name { get; }

    public string PeerName { get; }

    /// <summary>The peer's address; set it before the librarian calls the peer.</summary>
    public Uri? Peer { get; set; }

    /// <summary>Password of the account <see cref="Name"/> at the peer.</summary>
    public string PasswordThere => Name + "pw";

    /// <summary>Password of the peer's account here.</summary>
    public string PasswordHere { get; set; } = "open-sesame";

    /// <summary>Level of the peer's account here (docs/spec/wire.md#levels); READAPPEND by default.</summary>
    public int LevelHere { get; set; } = 3;

    public string Staging { get; }

    public string Store { get; }

    public WireServer Server { get; }

    /// <summary>Called first for each request; an answer other than null is sent instead of upstream's own.</summary>
    public Func<WireRequest, Task<WireAnswer?>>? Interfere { get; set; }

    /// <summary>Requests that upstream would not accept.</summary>
    public ConcurrentQueue<string> Violations { get; } = new();

    public ConcurrentDictionary<long, UpstreamTransfer> Outgoing { get; } = new();

    public ConcurrentDictionary<long, UpstreamTransfer> Incoming { get; } = new();

    /// <summary>Files with size and checksum.</summary>
    public ConcurrentDictionary<string, (long Size, string Checksum)> Files { get; } = new(StringComparer.Ordinal);

    /// <summary>Files of <see cref="Files"/> whose data are lost: the catalog does not know, and a validation leaves them out.</summary>
    public ConcurrentBag<string> Damaged { get; } = [];

    /// <summary>Copies at the peer: file, and store there. Upstream allows duplicates.</summary>
    public ConcurrentQueue<(string Name, long StoreId)> RemoteInstances { get; } = new();

    /// <summary>Transfer providers offered for clones; by default the captured ones, with the unusable ones first.</summary>
    public string Providers { get; set; } =
        """{"globus":{"destination_endpoint":"dead-beef","native_app":false"""
        + ""","transfer_attempted":false,"transfer_complete":false,"task_id":""}"""
        + ""","rsync":{"hostname":"vm","transfer_attempted":false,"transfer_complete":false}"""
        + ""","local":{"hostnames":["here"],"transfer_attempted":false,"transfer_complete":false"""
        + ""","start_time_transfer":null,"bytes_transfer":null}}""";

    /// <summary>Paths of the requests, in order.</summary>
    public IReadOnlyList<string> Paths => [.. Server.Requests.Select(r => r.Path)];

    /// <summary>Bodies of the requests to a path.</summary>
    public IReadOnlyList<string> Bodies(string path) => [.. Server.Requests.Where(r => r.Path == path).Select(r => r.Body)];

    /// <summary>Restores an old database: later incoming transfers disappear, and their ids are given out again.</summary>
    public void GoBackTo(long id)
    {
        lock (_gate)
        {
            _ids = id;
            foreach (var late in Incoming.Keys.Where(k => k > id).ToList())
                Incoming.TryRemove(late, out _);
        }
    }

    public ValueTask DisposeAsync() => Server.DisposeAsync();

    /// <summary>JSON text of a string, with non-ASCII characters unescaped.</summary>
    public static string Quote(string text) => JsonSerializer.Serialize(text, s_raw);

    private static string Ids(IEnumerable<long> ids) => "[" + string.Join(',', ids) + "]";

    private static WireAnswer Ok(string body, int status = 200) => new(status, body);

    private static WireAnswer F1(int status, string reason, long source, long destination) =>
        Ok(
            $$"""{"reason":{{Quote(reason)}},"suggested_remedy":"Try again.","source_transfer_id":{{source}}"""
                + $$""","destination_transfer_id":{{destination}}}""",
            status
        );

    private static WireAnswer Fb(int status, string reason, IReadOnlyCollection<long> source) =>
        Ok(
            $$"""{"reason":{{Quote(reason)}},"suggested_remedy":"Try again.","source_transfer_ids":{{Ids(source)}}"""
                + $$""","destination_transfer_ids":{{Ids(source.Select(_ => -1L))}}}""",
            status
        );

    private static List<long> List(JsonElement body, string field) =>
        [.. body.GetProperty(field).EnumerateArray().Select(e => e.GetInt64())];

    private async Task<WireAnswer> AnswerAsync(WireRequest request)
    {
        // A site of this project may try its own calls before it falls back on those of upstream; unknown paths need no account
        // (docs/spec/wire.md#generic-failures).
        if (request.Path.StartsWith("drives/", StringComparison.Ordinal))
            return Ok("""{"detail":"Not Found"}""", 404);
        if (Pydantic.Request(request) is { } problem)
        {
            Violations.Enqueue($"{request.Line}: {problem}: {request.Body}");
            return Ok($$"""{"detail":[{"type":"missing","loc":["body"],"msg":{{Quote(problem)}},"input":null}]}""", 422);
        }

        if (Interfere is { } interfere && await interfere(request) is { } instead)
            return instead;
        if (request.Path != "ping/" && request.Credentials != (PeerName, PasswordHere))
            return Ok("""{"detail":"Incorrect username or password"}""", 401);
        if (LevelHere < Level(request.Path))
            return Ok("""{"detail":"Incorrect username or password"}""", 401);
        if (request.Path == "corrupt/prepare")
            return await PrepareAsync(request.Json);
        if (request.Path == "corrupt/resend")
            return await ResendAsync(request.Json);
        lock (_gate)
        {
            return request.Path switch
            {
                "ping/" or "ping/logged" => Ok($$"""{"name":"{{Name.ToUpperInvariant()}}","description":"No description set."}"""),
                "search/file" => Search(request.Json.GetProperty("name").GetString()!),
                "validate/file" => Validate(request.Json.GetProperty("file_name").GetString()!),
                "clone/batch_stage" => BatchStage(request.Json),
                "clone/ongoing" => Ongoing(request.Json),
                "clone/complete" => Complete(request.Json),
                "clone/fail" => Fail(request.Json),
                "checkin/update" => Update(request.Json),
                "checkin/status" => Status(request.Json),
                _ => Ok("""{"detail":"Not Found"}""", 404),
            };
        }
    }

    private WireAnswer Search(string name) =>
        Files.TryGetValue(name, out var file)
            ? Ok(
                $$"""[{"name":{{Quote(name)}},"create_time":"2026-11-22T13:06:49.265698","size":{{file.Size}}"""
                    + $$""","checksum":"{{file.Checksum}}","uploader":"admin","source":"admin","instances":["""
                    + $$"""{"path":{{Quote(Path.Combine(Store, name))}},"deletion_policy":0"""
                    + ""","created_time":"2026-11-22T13:06:49.265747","available":true,"id":null,"file_name":null,"store_id":1}"""
                    + """],"remote_instances":[]}]"""
            )
            : Ok("""{"reason":"No files found.","suggested_remedy":"Check your search parameters."}""", 404);

    private WireAnswer Validate(string name) =>
        Files.TryGetValue(name, out var file)
            ? Ok(
                Damaged.Contains(name)
                    ? "[]"
                    : $$"""[{"librarian":{{Quote(Name)}},"store":1,"instance_id":1"""
                        + $$""","original_checksum":"{{file.Checksum}}","original_size":{{file.Size}}"""
                        + $$""","current_checksum":"{{file.Checksum}}","current_size":{{file.Size}},"computed_same_checksum":true}]"""
            )
            : Ok("""{"reason":"This file does not exist in the librarian.","suggested_remedy":"Check your file name."}""", 400);

    private WireAnswer BatchStage(JsonElement body)
    {
        List<long> ongoing = [],
            exists = [],
            duplicate = [];
        foreach (var item in body.GetProperty("uploads").EnumerateArray())
        {
            var (id, name, checksum) = (
                item.GetProperty("source_transfer_id").GetInt64(),
                item.GetProperty("destination_location").GetString()!,
                item.GetProperty("upload_checksum").GetString()!
            );
            var same = Incoming.Values.Where(t => t.Name == name && t.Checksum == checksum && t.Status < 3).ToList();
            if (Files.ContainsKey(name))
                exists.Add(id);
            else if (same.Count > 1)
                return WireAnswer.Fault;
            else if (same is [{ Status: 1 }])
                ongoing.Add(id);
            else if (same is [var earlier])
            {
                earlier.Status = 4;
                duplicate.Add(id);
            }
        }

        if (ongoing.Count > 0)
            return Fb(425, "Transfer is ongoing.", ongoing);
        if (exists.Count > 0)
            return Fb(409, "File already exists on librarian.", exists);
        if (duplicate.Count > 0)
            return Fb(406, "Transfer was already initiated or staged.", duplicate);
        var places = new List<string>();
        foreach (var item in body.GetProperty("uploads").EnumerateArray())
        {
            var (name, staging) = (item.GetProperty("destination_location").GetString()!, Guid.NewGuid().ToString());
            var transfer = new UpstreamTransfer
            {
                Id = Interlocked.Increment(ref _ids),
                Name = name,
                Size = item.GetProperty("upload_size").GetInt64(),
                Checksum = item.GetProperty("upload_checksum").GetString()!,
                Theirs = item.GetProperty("source_transfer_id").GetInt64(),
                Source = body.GetProperty("source").GetString(),
                Slot = Path.Combine(Staging, staging, item.GetProperty("upload_name").GetString()!),
            };
            Incoming[transfer.Id] = transfer;
            // Create only the directory: its sender has to create the parents that the name needs (docs/spec/wire.md#staging-directory).
            Directory.CreateDirectory(Path.Combine(Staging, staging));
            places.Add(
                $$"""{"staging_name":"{{staging}}","staging_location":{{Quote(transfer.Slot)}},"upload_name":{{Quote(name)}}"""
                    + $$""","destination_location":{{Quote(name)}}"""
                    + $$""","source_transfer_id":{{transfer.Theirs}},"destination_transfer_id":{{transfer.Id}}}"""
            );
        }

        return Ok(
            $$"""{"available_bytes_on_store":78508879872,"store_name":"store_{{Name}}","uploads":[{{string.Join(',', places)}}]"""
                + $$""","async_transfer_providers":{{Providers}}}""",
            201
        );
    }

    /// <summary>Lowest level that may call an endpoint (docs/spec/wire.md#level-of-each-endpoint).</summary>
    private static int Level(string path) =>
        path switch
        {
            "ping/" => 0,
            "ping/logged" or "search/file" or "validate/file" => 1,
            "clone/batch_stage" or "clone/ongoing" or "clone/fail" => 3,
            _ => 2,
        };

    private WireAnswer Ongoing(JsonElement body)
    {
        var (theirs, ours) = (body.GetProperty("source_transfer_id").GetInt64(), body.GetProperty("destination_transfer_id").GetInt64());
        if (!Incoming.TryGetValue(ours, out var transfer))
            return F1(404, "Could not find transfer.", theirs, ours);
        if (transfer.Status != 0)
            return F1(406, "Transfer is not in INITIATED status.", theirs, ours);
        transfer.Status = 1;
        return Ok($$"""{"source_transfer_id":{{theirs}},"destination_transfer_id":{{ours}}}""");
    }

    private WireAnswer Complete(JsonElement body)
    {
        var (ours, theirs) = (body.GetProperty("source_transfer_id").GetInt64(), body.GetProperty("destination_transfer_id").GetInt64());
        if (!Outgoing.TryGetValue(ours, out var transfer))
            return F1(400, "Could not find transfer.", ours, theirs);
        if (transfer.Status is not (1 or 2))
            return F1(406, "Transfer is not in ONGOING or STAGED status.", ours, theirs);
        transfer.Status = 3;
        RemoteInstances.Enqueue((transfer.Name, body.GetProperty("store_id").GetInt64()));
        return Ok($$"""{"source_transfer_id":{{ours}},"destination_transfer_id":{{theirs}}}""");
    }

    private WireAnswer Fail(JsonElement body)
    {
        var (theirs, ours) = (body.GetProperty("source_transfer_id").GetInt64(), body.GetProperty("destination_transfer_id").GetInt64());
        if (!Incoming.TryGetValue(ours, out var transfer))
            return F1(404, string.Create(CultureInfo.InvariantCulture, $"Could not find transfer with ID {ours}."), theirs, ours);
        transfer.Status = 4;
        return Ok($$"""{"source_transfer_id":{{theirs}},"destination_transfer_id":{{ours}},"success":true}""");
    }

    private WireAnswer Update(JsonElement body)
    {
        var status = body.GetProperty("new_status").GetInt32();
        var reasons = new HashSet<string>(StringComparer.Ordinal);
        (List<long> Modified, List<long> Unmodified) Change(ConcurrentDictionary<long, UpstreamTransfer> table, List<long> ids)
        {
            List<long> modified = [],
                unmodified = [];
            foreach (var id in ids)
            {
                if (!table.TryGetValue(id, out var transfer))
                    reasons.Add("No destination transfer with the appropriate ID was found.");
                else if (!Permits(transfer.Status, status))
                    reasons.Add(
                        $"Transition from TransferStatus.{s_statusNames[transfer.Status]} to "
                            + $"TransferStatus.{s_statusNames[status]} is not permitted."
                    );
                else
                {
                    transfer.Status = status;
                    modified.Add(id);
                    continue;
                }

                unmodified.Add(id);
            }

            return (modified, unmodified);
        }

        var source = Change(Outgoing, List(body, "source_transfer_ids"));
        var destination = Change(Incoming, List(body, "destination_transfer_ids"));
        return Ok(
            $$"""{"modified_source_transfer_ids":{{Ids(source.Modified)}}"""
                + $$""","modified_destination_transfer_ids":{{Ids(destination.Modified)}}"""
                + $$""","unmodified_source_transfer_ids":{{Ids(source.Unmodified)}}"""
                + $$""","unmodified_destination_transfer_ids":{{Ids(destination.Unmodified)}}"""
                + $$""","reasons":[{{string.Join(',', reasons.Select(Quote))}}]}"""
        );
    }

    private static bool Permits(int from, int to) =>
        from switch
        {
            0 => to is 1 or 2 or 4 or 5,
            1 => to is 2 or 4 or 5,
            2 => to is 4 or 5,
            _ => false,
        };

    private WireAnswer Status(JsonElement body)
    {
        static string Map(ConcurrentDictionary<long, UpstreamTransfer> table, List<long> ids) =>
            "{"
            + string.Join(
                ',',
                ids.Select(id =>
                    $"\"{id}\":{(table.TryGetValue(id, out var t) ? t.Status.ToString(CultureInfo.InvariantCulture) : "null")}"
                )
            )
            + "}";
        var outgoing = Map(Outgoing, List(body, "source_transfer_ids"));
        var incoming = Map(Incoming, List(body, "destination_transfer_ids"));
        return Ok($$"""{"source_transfer_status":{{outgoing}},"destination_transfer_status":{{incoming}}}""");
    }
}
