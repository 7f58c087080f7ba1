using System.Net;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Posix;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.TransferManagers;

/// <summary>How a copy into a peer's staging ended.</summary>
public enum SendingStatus
{
    /// <summary>The catalogued bytes are at the destination, on disk.</summary>
    Copied,

    /// <summary>
    /// The source is missing or differs from the catalog. Nothing was left at the destination. Verify the local copy before it is reported
    /// corrupt.
    /// </summary>
    SourceDiffers,

    /// <summary>The destination does not accept it, or a disk failed; the local copy is not affected.</summary>
    Failed,
}

/// <summary>Result of <see cref="LocalTransferManager.CopyAsync"/>.</summary>
/// <param name="Status">How it ended.</param>
/// <param name="Message">For people: what went wrong, and what was not lost.</param>
public sealed record SendingResult(SendingStatus Status, string Message = "");

/// <summary>
/// Copies to a path on a file system that this host shares with the destination (docs/spec/wire.md#synchronous-providers,
/// docs/spec/wire.md#first-provider).
/// </summary>
public sealed class LocalTransferManager(IOptions<SiteOptions> options)
{
    private const uint SharedDirectory = 0x1fd;

    /// <summary>Host names that share this site's file systems.</summary>
    public IReadOnlyList<string> Hostnames => options.Value.LocalHostnames.Count > 0 ? options.Value.LocalHostnames : [Dns.GetHostName()];

    /// <summary>Whether this site can use a provider with these host names; compared exactly, as upstream does.</summary>
    public bool IsUsable(IReadOnlyList<string> hostnames) => Hostnames.Any(h => hostnames.Contains(h, StringComparer.Ordinal));

    /// <summary>
    /// Whether a location that a peer named may be written with this site's rights: it lies below a configured root and no component leads
    /// out of it (upstream weakness W46). Links are checked when the location is written.
    /// </summary>
    public static bool IsAllowed(string location, IReadOnlyList<string> roots)
    {
        ArgumentNullException.ThrowIfNull(location);
        ArgumentNullException.ThrowIfNull(roots);
        if (!location.StartsWith('/') || location.EndsWith('/') || location.Split('/').Any(c => c is ".." or "."))
            return false;
        return roots.Any(root => location.StartsWith(root.TrimEnd('/') + "/", StringComparison.Ordinal));
    }

    /// <summary>
    /// Copies a file or directory to a location that a peer named. <paramref name="destination"/> appears only when every byte is on disk
    /// and equals the catalog: the copy computes the file's own checksum on the way, which saves a second read. An existing destination was
    /// completed by an earlier attempt and is left alone; the receiver verifies it in any case.
    /// </summary>
    /// <remarks>
    /// Below the root no link is followed: the peer writes there too, and a link could lead this site's copy, with its rights, anywhere
    /// (upstream weakness W46). Missing parents inside the staging directory are created (upstream creates none: weakness W31). The staging
    /// directory itself is not created: if it is missing, the transfer was abandoned. A crash leaves a <c>.part-</c> entry, which is
    /// removed with the staging directory.
    /// </remarks>
    /// <param name="source">What to copy.</param>
    /// <param name="expected">What the catalog says about it.</param>
    /// <param name="destination">Absolute path that the peer named.</param>
    /// <param name="uploadName">The part of the path inside the peer's staging directory.</param>
    /// <param name="roots">Directories in which the peer may name locations.</param>
    /// <param name="cancellationToken">Stops at the next buffer.</param>
    public static async Task<SendingResult> CopyAsync(
        string source,
        ContentDescription expected,
        string destination,
        string uploadName,
        IReadOnlyList<string> roots,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(expected);
        if (!IsAllowed(destination, roots))
            return Failed($"{destination} lies outside Site:Peers:LocalRoots. The local copy is untouched.");
        var root = roots.First(r => destination.StartsWith(r.TrimEnd('/') + "/", StringComparison.Ordinal)).TrimEnd('/');
        try
        {
            using var parent = await BlockingWork.RunAsync(() => OpenParent(root, destination, uploadName), cancellationToken);
            return parent is null
                ? Failed(
                    $"The staging slot {destination} has no parent directory: the destination has abandoned the transfer. "
                        + "The local copy is untouched."
                )
                : await CopyIntoAsync(
                    source,
                    expected,
                    parent,
                    new EntryName(destination[(destination.LastIndexOf('/') + 1)..]),
                    cancellationToken
                );
        }
        catch (PosixException e)
        {
            return Failed($"{source} could not be copied to {destination}: {e.Message} The local copy is untouched.");
        }
    }

