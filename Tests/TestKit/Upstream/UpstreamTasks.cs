using System.Globalization;
using System.Text.Json;

namespace Librarian.Tests.TestKit.Upstream;

/// <content>Upstream's background tasks and its client, with the messages of docs/spec/wire.md#captured-exchanges.</content>
public sealed partial class UpstreamLibrarian
{
    private static readonly (string, Field)[] s_place =
    [
        ("staging_name", Field.Text),
        ("staging_location", Field.Text),
        ("upload_name", Field.Text),
        ("destination_location", Field.Text),
        ("source_transfer_id", Field.Int),
        ("destination_transfer_id", Field.Int),
    ];

    private static readonly (string, Field)[] s_update =
    [
        ("modified_source_transfer_ids", Field.Ints),
        ("modified_destination_transfer_ids", Field.Ints),
        ("unmodified_source_transfer_ids", Field.Ints),
        ("unmodified_destination_transfer_ids", Field.Ints),
        ("reasons", Field.Texts),
    ];

    private static readonly (string, Field)[] s_hit =
    [
        ("name", Field.Text),
        ("create_time", Field.Time),
        ("size", Field.Int),
        ("checksum", Field.Text),
        ("uploader", Field.Text),
        ("source", Field.Text),
        ("instances", Field.Objects),
        ("remote_instances", Field.Objects),
    ];

    private static readonly (string, Field)[] s_instance =
    [
        ("path", Field.Text),
        ("deletion_policy", Field.Int),
        ("created_time", Field.Time),
        ("available", Field.Bool),
        ("id", Field.Null),
        ("file_name", Field.Null),
        ("store_id", Field.Int),
    ];

    private static readonly (string, Field)[] s_remoteInstance =
    [
        ("librarian_name", Field.Text),
        ("copy_time", Field.Time),
        ("id", Field.Null),
        ("file_name", Field.Null),
        ("store_id", Field.Null),
        ("sender", Field.Null),
    ];

    private static readonly (string, Field)[] s_entry =
    [
        ("name", Field.Text),
        ("create_time", Field.Time),
        ("size", Field.Int),
        ("checksum", Field.Text),
        ("uploader", Field.Text),
        ("source", Field.Text),
        ("instance_path", Field.Text),
        ("deletion_policy", Field.Int),
        ("instance_create_time", Field.Time),
        ("instance_available", Field.Bool),
        ("outgoing_transfer_id", Field.Int),
    ];

    private static readonly (string, Field)[] s_ping = [("name", Field.Text), ("description", Field.Text)];

    /// <summary>Calls the peer with this librarian's account.</summary>
    public Task<WireReply> CallAsync(string path, string json, CancellationToken cancellationToken = default) =>
        PythonRequests.PostAsync(Peer!, path, json, Name, PasswordThere, cancellationToken);

    /// <summary>Adds a file or directory to this librarian.</summary>
    /// <param name="name">Name of the file.</param>
    /// <param name="checksum">Its true checksum.</param>
    /// <param name="content">Content of the file, or of <c>page</c>, the only member of the directory.</param>
    /// <param name="directory">Whether it is a directory.</param>
    public void Keep(string name, string checksum, string content, bool directory = false)
    {
        var path = Path.Combine(Store, name);
        Directory.CreateDirectory(directory ? path : Path.GetDirectoryName(path)!);
        File.WriteAllText(directory ? Path.Combine(path, "page") : path, content);
        Files[name] = (LocalMover.Size(path), checksum);
    }

