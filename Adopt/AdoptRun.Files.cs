using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <content>Accounts, peers, files and copies.</content>
internal sealed partial class AdoptRun
{
    private const string NotInCatalog = "its file is not in the catalog (the source has no row for it, or it was left out)";

    /// <summary>
    /// Ids of peers in this catalog by their ids in the source. Other sites know a peer by its name, so its id may change.
    /// </summary>
    private readonly Dictionary<long, long> _librarians = [];
    private HashSet<string> _librarianNames = [];

    /// <summary>Accounts keep the passwords of the Python site; an account that exists here is not changed.</summary>
    private Task AdoptUsersAsync(CancellationToken cancellationToken) =>
        AdoptAsync(
            new Kind<User>(
                "users",
                $"SELECT {source.Columns("users", "u", "username", "auth_token", "auth_level:text")} FROM users u ORDER BY u.username",
                row =>
                {
                    var user = new User
                    {
                        Username = row.Text("username"),
                        AuthToken = row.Text("auth_token"),
                        AuthLevel = row.Member<AuthLevel>("auth_level", AuthLevel.None),
                    };
                    var candidate = new Candidate<User>(user.Username, user);
                    if (!AccountDirectory.IsValidName(user.Username))
                        candidate.Skip("the name cannot be sent over HTTP (not ASCII, or with a colon)");
                    if (!PasswordHash.TryParse(user.AuthToken, out _))
                        candidate.Skip("its password is not kept as an Argon2id hash, so nobody could log in; make the account anew");
                    return candidate;
                },
                rows =>
                {
                    var names = rows.Select(u => u.Username).ToList();
                    return _db.Users.Where(u => EF.Parameter(names).Contains(u.Username)).ToListAsync(cancellationToken);
                },
                user => user.Username
            )
            {
                Kept = (old, kept) =>
                    old.AuthToken == kept.AuthToken && old.AuthLevel == kept.AuthLevel
                        ? null
                        : "the account here stays as it is, with its own password and level",
            },
            cancellationToken
        );

    private async Task AdoptLibrariansAsync(CancellationToken cancellationToken)
    {
        var there = await _db.Peers.ToListAsync(cancellationToken);
        var byName = there.ToDictionary(l => l.Name, l => l.Id, StringComparer.Ordinal);
        var taken = there.Select(l => l.Id).ToHashSet();
        var next = Math.Max(await source.LastIdAsync("librarians", cancellationToken), taken.DefaultIfEmpty().Max());
        var columns = source.Columns(
            "librarians",
            "l",
            "id",
            "name",
            "url",
            "port",
            "authenticator",
            "transfers_enabled",
            "last_seen",
            "last_heard"
        );
        await AdoptAsync(
            new Kind<Peer>(
                "librarians",
                $"SELECT {columns} FROM librarians l ORDER BY l.id",
                row =>
                {
                    var (id, name) = (row.Number("id"), row.Text("name"));
                    _librarians[id] =
                        byName.TryGetValue(name, out var known) ? known
                        : taken.Contains(id) ? ++next
                        : id;
                    return new Candidate<Peer>(
                        name,
                        new Peer
                        {
                            Id = _librarians[id],
                            Name = name,
                            Url = row.Text("url"),
                            Port = row.Small("port", 0),
                            Authenticator = row.Text("authenticator", 1024),
                            // NULL came from a migration and kept the Python site from sending; before that release there was no
                            // such switch.
                            TransfersEnabled = row.Flag("transfers_enabled", !source.Has("librarians", "transfers_enabled")),
                            LastSeen = row.TimeOrNull("last_seen") ?? _now,
                            LastHeard = row.TimeOrNull("last_heard") ?? _now,
                        }
                    );
                },
                rows =>
                {
                    var names = rows.Select(l => l.Name).ToList();
                    return _db.Peers.Where(l => EF.Parameter(names).Contains(l.Name)).ToListAsync(cancellationToken);
                },
                peer => peer.Name,
                nameof(Peer.Id)
            ),
            cancellationToken
        );
        _librarianNames = [.. await _db.Peers.Select(l => l.Name).ToListAsync(cancellationToken)];
    }

