using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Adopt;

/// <content>Accounts, neighbours, files and copies.</content>
internal sealed partial class AdoptRun
{
    private const string NotInCatalog = "its file is not in the catalog (the source has no row for it, or it was left out)";

    /// <summary>Ids of neighbours here by their ids in the source. A neighbour is known to others by its name, so an id may change.</summary>
    private readonly Dictionary<long, long> _librarians = [];
    private HashSet<string> _librarianNames = [];

    /// <summary>Passwords stay those of the Python site; an account that exists here stays as it is.</summary>
    private Task AdoptUsersAsync(CancellationToken cancellationToken) => AdoptAsync(new Kind<User>("users",
        $"SELECT {source.Columns("users", "u", "username", "auth_token", "auth_level:text")} FROM users u ORDER BY u.username",
        row =>
        {
            var user = new User { Username = row.Text("username"), AuthToken = row.Text("auth_token"), AuthLevel = row.Member<AuthLevel>("auth_level", AuthLevel.None) };
            var candidate = new Candidate<User>(user.Username, user);
            if (!AccountDirectory.IsValidName(user.Username)) candidate.Skip("the name cannot be sent over HTTP (not ASCII, or with a colon)");
            if (!PasswordHash.TryParse(user.AuthToken, out _)) candidate.Skip("its password is not kept as an Argon2id hash, so nobody could log in; make the account anew");
            return candidate;
        },
        rows => { var names = rows.Select(u => u.Username).ToList(); return _db.Users.Where(u => EF.Parameter(names).Contains(u.Username)).ToListAsync(cancellationToken); },
        user => user.Username)
    {
        Kept = (old, kept) => old.AuthToken == kept.AuthToken && old.AuthLevel == kept.AuthLevel ? null : "the account here stays as it is, with its own password and level",
    }, cancellationToken);

    private async Task AdoptLibrariansAsync(CancellationToken cancellationToken)
    {
        var there = await _db.Librarians.ToListAsync(cancellationToken);
        var byName = there.ToDictionary(l => l.Name, l => l.Id, StringComparer.Ordinal);
        var taken = there.Select(l => l.Id).ToHashSet();
        var next = Math.Max(await source.LastIdAsync("librarians", cancellationToken), taken.DefaultIfEmpty().Max());
        await AdoptAsync(new Kind<PeerLibrarian>("librarians",
            $"SELECT {source.Columns("librarians", "l", "id", "name", "url", "port", "authenticator", "transfers_enabled", "last_seen", "last_heard")} FROM librarians l ORDER BY l.id",
            row =>
            {
                var (id, name) = (row.Number("id"), row.Text("name"));
                _librarians[id] = byName.TryGetValue(name, out var known) ? known : taken.Contains(id) ? ++next : id;
                return new Candidate<PeerLibrarian>(name, new PeerLibrarian
                {
                    Id = _librarians[id],
                    Name = name,
                    Url = row.Text("url"),
                    Port = row.Small("port", 0),
                    Authenticator = row.Text("authenticator", 1024),
                    // NULL came from a migration and kept the Python site from sending; before that release there was no switch.
                    TransfersEnabled = row.Flag("transfers_enabled", !source.Has("librarians", "transfers_enabled")),
                    LastSeen = row.TimeOrNull("last_seen") ?? _now,
                    LastHeard = row.TimeOrNull("last_heard") ?? _now,
                });
            },
            rows => { var names = rows.Select(l => l.Name).ToList(); return _db.Librarians.Where(l => EF.Parameter(names).Contains(l.Name)).ToListAsync(cancellationToken); },
            librarian => librarian.Name, nameof(PeerLibrarian.Id)), cancellationToken);
        _librarianNames = [.. await _db.Librarians.Select(l => l.Name).ToListAsync(cancellationToken)];
    }