    private static SendingResult Failed(string message) => new(SendingStatus.Failed, message);

    private static async Task<SendingResult> CopyIntoAsync(
        string source,
        ContentDescription expected,
        PosixDirectory parent,
        EntryName name,
        CancellationToken cancellationToken
    )
    {
        if (parent.Status(name) is not null)
            return new SendingResult(SendingStatus.Copied);
        var part = new EntryName($".part-{Guid.NewGuid():N}");
        try
        {
            var copied = await DigestingCopy.CopyIntoAsync(
                source,
                parent,
                part,
                [expected.Checksum.Algorithm],
                new CopyOptions
                {
                    GroupWritable = true,
                    MaxParallelism = 2,
                    MaxBytes = expected.SizeBytes,
                },
                cancellationToken
            );
            if (copied.Matches(expected))
            {
                Reveal(parent, part, name);
                return new SendingResult(SendingStatus.Copied);
            }

            return copied switch
            {
                { IsComplete: true } => new SendingResult(
                    SendingStatus.SourceDiffers,
                    $"{source} was read as {copied.SizeBytes} bytes with {copied.Checksums[expected.Checksum.Algorithm]}; "
                        + $"the catalog says {expected.SizeBytes} bytes with {expected.Checksum}. Nothing of it was sent."
                ),
                { Status: DigestStatus.Missing or DigestStatus.Changed } => new SendingResult(
                    SendingStatus.SourceDiffers,
                    $"{source} is not what the catalog says: {copied.Message} Nothing of it was sent."
                ),
                _ => Failed($"{source} could not be copied: {copied.Message} The local copy is untouched."),
            };
        }
        finally
        {
            TreeRemoval.Remove(parent, part, CancellationToken.None);
        }
    }

    /// <summary>Another attempt may have completed the destination meanwhile; this copy is then superfluous.</summary>
    private static void Reveal(PosixDirectory parent, EntryName part, EntryName name)
    {
        try
        {
            parent.RenameWithoutReplacing(part, parent, name);
        }
        catch (PosixException e) when (e.Errno is Errno.Exists) { }
        catch (PosixException e) when (e.Errno is Errno.Invalid or Errno.NotImplemented or Errno.NotSupported)
        {
            // Old network file systems cannot rename without replacing. Whatever appears in between holds the same bytes, and the receiver
            // verifies them.
            if (parent.Status(name) is null)
                parent.Rename(part, parent, name);
        }
    }

    private static PosixDirectory? OpenParent(string root, string destination, string uploadName)
    {
        var components = destination[root.Length..].Split('/', StringSplitOptions.RemoveEmptyEntries)[..^1];
        var inside = destination.EndsWith("/" + uploadName, StringComparison.Ordinal)
            ? components.Length - uploadName.Count(c => c == '/')
            : components.Length;
        var current = PosixDirectory.TryOpen(root);
        for (var i = 0; i < components.Length && current is not null; i++)
        {
            using var above = current;
            var name = new EntryName(components[i]);
            var made = i >= inside && above.MakeDirectory(name, SharedDirectory);
            current = above.TryOpenDirectory(name);
            // Set after creation, because the umask usually denies the group; an inherited set-group-id bit stays.
            if (made)
                current?.SetPermissions((current.Status().Permissions & 0xe00) | SharedDirectory);
        }

        return current;
    }
}
