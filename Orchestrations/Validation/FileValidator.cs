using System.Collections.Concurrent;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Files;
using Librarian.Domain.Peers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Validation;

/// <summary>Verifies every copy of a file in the network (docs/spec/wire.md#validate-file).</summary>
/// <remarks>
/// The request lists the sites that it has reached and those that are asked together with this one. So it neither travels in circles nor
/// reaches a site twice (upstream recurses without end: weakness W33). It passes at most <see cref="MaxHops"/> sites. A peer that does not
/// answer is listed as unreachable, because it may still hold a copy.
/// </remarks>
public sealed class FileValidator(
    CatalogDatabase database,
    CopyChecks checks,
    PeerDirectory directory,
    PeerConnections connections,
    IOptions<SiteOptions> options,
    ILogger<FileValidator> log
)
{
    /// <summary>Longest path of a request, in sites.</summary>
    public const int MaxHops = 16;

    private static readonly TimeSpan PingWait = TimeSpan.FromSeconds(10);

    /// <summary>Asks the peers and verifies the local copies at the same time. Returns null if the file is unknown here.</summary>
    /// <param name="name">The file.</param>
    /// <param name="asked">Sites that the request has reached or reaches by another path.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task<NetworkValidation?> ValidateAsync(string name, IReadOnlyList<string> asked, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(asked);
        if (await HoldersAsync(name, cancellationToken) is not { } peers)
            return null;
        var self = options.Value.Name;
        var ask = asked.Count >= MaxHops ? [] : peers.Where(n => n != self && !asked.Contains(n)).ToList();
        List<string> path = [.. asked.Append(self).Concat(ask).Distinct()];
        var unreachable = new ConcurrentBag<string>();
        var local = checks.CheckAsync(name, force: false, cancellationToken);
        var remote = await Task.WhenAll(
            ask.Select(async peer =>
            {
                var (answer, why) = await AskAsync(peer, name, path, cancellationToken);
                if (answer is null)
                {
                    Logs.PeerSilent(log, peer, name, why);
                    unreachable.Add(peer);
                }

                return answer;
            })
        );
        var copies = remote
            .OfType<NetworkValidation>()
            .SelectMany(a => a.Copies)
            .DistinctBy(c => (c.Librarian, c.Store, c.InstanceId))
            .ToList();
        if (await local is { } mine)
        {
            // A copy that cannot be read may still exist, so this site counts as unreachable.
            if (mine.Checks.Count < mine.File.Copies.Count(i => i.Available))
                unreachable.Add(self);
            copies.AddRange(Validations(mine, self));
        }

        return new NetworkValidation(
            copies,
            [
                .. unreachable
                    .Concat(remote.OfType<NetworkValidation>().SelectMany(a => a.Unreachable))
                    .Distinct()
                    .Order(StringComparer.Ordinal),
            ]
        );
    }

    /// <summary>Peers that hold a copy by this site's records; null if the file is unknown here.</summary>
    private async Task<List<string>?> HoldersAsync(string name, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        if (!await db.Files.AnyAsync(f => f.Name == name, cancellationToken))
            return null;
        return await db
            .RemoteCopies.Where(r => r.FileName == name)
            .Select(r => r.Peer!.Name)
            .Distinct()
            .OrderBy(n => n)
            .ToListAsync(cancellationToken);
    }

    private static IEnumerable<FileValidation> Validations((FileRecord File, IReadOnlyList<CopyCheck> Checks) mine, string self) =>
        mine.Checks.Select(c => new FileValidation(
            self,
            c.Copy.StoreId,
            c.Copy.Id,
            mine.File.Checksum,
            mine.File.Size,
            c.Checksum,
            c.Size,
            c.Matches
        ));

    private async Task<(NetworkValidation? Answer, string Why)> AskAsync(
        string peerName,
        string name,
        List<string> path,
        CancellationToken cancellationToken
    )
    {
        if (
            await directory.FindAsync(peerName, cancellationToken) is not { } login
            || connections.For(login, PingWait) is not { } knock
            || connections.For(login, options.Value.ValidationTimeout) is not { } peer
        )
            return (null, "Its registration cannot be used.");
        var ping = await knock.Client.PingAsync(cancellationToken);
        if (!ping.IsSuccess)
            return (null, ping.Error.ToString()!);
        var reply = await peer.Client.ValidateFileAsync(new ValidateFileRequest(name), path, cancellationToken);
        if (reply.IsSuccess)
            return (reply.Value, "");
        // The peer answered that it does not know the file, so it holds no copy, whatever this site's records say.
        return reply.Error is Client.Refused { Status: 400 } refused && refused.Reason == Reasons.FileUnknown
            ? (new NetworkValidation([], []), "")
            : (null, reply.Error.ToString()!);
    }
}