    private Task AdoptFilesAsync(CancellationToken cancellationToken) => AdoptAsync(new Kind<FileRecord>("files",
        $"SELECT {source.Columns("files", "f", "name", "create_time", "size", "checksum", "uploader", "source")} FROM files f ORDER BY f.name{(source.Kind == DatabaseKind.PostgreSql ? " COLLATE \"C\"" : "")}",
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
            if (Unservable(file.Name) is { } why) candidate.Skip(why);
            if (file.Size < 0) candidate.Skip("size is negative");
            if (created is null) candidate.Remark(AdoptEffect.Noted, "it has no create_time, which becomes 1970-01-01");
            return candidate;
        },
        rows => { var names = rows.Select(f => f.Name).ToList(); return _db.Files.Where(f => EF.Parameter(names).Contains(f.Name)).ToListAsync(cancellationToken); },
        file => file.Name, nameof(FileRecord.Size), nameof(FileRecord.Checksum)), cancellationToken);

    private Task AdoptInstancesAsync(CancellationToken cancellationToken) => AdoptAsync(new Kind<Instance>("instances",
        // Of several rows for one file on one store the catalog holds one: the oldest that is said to be there.
        $"""
        SELECT {source.Columns("instances", "i", "id", "path", "file_name", "store_id", "deletion_policy:text", "created_time", "available", "calculated_checksum", "calculated_size", "checksum_time")},
          FIRST_VALUE(i.id) OVER (PARTITION BY i.file_name, i.store_id ORDER BY {source.Column("instances", "i", "available")} DESC, i.id) AS keeper
        FROM instances i ORDER BY i.id
        """,
        row =>
        {
            var (file, store) = (row.TextOrNull("file_name", int.MaxValue), row.NumberOrNull("store_id"));
            var copy = new Instance
            {
                Id = row.Number("id"),
                Path = row.Text("path", 4096),
                FileName = file ?? "",
                StoreId = store ?? 0,
                DeletionPolicy = row.Member<DeletionPolicy>("deletion_policy", DeletionPolicy.Disallowed),
                CreatedTime = row.TimeOrNull("created_time") ?? DateTime.UnixEpoch,
                Available = row.Flag("available", !source.Has("instances", "available")),
                CalculatedChecksum = row.TextOrNull("calculated_checksum"),
                CalculatedSize = row.NumberOrNull("calculated_size"),
                ChecksumTime = row.TimeOrNull("checksum_time"),
            };
            var candidate = new Candidate<Instance>($"{copy.Id} {copy.Path}", copy);
            if (file is null) candidate.Skip("it names no file");
            else if (Unservable(file) is not null) candidate.Skip("the name of its file cannot be served, see files");
            if (store is null) candidate.Skip("it names no store");
            else if (!_adoptedStores.TryGetValue(store.Value, out var known)) candidate.Skip(LeftBehind(store.Value));
            else if (!IsBelow(copy.Path, known.Settings!.StorePath))
                candidate.Remark(AdoptEffect.Noted, $"its path is not below the StorePath of store '{known.Name}', so it is neither read nor sent until one of them is corrected");
            if (row.Number("keeper") is var keeper && keeper != copy.Id) candidate.Fold("the same file on the same store as another instance", $"instance {keeper}");
            return candidate;
        },
        rows => { var ids = rows.Select(i => i.Id).ToList(); return _db.Instances.Where(i => EF.Parameter(ids).Contains(i.Id)).ToListAsync(cancellationToken); },
        copy => copy.Id, nameof(Instance.FileName), nameof(Instance.StoreId))
    {
        Prepare = async chunk =>
        {
            var names = chunk.Select(c => c.Row.FileName).Distinct(StringComparer.Ordinal).ToList();
            var files = await _db.Files.Where(f => EF.Parameter(names).Contains(f.Name)).ToDictionaryAsync(f => f.Name, f => f.Size, cancellationToken);
            var copies = await CopiesAsync(names, cancellationToken);
            foreach (var candidate in chunk)
            {
                if (!files.ContainsKey(candidate.Row.FileName)) candidate.Skip(NotInCatalog);
                else if (copies.TryGetValue((candidate.Row.FileName, candidate.Row.StoreId), out var id) && id != candidate.Row.Id) candidate.IsThere("the catalog has this copy under another id", $"{id}");
            }

            if (request.CheckDisk) await LookAtDiskAsync(chunk, files, cancellationToken);
        },
    }, cancellationToken);

    private Task AdoptRemoteInstancesAsync(CancellationToken cancellationToken) => AdoptAsync(new Kind<RemoteInstance>("remote_instances",
        // Completing a transfer twice made two rows (wire.md quirk 22); the first one stays.
        $"""
        SELECT {source.Columns("remote_instances", "r", "id", "file_name", "store_id", "librarian_id", "copy_time", "sender")},
          FIRST_VALUE(r.id) OVER (PARTITION BY r.file_name, r.librarian_id, r.store_id ORDER BY r.copy_time, r.id) AS keeper
        FROM remote_instances r ORDER BY r.id
        """,
        row =>
        {
            var (file, store, librarian) = (row.TextOrNull("file_name", int.MaxValue), row.NumberOrNull("store_id"), row.NumberOrNull("librarian_id"));
            var copy = new RemoteInstance
            {
                Id = row.Number("id"),
                FileName = file ?? "",
                StoreId = store ?? 0,
                LibrarianId = librarian is { } old && _librarians.TryGetValue(old, out var known) ? known : 0,
                CopyTime = row.Time("copy_time"),
                Sender = row.TextOrNull("sender") ?? options.Name,
            };
            var candidate = new Candidate<RemoteInstance>($"{copy.Id} {file}", copy);
            if (file is null) candidate.Skip("it names no file");
            else if (Unservable(file) is not null) candidate.Skip("the name of its file cannot be served, see files");
            if (store is null) candidate.Skip("it names no store");
            if (copy.LibrarianId == 0) candidate.Skip("its librarian is not registered any more");
            if (row.Number("keeper") is var keeper && keeper != copy.Id) candidate.Fold("the same file on the same store of the same librarian as another remote instance", $"remote instance {keeper}");
            return candidate;
        },
        rows => { var ids = rows.Select(r => r.Id).ToList(); return _db.RemoteInstances.Where(r => EF.Parameter(ids).Contains(r.Id)).ToListAsync(cancellationToken); },
        copy => copy.Id, nameof(RemoteInstance.FileName), nameof(RemoteInstance.LibrarianId), nameof(RemoteInstance.StoreId))
    {
        Prepare = async chunk =>
        {
            var names = chunk.Select(c => c.Row.FileName).Distinct(StringComparer.Ordinal).ToList();
            var files = await KnownFilesAsync(names, cancellationToken);
            var copies = (await _db.RemoteInstances.Where(r => EF.Parameter(names).Contains(r.FileName)).ToListAsync(cancellationToken)).ToDictionary(r => (r.FileName, r.LibrarianId, r.StoreId), r => r.Id);
            foreach (var candidate in chunk)
            {
                if (!files.Contains(candidate.Row.FileName)) candidate.Skip(NotInCatalog);
                else if (copies.TryGetValue((candidate.Row.FileName, candidate.Row.LibrarianId, candidate.Row.StoreId), out var id) && id != candidate.Row.Id) candidate.IsThere("the catalog has this copy under another id", $"{id}");
            }
        },
    }, cancellationToken);

    private async Task<HashSet<string>> KnownFilesAsync(List<string> names, CancellationToken cancellationToken) =>
        (await _db.Files.Where(f => EF.Parameter(names).Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken)).ToHashSet(StringComparer.Ordinal);

    /// <summary>Ids of the catalog's copies of these files by file and store; an adopted copy may stand for several of the source.</summary>
    private async Task<Dictionary<(string File, long Store), long>> CopiesAsync(List<string> names, CancellationToken cancellationToken) =>
        (await _db.Instances.Where(i => EF.Parameter(names).Contains(i.FileName)).Select(i => new { i.Id, i.FileName, i.StoreId }).ToListAsync(cancellationToken))
        .ToDictionary(i => (i.FileName, i.StoreId), i => i.Id);

    private string LeftBehind(long store) =>
        _stores.Find(s => s.Id == store) is { } known ? $"its store '{known.Name}' is left behind" : $"its store {store} is not in the source";

    private static bool IsBelow(string path, string root) => path.StartsWith(root.TrimEnd('/') + "/", StringComparison.Ordinal);
}
