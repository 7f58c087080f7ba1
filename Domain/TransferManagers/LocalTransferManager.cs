using System.Net;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.TransferManagers;

/// <summary>Copies to a path on a file system that this host shares with the destination (wire.md §5.1, §5.3).</summary>
public sealed class LocalTransferManager(IOptions<SiteOptions> options)
{
    private const UnixFileMode DirectoryMode = (UnixFileMode)0b111_111_101;

    /// <summary>Host names whose file systems are this site's own.</summary>
    public IReadOnlyList<string> Hostnames => options.Value.LocalHostnames.Count > 0 ? options.Value.LocalHostnames : [Dns.GetHostName()];

    /// <summary>Whether a provider that names these hosts can be used from here; compared exactly, as upstream does.</summary>
    public bool IsUsable(IReadOnlyList<string> hostnames) => Hostnames.Any(h => hostnames.Contains(h, StringComparer.Ordinal));

    /// <summary>
    /// Whether a location that a neighbour named may be written with our rights: below one of the configured roots, and
    /// without a step that climbs out of it (upstream W46).
    /// </summary>
    public static bool IsAllowed(string location, IReadOnlyList<string> roots)
    {
        ArgumentNullException.ThrowIfNull(location);
        ArgumentNullException.ThrowIfNull(roots);
        if (!location.StartsWith('/') || location.Split('/').Any(c => c is ".." or ".")) return false;
        return roots.Any(root => location.StartsWith(root.TrimEnd('/') + "/", StringComparison.Ordinal));
    }

    /// <summary>
    /// Copies a file or directory so that <paramref name="destination"/> appears only when every byte is on disk. A destination
    /// that is there already was completed by an earlier attempt and is left alone; the receiver verifies it in any case.
    /// </summary>
    /// <param name="source">What to copy.</param>
    /// <param name="destination">Where the neighbour wants it.</param>
    /// <param name="name">
    /// The file's name. Where the destination ends with it, the staging directory is what comes before: an upstream neighbour makes only that, and
    /// the directories of the name below it are for the sender to make (wire.md §7.2).
    /// </param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Null on success, otherwise what went wrong and what was not lost.</returns>
    public static async Task<string?> CopyAsync(string source, string destination, string name, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(destination);
        if (Path.Exists(destination)) return null;
        var staging = destination.EndsWith("/" + name, StringComparison.Ordinal) ? destination[..^(name.Length + 1)] : Path.GetDirectoryName(destination);
        if (!Directory.Exists(staging))
            return $"The staging directory of {destination} does not exist: the destination has given the transfer up. The local copy is untouched.";
        var part = $"{destination}.part-{Guid.NewGuid():N}";
        try
        {
            MakeParents(staging, destination);
            var copied = await DigestingCopy.CopyAsync(source, part, [ChecksumAlgorithm.Xxh3], new CopyOptions { GroupWritable = true, MaxParallelism = 2 }, cancellationToken: cancellationToken);
            if (!copied.IsComplete) return $"{source} could not be copied: {copied.Message} The local copy is untouched.";
            if (copied.IsDirectory) Directory.Move(part, destination);
            else File.Move(part, destination, overwrite: false);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Another attempt may have completed the same place meanwhile; ours is then superfluous.
            return Path.Exists(destination) ? null : $"{source} could not be copied to {destination}: {e.Message} The local copy is untouched.";
        }
        finally
        {
            if (Directory.Exists(part)) Directory.Delete(part, recursive: true);
            else if (File.Exists(part)) File.Delete(part);
        }
    }

    private static void MakeParents(string staging, string destination)
    {
        for (var slash = destination.IndexOf('/', staging.Length + 1); slash > 0; slash = destination.IndexOf('/', slash + 1))
        {
            var directory = destination[..slash];
            if (Directory.Exists(directory)) continue;
            Directory.CreateDirectory(directory);
            // Whatever our umask: the destination's own account has to empty it.
            File.SetUnixFileMode(directory, DirectoryMode);
        }
    }
}