    /// <summary>
    /// SendClone (docs/spec/wire.md#push): returns the peer's answer to the staging, or null if the peer does not answer the ping.
    /// </summary>
    public async Task<WireReply?> SendCloneAsync(params string[] names)
    {
        if ((await CallAsync("ping/", "{}")).Status != 200)
            return null;
        var rows = names
            .Select(name => new UpstreamTransfer
            {
                Id = Interlocked.Increment(ref _ids),
                Name = name,
                Size = Files[name].Size,
                Checksum = Files[name].Checksum,
            })
            .ToList();
        foreach (var row in rows)
            Outgoing[row.Id] = row;
        var uploads = rows.Select(r =>
            $$"""{"upload_size":{{r.Size}},"upload_checksum":"{{r.Checksum}}","upload_name":{{Quote(r.Name)}}"""
            + $$""","destination_location":{{Quote(r.Name)}},"uploader":"admin","source_transfer_id":{{r.Id}}}"""
        );
        var reply = await CallAsync(
            "clone/batch_stage",
            $$"""{"uploads":[{{string.Join(',', uploads)}}],"source":"{{Name}}","total_size":{{rows.Sum(r => r.Size)}}}"""
        );
        if (reply.Status != 201)
        {
            // The client has to be able to read the answer (docs/spec/wire.md#python-client-answers). Then it abandons all of them.
            _ = Reason(reply);
            foreach (var row in rows)
                row.Status = 4;
            return reply;
        }

        var answer = Pydantic.Answer(
            reply,
            201,
            ("available_bytes_on_store", Field.Int),
            ("store_name", Field.Text),
            ("uploads", Field.Objects),
            ("async_transfer_providers", Field.Object)
        );
        // Upstream takes the first provider, usable or not (docs/spec/wire.md#first-provider).
        var provider = answer.GetProperty("async_transfer_providers").EnumerateObject().First().Value;
        Assert.Null(
            Pydantic.Model(
                provider,
                ("hostnames", Field.Texts),
                ("transfer_attempted", Field.Bool),
                ("transfer_complete", Field.Bool),
                ("start_time_transfer", Field.Null),
                ("bytes_transfer", Field.IntOrNull)
            )
        );
        foreach (var place in answer.GetProperty("uploads").EnumerateArray())
        {
            Assert.Null(Pydantic.Model(place, s_place));
            var row = Outgoing[place.GetProperty("source_transfer_id").GetInt64()];
            row.Theirs = place.GetProperty("destination_transfer_id").GetInt64();
            row.Slot = place.GetProperty("staging_location").GetString();
            Assert.True(Path.IsPathFullyQualified(row.Slot!));
        }

        Assert.All(rows, r => Assert.NotNull(r.Theirs));
        await CheckinAsync(rows, 1);
        return reply;
    }

    /// <summary>ConsumeQueue: moves the bytes. An exception here blocks the queue forever.</summary>
    public void ConsumeQueue()
    {
        foreach (var row in Outgoing.Values.Where(t => t is { Status: 1, Slot: not null }))
            LocalMover.Copy(Path.Combine(Store, row.Name), row.Slot!);
    }

    /// <summary>CheckConsumedQueue (docs/spec/wire.md#push, step 5).</summary>
    public Task CheckConsumedQueueAsync() => CheckinAsync([.. Outgoing.Values.Where(t => t.Status == 1).OrderBy(t => t.Id)], 2);

