using System.Net;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores.Posix;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.TransferManagers;

/// <summary>Copies to a path on a file system that this host shares with the destination (wire.md §5.1, §5.3).</summary>
public sealed class LocalTransferManager(IOptions<SiteOptions> options)
{
    private const uint SharedDirectory = 0x1fd;

    /// <summary>Host names whose file systems are this site's own.</summary>
    public IReadOnlyList<string> Hostnames => options.Value.LocalHostnames.Count > 0 ? options.Value.LocalHostnames : [Dns.GetHostName()];

    /// <summary>Whether a provider that names these hosts can be used from here; compared exactly, as upstream does.</summary>
    public bool IsUsable(IReadOnlyList<string> hostnames) => Hostnames.Any(h => hostnames.Contains(h, StringComparer.Ordinal));

    /// <summary>
    /// Whether a location that a neighbour named may be written with our rights: below one of the configured roots, and
    /// without a step that climbs out of it (upstream W46). Links are met when it is written.
    /// </summary>
    public static bool IsAllowed(string location, IReadOnlyList<string> roots)
    {
        ArgumentNullException.ThrowIfNull(location);
        ArgumentNullException.ThrowIfNull(roots);
        if (!location.StartsWith('/') || location.EndsWith('/') || location.Split('/').Any(c => c is ".." or ".")) return false;
        return roots.Any(root => location.StartsWith(root.TrimEnd('/') + "/", StringComparison.Ordinal));
    }

    /// <summary>
    /// Copies a file or directory to a place that a neighbour named, so that <paramref name="destination"/> appears only when every byte is
    /// on disk. A destination that is there already was completed by an earlier attempt and is left alone; the receiver verifies it in any case.
    /// </summary>
    /// <remarks>
    /// Below the root no link is followed: the neighbour writes there as well, and a link would lead our copy, with our rights, anywhere
    /// (upstream W46). Parents inside the staging directory are made when the neighbour has not (the original makes none, W31); the staging
    /// directory itself is not, for one that is gone was given up. A crash leaves a <c>.part-</c> entry, which goes with the staging directory.
    /// </remarks>
    /// <param name="source">What to copy.</param>
    /// <param name="destination">Absolute path that the neighbour named.</param>
    /// <param name="uploadName">The part of it that lies in the neighbour's staging directory.</param>
    /// <param name="roots">Where the neighbour may name places.</param>
    /// <param name="cancellationToken">Stops at the next buffer.</param>
    /// <returns>Null on success, otherwise what went wrong and what was not lost.</returns>
    public static async Task<string?> CopyAsync(string source, string destination, string uploadName, IReadOnlyList<string> roots, CancellationToken cancellationToken)
    {
        if (!IsAllowed(destination, roots)) return $"{destination} lies outside Site:Peers:LocalRoots. The local copy is untouched.";
        var root = roots.First(r => destination.StartsWith(r.TrimEnd('/') + "/", StringComparison.Ordinal)).TrimEnd('/');
        try
        {
            using var parent = await BlockingWork.RunAsync(() => OpenParent(root, destination, uploadName), cancellationToken);
            return parent is null
                ? $"The staging place {destination} has no parent directory: the destination has given the transfer up. The local copy is untouched."
                : await CopyAsync(source, parent, new EntryName(destination[(destination.LastIndexOf('/') + 1)..]), cancellationToken);
        }
        catch (PosixException e)
        {
            return $"{source} could not be copied to {destination}: {e.Message} The local copy is untouched.";
        }
    }

    private static async Task<string?> CopyAsync(string source, PosixDirectory parent, EntryName name, CancellationToken cancellationToken)
    {
        if (parent.Status(name) is not null) return null;
        var part = new EntryName($".part-{Guid.NewGuid():N}");
        try
        {
            var copied = await DigestingCopy.CopyIntoAsync(source, parent, part, [ChecksumAlgorithm.Xxh3], new CopyOptions { GroupWritable = true, MaxParallelism = 2 }, cancellationToken);
            if (!copied.IsComplete) return $"{source} could not be copied: {copied.Message} The local copy is untouched.";
            Reveal(parent, part, name);
            return null;
        }
        finally
        {
            TreeRemoval.Remove(parent, part, CancellationToken.None);
        }
    }

    /// <summary>Another attempt may have completed the same place meanwhile; ours is then superfluous.</summary>
    private static void Reveal(PosixDirectory parent, EntryName part, EntryName name)
    {
        try
        {
            parent.RenameWithoutReplacing(part, parent, name);
        }
        catch (PosixException e) when (e.Errno is Errno.Exists)
        {
        }
        catch (PosixException e) when (e.Errno is Errno.Invalid or Errno.NotImplemented or Errno.NotSupported)
        {
            // Old network file systems. What could come between holds the same bytes, and the receiver verifies them.
            if (parent.Status(name) is null) parent.Rename(part, parent, name);
        }
    }

    private static PosixDirectory? OpenParent(string root, string destination, string uploadName)
    {
        var components = destination[root.Length..].Split('/', StringSplitOptions.RemoveEmptyEntries)[..^1];
        var inside = destination.EndsWith("/" + uploadName, StringComparison.Ordinal) ? components.Length - uploadName.Count(c => c == '/') : components.Length;
        var current = PosixDirectory.TryOpen(root);
        for (var i = 0; i < components.Length && current is not null; i++)
        {
            using var above = current;
            var name = new EntryName(components[i]);
            var made = i >= inside && above.MakeDirectory(name, SharedDirectory);
            current = above.TryOpenDirectory(name);
            // Set after creation, because the umask usually denies the group; a set-group-id bit inherited from above stays.
            if (made) current?.SetPermissions((current.Status().Permissions & 0xe00) | SharedDirectory);
        }

        return current;
    }
}
