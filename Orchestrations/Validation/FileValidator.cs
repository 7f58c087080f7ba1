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

/// <summary>Reads every copy of a file in the network (wire.md §6.8).</summary>
/// <remarks>
/// The question carries the sites it has reached and those asked beside this one, so it neither goes round nor reaches a site on two ways
/// (upstream recurses without end, W33), and it goes at most <see cref="MaxHops"/> sites far. A neighbour without an answer is named as
/// unreachable: its silence does not mean that it has no copy.
/// </remarks>
public sealed class FileValidator(CatalogDatabase database, InstanceChecks checks, PeerDirectory directory, PeerConnections connections, IOptions<SiteOptions> options, ILogger<FileValidator> log)
{
    /// <summary>Longest way of a question.</summary>
    public const int MaxHops = 16;

    private static readonly TimeSpan PingWait = TimeSpan.FromSeconds(10);

    /// <summary>Asks the neighbours and reads the local copies at the same time; null when the file is unknown here.</summary>
    /// <param name="name">The file.</param>
    /// <param name="asked">Sites that the question has reached or will reach otherwise.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task<NetworkValidation?> ValidateAsync(string name, IReadOnlyList<string> asked, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(asked);
        List<string> neighbours;
        await using (var db = database.Open())
        {
            if (!await db.Files.AnyAsync(f => f.Name == name, cancellationToken)) return null;
            neighbours = await db.RemoteInstances.Where(r => r.FileName == name).Select(r => r.Librarian!.Name).Distinct().OrderBy(n => n).ToListAsync(cancellationToken);
        }

        var self = options.Value.Name;
        var ask = asked.Count >= MaxHops ? [] : neighbours.Where(n => n != self && !asked.Contains(n)).ToList();
        List<string> path = [.. asked.Append(self).Concat(ask).Distinct()];
        var unreachable = new ConcurrentBag<string>();
        var local = checks.CheckAsync(name, force: false, cancellationToken);
        var remote = await Task.WhenAll(ask.Select(async neighbour =>
        {
            var (answer, why) = await AskAsync(neighbour, name, path, cancellationToken);
            if (answer is null)
            {
                Logs.NeighbourSilent(log, neighbour, name, why);
                unreachable.Add(neighbour);
            }

            return answer;
        }));
        var copies = remote.OfType<NetworkValidation>().SelectMany(a => a.Copies).DistinctBy(c => (c.Librarian, c.Store, c.InstanceId)).ToList();
        if (await local is { } mine)
        {
            copies.AddRange(mine.Checks.Select(c => new FileValidation(self, c.Instance.StoreId, c.Instance.Id, mine.File.Checksum, mine.File.Size, c.Checksum, c.Size, c.Matches)));
        }

        return new NetworkValidation(copies, [.. unreachable.Concat(remote.OfType<NetworkValidation>().SelectMany(a => a.Unreachable)).Distinct().Order(StringComparer.Ordinal)]);
    }

    private async Task<(NetworkValidation? Answer, string Why)> AskAsync(string neighbour, string name, List<string> path, CancellationToken cancellationToken)
    {
        if (await directory.FindAsync(neighbour, cancellationToken) is not { } login || connections.For(login, PingWait) is not { } knock || connections.For(login, options.Value.ValidationTimeout) is not { } peer)
            return (null, "Its registration cannot be used.");
        var ping = await knock.Client.PingAsync(cancellationToken);
        if (!ping.IsSuccess) return (null, ping.Error.ToString()!);
        var reply = await peer.Client.ValidateFileAsync(new ValidateFileRequest(name), path, cancellationToken);
        if (reply.IsSuccess) return (reply.Value, "");
        // It answered, and it does not know the file: it has no copy, whatever our records say.
        return reply.Error is Client.Refused { Status: 400 } refused && refused.Reason == Reasons.FileUnknown ? (new NetworkValidation([], []), "") : (null, reply.Error.ToString()!);
    }
}