    /// <summary>RecieveClone (docs/spec/wire.md#push, step 6): ingests STAGED transfers and calls back once.</summary>
    public async Task ReceiveCloneAsync()
    {
        foreach (var row in Incoming.Values.Where(t => t.Status == 2).OrderBy(t => t.Id))
        {
            if (!Path.Exists(row.Slot) || LocalMover.Size(row.Slot!) != row.Size)
            {
                row.Status = 4;
                await CallAsync(
                    "checkin/update",
                    $$"""{"source_transfer_ids":[{{row.Theirs}}],"destination_transfer_ids":[],"new_status":4}"""
                );
                continue;
            }

            var path = Path.Combine(Store, row.Name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            Directory.Move(row.Slot!, path);
            Files[row.Name] = (row.Size, row.Checksum);
            row.Status = 3;
            // Upstream calls only a registered librarian, and otherwise only logs (docs/spec/wire.md#push-callback).
            if (row.Source is null || row.Source == PeerName)
                await CallBackAsync(row);
        }
    }

    /// <summary>
    /// The Python client's <c>ingest-manifest</c> at this librarian (docs/spec/wire.md#ingest-manifest), up to the staged files. The
    /// uploader is the manifest's librarian, the source is that of the entry. <see cref="ReceiveCloneAsync"/> does the rest.
    /// </summary>
    public void IngestManifest(JsonElement manifest, string storeRoot)
    {
        Assert.Null(Pydantic.Model(manifest, ("librarian_name", Field.Text), ("store_name", Field.Text), ("store_files", Field.Objects)));
        foreach (var entry in manifest.GetProperty("store_files").EnumerateArray())
        {
            Assert.Null(Pydantic.Model(entry, s_entry));
            var (id, name) = (Interlocked.Increment(ref _ids), entry.GetProperty("name").GetString()!);
            var row = new UpstreamTransfer
            {
                Id = id,
                Name = name,
                Size = entry.GetProperty("size").GetInt64(),
                Checksum = entry.GetProperty("checksum").GetString()!,
                Status = 2,
                Theirs = entry.GetProperty("outgoing_transfer_id").GetInt64(),
                Source = entry.GetProperty("source").GetString(),
                Slot = Path.Combine(Staging, Guid.NewGuid().ToString(), Path.GetFileName(name)),
            };
            LocalMover.Copy(Path.Combine(storeRoot, name), row.Slot);
            Incoming[id] = row;
        }
    }

    /// <summary>Makes only the callback; its answer has to parse.</summary>
    public async Task<WireReply> CallBackAsync(UpstreamTransfer row)
    {
        var reply = await CallAsync(
            "clone/complete",
            $$"""{"source_transfer_id":{{row.Theirs}},"destination_transfer_id":{{row.Id}},"store_id":1}"""
        );
        if (reply.Status == 200)
            Pydantic.Answer(reply, 200, ("source_transfer_id", Field.Int), ("destination_transfer_id", Field.Int));
        else
            _ = Reason(reply);
        return reply;
    }

    /// <summary>Outgoing hypervisor (docs/spec/wire.md#review-of-outgoing-transfers) for all unfinished transfers.</summary>
    public async Task OutgoingHypervisorAsync()
    {
        foreach (var row in Outgoing.Values.Where(t => t.Status < 3).OrderBy(t => t.Id))
        {
            Pydantic.Answer(await CallAsync("ping/", "{}"), 200, s_ping);
            var hits = await SearchAsync(row.Name);
            if (hits.Count == 0)
            {
                row.Status = 4;
                if (row.Theirs is not null)
                    await FailAsync(row);
                continue;
            }

            var checksum = Assert.Single(hits.Select(h => h.GetProperty("checksum").GetString()).Distinct(StringComparer.Ordinal));
            Assert.Equal(row.Checksum, checksum);
            RemoteInstances.Enqueue(
                (row.Name, hits[0].GetProperty("instances").EnumerateArray().Last().GetProperty("store_id").GetInt64())
            );
            row.Status = 3;
        }
    }

    /// <summary>Incoming hypervisor (docs/spec/wire.md#review-of-incoming-transfers) for all unfinished transfers.</summary>
    public async Task IncomingHypervisorAsync()
    {
        foreach (var row in Incoming.Values.Where(t => t.Status < 3).OrderBy(t => t.Id))
        {
            Pydantic.Answer(await CallAsync("ping/", "{}"), 200, s_ping);
            var answer = Pydantic.Answer(
                await CallAsync("checkin/status", $$"""{"source_transfer_ids":[{{row.Theirs}}],"destination_transfer_ids":[]}"""),
                200,
                ("source_transfer_status", Field.Object),
                ("destination_transfer_status", Field.Object)
            );
            var theirs = answer.GetProperty("source_transfer_status").GetProperty(row.Theirs!.Value.ToString(CultureInfo.InvariantCulture));
            int? status = theirs.ValueKind == JsonValueKind.Null ? null : theirs.GetInt32();
            if (status == row.Status)
                continue;
            if (status is 0 or 1 or 2 && row.Status == 0)
                row.Status = status.Value;
            else if (status == 2 && row.Status == 1)
                row.Status = 2;
            else if (status is null or >= 3 || (status == 0 && row.Status == 1))
            {
                row.Status = 4;
                Pydantic.Answer(
                    await CallAsync(
                        "checkin/update",
                        $$"""{"source_transfer_ids":[{{row.Theirs}}],"destination_transfer_ids":[],"new_status":4}"""
                    ),
                    200,
                    s_update
                );
            }
        }
    }

    /// <summary>search/file as the hypervisors read it: every field is checked, and every copy has to name its store.</summary>
    public async Task<IReadOnlyList<JsonElement>> SearchAsync(string name)
    {
        var reply = await CallAsync(
            "search/file",
            $$"""{"name":{{Quote(name)}},"create_time_window":null,"uploader":null,"source":null,"max_results":64}"""
        );
        if (reply.Status == 404)
        {
            Assert.Equal("No files found.", Reason(reply));
            return [];
        }

        Assert.Equal(200, reply.Status);
        var hits = reply.Json.EnumerateArray().ToList();
        foreach (var hit in hits)
        {
            Assert.Null(Pydantic.Model(hit, s_hit));
            Assert.NotEmpty(hit.GetProperty("instances").EnumerateArray());
            Assert.All(hit.GetProperty("instances").EnumerateArray(), i => Assert.Null(Pydantic.Model(i, s_instance)));
            Assert.All(hit.GetProperty("remote_instances").EnumerateArray(), i => Assert.Null(Pydantic.Model(i, s_remoteInstance)));
        }

        return hits;
    }

    /// <summary>Abandons a transfer as its source (docs/spec/wire.md#push-refused).</summary>
    public async Task FailAsync(UpstreamTransfer row)
    {
        var reply = await CallAsync(
            "clone/fail",
            $$"""{"source_transfer_id":{{row.Id}},"destination_transfer_id":{{row.Theirs}}"""
                + ""","reason":"Transfer failed on source librarian."}"""
        );
        Assert.Equal(
            (200, $$"""{"source_transfer_id":{{row.Id}},"destination_transfer_id":{{row.Theirs}},"success":true}"""),
            (reply.Status, reply.Body)
        );
    }

    /// <summary>
    /// CorruptionFixer (docs/spec/wire.md#repair) at the site with the corrupt copy: it asks, deletes its copy and requests the
    /// replacement. Meanwhile it serves the peer's calls.
    /// </summary>
    public async Task<WireReply> FixCorruptionAsync(string name)
    {
        var prepared = Pydantic.Answer(
            await CallAsync("corrupt/prepare", $$"""{"file_name":{{Quote(name)}},"librarian_name":"{{Name}}"}"""),
            200,
            ("ready", Field.Bool)
        );
        Assert.True(prepared.GetProperty("ready").GetBoolean());
        Files.TryRemove(name, out _);
        File.Delete(Path.Combine(Store, name));
        return await CallAsync("corrupt/resend", $$"""{"librarian_name":"{{Name}}","file_name":{{Quote(name)}}}""");
    }

    /// <summary>The Python client's upload (docs/spec/wire.md#python-client-sequences) with an account of the peer.</summary>
    public async Task<WireReply> UploadAsync(
        string user,
        string password,
        string local,
        string destination,
        string checksum,
        string hostname
    )
    {
        var name = Quote(Path.GetFileName(destination));
        var staged = Pydantic.Answer(
            await PythonRequests.PostAsync(
                Peer!,
                "upload/stage",
                $$"""{"upload_size":{{LocalMover.Size(local)}},"upload_checksum":"{{checksum}}","upload_name":{{name}}"""
                    + $$""","destination_location":{{Quote(destination)}},"uploader":"{{user}}"}""",
                user,
                password,
                CancellationToken.None
            ),
            201,
            ("available_bytes_on_store", Field.Int),
            ("store_name", Field.Text),
            ("staging_name", Field.Text),
            ("staging_location", Field.Text),
            ("upload_name", Field.Text),
            ("destination_location", Field.Text),
            ("transfer_providers", Field.Object),
            ("transfer_id", Field.Int)
        );
        var provider = Usable(staged, hostname);
        LocalMover.Copy(local, staged.GetProperty("staging_location").GetString()!);
        string Echo(string field) => staged.GetProperty(field).GetRawText();
        return await PythonRequests.PostAsync(
            Peer!,
            "upload/commit",
            $$"""{"store_name":{{Echo("store_name")}},"staging_name":{{Echo("staging_name")}}"""
                + $$""","staging_location":{{Echo("staging_location")}},"upload_name":{{Echo("upload_name")}}"""
                + $$""","destination_location":{{Echo("destination_location")}}"""
                + $$""","transfer_provider_name":"{{provider.Name}}","transfer_provider":{{provider.Json}}"""
                + $$""","meta_mode":"infer","deletion_policy":"1","uploader":"{{user}}","null_obsid":true"""
                + $$""","transfer_id":{{Echo("transfer_id")}}}""",
            user,
            password,
            CancellationToken.None
        );
    }

    /// <summary>The Python client's ingest of a file from a drive (docs/spec/wire.md#ingest-manifest).</summary>
    public async Task<WireReply> IngestManifestEntryAsync(string local, string destination, string checksum, string hostname, long outgoing)
    {
        var name = Quote(Path.GetFileName(destination));
        var reply = await CallAsync(
            "clone/stage",
            $$"""{"upload_size":{{LocalMover.Size(local)}},"upload_checksum":"{{checksum}}","upload_name":{{name}}"""
                + $$""","destination_location":{{Quote(destination)}}"""
                + $$""","uploader":"{{Name}}","source":"{{Name}}","source_transfer_id":{{outgoing}}}"""
        );
        if (reply.Status != 201)
            return reply;
        var staged = Pydantic.Answer(
            reply,
            201,
            ("available_bytes_on_store", Field.Int),
            ("store_name", Field.Text),
            ("staging_name", Field.Text),
            ("staging_location", Field.Text),
            ("upload_name", Field.Text),
            ("destination_location", Field.Text),
            ("transfer_providers", Field.Object),
            ("source_transfer_id", Field.Int),
            ("destination_transfer_id", Field.Int)
        );
        var theirs = staged.GetProperty("destination_transfer_id").GetInt64();
        var pair = $$"""{"source_transfer_id":{{outgoing}},"destination_transfer_id":{{theirs}}}""";
        _ = Usable(staged, hostname);
        Assert.Equal(
            pair,
            Pydantic
                .Answer(
                    await CallAsync("clone/ongoing", pair),
                    200,
                    ("source_transfer_id", Field.Int),
                    ("destination_transfer_id", Field.Int)
                )
                .GetRawText()
        );
        LocalMover.Copy(local, staged.GetProperty("staging_location").GetString()!);
        return await CallAsync("clone/staged", pair);
    }

    /// <summary>
    /// The reason that the client reads from a failure. Fails the test if the client would crash (docs/spec/wire.md#python-client-answers).
    /// </summary>
    public static string? Reason(WireReply reply)
    {
        var body = reply.Json;
        Assert.Equal(JsonValueKind.Object, body.ValueKind);
        if (body.TryGetProperty("detail", out var detail))
        {
            Assert.Equal(JsonValueKind.String, detail.ValueKind);
            if (detail.GetString()![0] != '{')
                return null;
            body = JsonDocument.Parse(detail.GetString()!).RootElement;
        }

        return body.GetProperty("reason").GetString();
    }

    private static (string Name, string Json) Usable(JsonElement staged, string hostname)
    {
        var provider = staged
            .GetProperty("transfer_providers")
            .EnumerateObject()
            .First(p => p.Value.GetProperty("hostnames").EnumerateArray().Any(h => h.GetString() == hostname));
        return (provider.Name, $$"""{"hostnames":{{provider.Value.GetProperty("hostnames").GetRawText()}}}""");
    }

    private async Task CheckinAsync(List<UpstreamTransfer> rows, int status)
    {
        var ids = Ids(rows.Select(r => r.Theirs!.Value));
        Pydantic.Answer(
            await CallAsync(
                "checkin/update",
                $$"""{"source_transfer_ids":[],"destination_transfer_ids":{{ids}},"new_status":{{status}}}"""
            ),
            200,
            s_update
        );
        // Upstream ignores the lists in the answer (weakness W34).
        foreach (var row in rows)
            row.Status = status;
    }

    private async Task<WireAnswer> PrepareAsync(JsonElement body)
    {
        if (body.GetProperty("librarian_name").GetString() != PeerName)
            return Ok("""{"detail":{"reason":"Unauthorized","suggested_remedy":""}}""", 401);
        return (await CallAsync("ping/logged", "{}")).Status == 200
            ? Ok("""{"ready":true}""")
            : Ok("""{"detail":{"reason":"We are not able to send you files","suggested_remedy":""}}""", 409);
    }

    private async Task<WireAnswer> ResendAsync(JsonElement body)
    {
        var name = body.GetProperty("file_name").GetString()!;
        if ((await CallAsync("ping/logged", "{}")).Status != 200 || await SendCloneAsync(name) is not { Status: 201 })
            return Ok("""{"detail":{"reason":"Error creating send queue item","suggested_remedy":""}}""", 409);
        return Ok($$"""{"success":true,"destination_transfer_id":{{Outgoing.Values.Last(t => t.Name == name && t.Status == 1).Theirs}}}""");
    }
}
