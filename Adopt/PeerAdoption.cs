using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts the peers. Other sites know a peer by its name, so its id may change.</summary>
internal sealed class PeerAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db, DateTime now)
{
    /// <summary>Ids of peers in this catalog by their ids in the source.</summary>
    private readonly Dictionary<long, long> _ids = [];
    private HashSet<string> _names = [];

    /// <summary>The id here of a peer of the source; 0 if it is not registered.</summary>
    public long IdOf(long? upstream) => upstream is { } id && _ids.TryGetValue(id, out var known) ? known : 0;

    public bool IsRegistered(string name) => _names.Contains(name);

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var there = await db.Peers.ToListAsync(cancellationToken);
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
        await tables.AdoptAsync(
            new Kind<Peer>(
                "librarians",
                $"SELECT {columns} FROM librarians l ORDER BY l.id",
                row =>
                {
                    var (id, name) = (row.Number("id"), row.Text("name"));
                    _ids[id] =
                        byName.TryGetValue(name, out var known) ? known
                        : taken.Contains(id) ? ++next
                        : id;
                    return new Candidate<Peer>(
                        name,
                        new Peer
                        {
                            Id = _ids[id],
                            Name = name,
                            Url = row.Text("url"),
                            Port = row.Small("port", 0),
                            Authenticator = row.Text("authenticator", 1024),
                            // NULL came from a migration and kept the Python site from sending; before that release there was no
                            // such switch.
                            TransfersEnabled = row.Flag("transfers_enabled", !source.Has("librarians", "transfers_enabled")),
                            LastSeen = row.TimeOrNull("last_seen") ?? now,
                            LastHeard = row.TimeOrNull("last_heard") ?? now,
                        }
                    );
                },
                rows =>
                {
                    var names = rows.Select(l => l.Name).ToList();
                    return db.Peers.Where(l => EF.Parameter(names).Contains(l.Name)).ToListAsync(cancellationToken);
                },
                peer => peer.Name,
                nameof(Peer.Id)
            ),
            cancellationToken
        );
        _names = [.. await db.Peers.Select(l => l.Name).ToListAsync(cancellationToken)];
    }
}