    private Task AdoptFilesAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns("files", "f", "name", "create_time", "size", "checksum", "uploader", "source");
        var collation = source.Kind == DatabaseKind.PostgreSql ? " COLLATE \"C\"" : "";
        return AdoptAsync(
            new Kind<FileRecord>(
                "files",
                $"SELECT {columns} FROM files f ORDER BY f.name{collation}",
                row =>
                {
                    var created = row.TimeOrNull("create_time");
                    var file = new FileRecord
                    {
                        Name = row.Text("name", int.MaxValue),
                        CreateTime = created ?? DateTime.UnixEpoch,
                        Size = row.Number("size"),
                        Checksum = row.Text("checksum"),
                        Uploader = row.Text("uploader"),
                        Source = row.Text("source"),
                    };
                    var candidate = new Candidate<FileRecord>(file.Name, file);
                    if (Unservable(file.Name) is { } why)
                        candidate.Skip(why);
                    if (file.Size < 0)
                        candidate.Skip("size is negative");
                    if (created is null)
                        candidate.Remark(AdoptEffect.Noted, "it has no create_time, which becomes 1970-01-01");
                    return candidate;
                },
                rows =>
                {
                    var names = rows.Select(f => f.Name).ToList();
                    return _db.Files.Where(f => EF.Parameter(names).Contains(f.Name)).ToListAsync(cancellationToken);
                },
                file => file.Name,
                nameof(FileRecord.Size),
                nameof(FileRecord.Checksum)
            ),
            cancellationToken
        );
    }

    private Task AdoptInstancesAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns(
            "instances",
            "i",
            "id",
            "path",
            "file_name",
            "store_id",
            "deletion_policy:text",
            "created_time",
            "available",
            "calculated_checksum",
            "calculated_size",
            "checksum_time"
        );
        var available = source.Column("instances", "i", "available");
        return AdoptAsync(
            new Kind<FileCopy>(
                "instances",
                // Of several rows for one file on one store the catalog keeps one: the oldest that is marked available.
                $"""
                SELECT {columns},
                  FIRST_VALUE(i.id) OVER (PARTITION BY i.file_name, i.store_id ORDER BY {available} DESC, i.id) AS keeper
                FROM instances i ORDER BY i.id
                """,
                row =>
                {
                    var (file, store, path) = (
                        row.TextOrNull("file_name", int.MaxValue),
                        row.NumberOrNull("store_id"),
                        row.Text("path", 4096)
                    );
                    var known = store is { } id ? _adoptedStores.GetValueOrDefault(id) : null;
                    var inside = known is null ? null : StoreRoots.Inside(known.Settings!.StorePath, path);
                    var copy = new FileCopy
                    {
                        Id = row.Number("id"),
                        Path = inside ?? path,
                        FileName = file ?? "",
                        StoreId = store ?? 0,
                        DeletionPolicy = row.Member<DeletionPolicy>("deletion_policy", DeletionPolicy.Disallowed),
                        CreatedTime = row.TimeOrNull("created_time") ?? DateTime.UnixEpoch,
                        Available = row.Flag("available", !source.Has("instances", "available")),
                        CalculatedChecksum = row.TextOrNull("calculated_checksum"),
                        CalculatedSize = row.NumberOrNull("calculated_size"),
                        ChecksumTime = row.TimeOrNull("checksum_time"),
                    };
                    var candidate = new Candidate<FileCopy>($"{copy.Id} {path}", copy);
                    if (file is null)
                        candidate.Skip("it names no file");
                    else if (Unservable(file) is not null)
                        candidate.Skip("the name of its file cannot be served, see files");
                    if (store is null)
                        candidate.Skip("it names no store");
                    else if (known is null)
                        candidate.Skip(LeftBehind(store.Value));
                    else if (inside is null)
                        candidate.Remark(
                            AdoptEffect.Noted,
                            $"its path is not below the StorePath of store '{known.Name}', "
                                + "so it is neither read nor sent until one of them is corrected"
                        );
                    if (row.Number("keeper") is var keeper && keeper != copy.Id)
                        candidate.Fold("the same file on the same store as another instance", $"instance {keeper}");
                    return candidate;
                },
                rows =>
                {
                    var ids = rows.Select(i => i.Id).ToList();
                    return _db.Copies.Where(i => EF.Parameter(ids).Contains(i.Id)).ToListAsync(cancellationToken);
                },
                copy => copy.Id,
                nameof(FileCopy.FileName),
                nameof(FileCopy.StoreId)
            )
            {
                Prepare = async chunk =>
                {
                    var names = chunk.Select(c => c.Row.FileName).Distinct(StringComparer.Ordinal).ToList();
                    var files = await _db
                        .Files.Where(f => EF.Parameter(names).Contains(f.Name))
                        .ToDictionaryAsync(f => f.Name, f => f.Size, cancellationToken);
                    var copies = await CopiesAsync(names, cancellationToken);
                    foreach (var candidate in chunk)
                    {
                        if (!files.ContainsKey(candidate.Row.FileName))
                            candidate.Skip(NotInCatalog);
                        else if (copies.TryGetValue((candidate.Row.FileName, candidate.Row.StoreId), out var id) && id != candidate.Row.Id)
                            candidate.IsThere("the catalog has this copy under another id", $"{id}");
                    }

                    if (request.CheckDisk)
                        await CheckDiskAsync(chunk, files, cancellationToken);
                },
            },
            cancellationToken
        );
    }

    private Task AdoptRemoteInstancesAsync(CancellationToken cancellationToken) =>
        AdoptAsync(
            new Kind<RemoteCopy>(
                "remote_instances",
                // Completing a transfer twice made two rows (docs/spec/wire.md#duplicate-remote-copies); the first one stays.
                $"""
                SELECT {source.Columns("remote_instances", "r", "id", "file_name", "store_id", "librarian_id", "copy_time", "sender")},
                  FIRST_VALUE(r.id) OVER (PARTITION BY r.file_name, r.librarian_id, r.store_id ORDER BY r.copy_time, r.id) AS keeper
                FROM remote_instances r ORDER BY r.id
                """,
                row =>
                {
                    var (file, store, librarian) = (
                        row.TextOrNull("file_name", int.MaxValue),
                        row.NumberOrNull("store_id"),
                        row.NumberOrNull("librarian_id")
                    );
                    var copy = new RemoteCopy
                    {
                        Id = row.Number("id"),
                        FileName = file ?? "",
                        StoreId = store ?? 0,
                        PeerId = librarian is { } old && _librarians.TryGetValue(old, out var known) ? known : 0,
                        CopyTime = row.Time("copy_time"),
                        Sender = row.TextOrNull("sender") ?? options.Name,
                    };
                    var candidate = new Candidate<RemoteCopy>($"{copy.Id} {file}", copy);
                    if (file is null)
                        candidate.Skip("it names no file");
                    else if (Unservable(file) is not null)
                        candidate.Skip("the name of its file cannot be served, see files");
                    if (store is null)
                        candidate.Skip("it names no store");
                    if (copy.PeerId == 0)
                        candidate.Skip("its librarian is not registered any more");
                    if (row.Number("keeper") is var keeper && keeper != copy.Id)
                        candidate.Fold(
                            "the same file on the same store of the same librarian as another remote instance",
                            $"remote instance {keeper}"
                        );
                    return candidate;
                },
                rows =>
                {
                    var ids = rows.Select(r => r.Id).ToList();
                    return _db.RemoteCopies.Where(r => EF.Parameter(ids).Contains(r.Id)).ToListAsync(cancellationToken);
                },
                copy => copy.Id,
                nameof(RemoteCopy.FileName),
                nameof(RemoteCopy.PeerId),
                nameof(RemoteCopy.StoreId)
            )
            {
                Prepare = async chunk =>
                {
                    var names = chunk.Select(c => c.Row.FileName).Distinct(StringComparer.Ordinal).ToList();
                    var files = await KnownFilesAsync(names, cancellationToken);
                    var copies = (
                        await _db.RemoteCopies.Where(r => EF.Parameter(names).Contains(r.FileName)).ToListAsync(cancellationToken)
                    ).ToDictionary(r => (r.FileName, r.PeerId, r.StoreId), r => r.Id);
                    foreach (var candidate in chunk)
                    {
                        if (!files.Contains(candidate.Row.FileName))
                            candidate.Skip(NotInCatalog);
                        else if (
                            copies.TryGetValue((candidate.Row.FileName, candidate.Row.PeerId, candidate.Row.StoreId), out var id)
                            && id != candidate.Row.Id
                        )
                            candidate.IsThere("the catalog has this copy under another id", $"{id}");
                    }
                },
            },
            cancellationToken
        );

    private async Task<HashSet<string>> KnownFilesAsync(List<string> names, CancellationToken cancellationToken) =>
        (await _db.Files.Where(f => EF.Parameter(names).Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken)).ToHashSet(
            StringComparer.Ordinal
        );

    /// <summary>
    /// Ids of the catalog's copies of these files by file and store; an adopted copy may represent several of the source.
    /// </summary>
    private async Task<Dictionary<(string File, long Store), long>> CopiesAsync(List<string> names, CancellationToken cancellationToken) =>
        (
            await _db
                .Copies.Where(i => EF.Parameter(names).Contains(i.FileName))
                .Select(i => new
                {
                    i.Id,
                    i.FileName,
                    i.StoreId,
                })
                .ToListAsync(cancellationToken)
        ).ToDictionary(i => (i.FileName, i.StoreId), i => i.Id);

    private string LeftBehind(long store) =>
        _stores.Find(s => s.Id == store) is { } known
            ? $"its store '{known.Name}' is left behind"
            : $"its store {store} is not in the source";
}
