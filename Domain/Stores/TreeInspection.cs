using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>Problem of an entry in a tree.</summary>
public enum TreeFinding
{
    /// <summary>
    /// A symbolic link whose target is outside the tree, or absolute, so that it would not survive the move into the store.
    /// </summary>
    EscapingSymlink,

    /// <summary>A symbolic link without a target, or in a cycle.</summary>
    BrokenSymlink,

    /// <summary>A device, pipe or socket.</summary>
    SpecialFile,

    /// <summary>The top of the tree is itself a symbolic link.</summary>
    TopSymlink,

    /// <summary>Directories nested deeper than any path can name.</summary>
    TooDeep,
}

/// <summary>
/// Whether the structure of data allows a commit: committed data must not depend on anything outside their own tree. Reads directories and
/// links, no contents.
/// </summary>
public sealed record TreeInspection
{
    private const int MaxFindings = 16;
    private const int MaxLinksFollowed = 40;
    private const int MaxDepth = 2048;

    private readonly List<(string Path, TreeFinding Finding)> _findings = [];

    /// <summary>True if there are no findings.</summary>
    public bool IsAcceptable => _findings.Count == 0;

    /// <summary>The first findings (at most 16), with the path of each.</summary>
    public IReadOnlyList<(string Path, TreeFinding Finding)> Findings => _findings;

    /// <summary>True if an entry belongs to another user than this process's, so that its mode cannot be changed.</summary>
    public bool HasForeignOwner { get; private set; }

    internal static TreeInspection Inspect(PosixDirectory parent, EntryName name, bool checkOwners, CancellationToken cancellationToken)
    {
        var inspection = new TreeInspection();
        if (parent.Status(name) is not { } status)
            return inspection;
        var user = Libc.EffectiveUserId();
        inspection.HasForeignOwner = status.User != user;
        switch (status.Type)
        {
            case EntryType.Symlink:
                inspection.Add(parent.PathOf(name), TreeFinding.TopSymlink);
                break;
            case EntryType.Special:
                inspection.Add(parent.PathOf(name), TreeFinding.SpecialFile);
                break;
            case EntryType.Directory:
                using (var top = parent.OpenDirectory(name))
                    inspection.Walk(top, checkOwners ? user : null, cancellationToken);
                break;
        }

        return inspection;
    }

    private void Walk(PosixDirectory top, uint? user, CancellationToken cancellationToken)
    {
        // Paths from the top, as components. Only the directory that is being read is open.
        var pending = new Stack<EntryName[]>();
        pending.Push([]);
        while (pending.TryPop(out var location))
        {
            using var directory = Reopen(top, location);
            using var stream = directory.OpenStream();
            while (_findings.Count < MaxFindings && stream.TryRead(out var entry))
            {
                cancellationToken.ThrowIfCancellationRequested();
                var type = entry.Type;
                if (type == EntryType.Unknown || user is not null)
                {
                    // The entry was removed after it was listed: somebody still changes the data, so the inspected data are not the data
                    // that will be committed.
                    var status = directory.Status(entry.Name)
                        ?? throw new PosixException(Errno.NoEntry, "status", directory.PathOf(entry.Name));
                    type = status.Type;
                    HasForeignOwner |= user is not null && status.User != user;
                }

                if (type == EntryType.Directory && location.Length == MaxDepth)
                    Add(directory.PathOf(entry.Name), TreeFinding.TooDeep);
                else if (type == EntryType.Directory)
                    pending.Push([.. location, entry.Name]);
                else if (type == EntryType.Special)
                    Add(directory.PathOf(entry.Name), TreeFinding.SpecialFile);
                else if (type == EntryType.Symlink && Resolve(top, location, entry.Name) is { } finding)
                    Add(directory.PathOf(entry.Name), finding);
            }
        }
    }

    private static PosixDirectory Reopen(PosixDirectory top, IEnumerable<EntryName> location)
    {
        var current = top.OpenDirectory(EntryName.Self);
        foreach (var component in location)
        {
            using var previous = current;
            current = previous.OpenDirectory(component);
        }

        return current;
    }

    /// <summary>
    /// Resolves a link step by step from the top, as the kernel would, but with the top as the limit. ".." after a linked directory goes to
    /// the parent of the link's target, which a check of the text alone gets wrong.
    /// </summary>
    private static TreeFinding? Resolve(PosixDirectory top, EntryName[] location, EntryName link)
    {
        var followed = 0;
        var resolved = new List<EntryName>(location);
        var remaining = new Stack<EntryName>();
        remaining.Push(link);
        while (remaining.TryPop(out var component))
        {
            if (component.Bytes.SequenceEqual(".."u8))
            {
                if (resolved.Count == 0)
                    return TreeFinding.EscapingSymlink;
                resolved.RemoveAt(resolved.Count - 1);
                continue;
            }

            FileStatus? status;
            EntryName target = default;
            try
            {
                using var directory = Reopen(top, resolved);
                status = directory.Status(component);
                if (status?.Type == EntryType.Symlink)
                    target = directory.ReadLink(component);
            }
            catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.NoEntry)
            {
                return TreeFinding.BrokenSymlink;
            }

            if (status is null)
                return TreeFinding.BrokenSymlink;
            if (status.Value.Type != EntryType.Symlink)
            {
                resolved.Add(component);
                continue;
            }

            if (++followed > MaxLinksFollowed)
                return TreeFinding.BrokenSymlink;
            if (target.Bytes.StartsWith("/"u8))
                return TreeFinding.EscapingSymlink;
            PushComponents(remaining, target);
        }

        return null;
    }

    private static void PushComponents(Stack<EntryName> remaining, EntryName target)
    {
        var components = new List<EntryName>();
        foreach (var range in target.Bytes.Split((byte)'/'))
        {
            var component = target.Bytes[range];
            if (component.Length > 0 && !component.SequenceEqual("."u8))
                components.Add(new EntryName(component));
        }

        for (var i = components.Count - 1; i >= 0; i--)
            remaining.Push(components[i]);
    }

    private void Add(string path, TreeFinding finding)
    {
        if (_findings.Count < MaxFindings)
            _findings.Add((path, finding));
    }
}
