using System.Collections.Frozen;

namespace Librarian.Domain.Drives;

/// <summary>
/// Recognises entries that macOS, Windows and fsck create on any medium. On a travelling drive they are not data, unless the manifest lists
/// them: then they were archived.
/// </summary>
public static class ForeignEntries
{
    private static readonly FrozenSet<string> s_names = FrozenSet.Create(
        StringComparer.OrdinalIgnoreCase,
        ".DS_Store",
        ".Spotlight-V100",
        ".Trashes",
        ".fseventsd",
        ".TemporaryItems",
        ".DocumentRevisions-V100",
        ".apdisk",
        ".VolumeIcon.icns",
        "System Volume Information",
        "$RECYCLE.BIN",
        "RECYCLER",
        "Thumbs.db",
        "desktop.ini",
        "lost+found"
    );

    /// <summary>
    /// Whether an operating system creates entries of this name. <c>._x</c> holds metadata of <c>x</c> that macOS cannot store on exFAT.
    /// </summary>
    public static bool IsForeignName(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return s_names.Contains(name) || name.StartsWith("._", StringComparison.Ordinal);
    }

    /// <summary>
    /// Adds a listed path with such a name, and the directories that contain it, to the set of paths that are data nevertheless.
    /// </summary>
    internal static void AddListed(HashSet<string> listed, string path)
    {
        if (!path.Split('/').Any(IsForeignName))
            return;
        for (var at = path.Length; at > 0; at = path.LastIndexOf('/', at - 1))
            listed.Add(path[..at]);
    }
}

/// <summary>Bounded list of the entries that were left out of a drive's files: there may be any number of them.</summary>
internal sealed class LeftOut
{
    private const int MaxListed = 10;

    private readonly Lock _gate = new();
    private readonly SortedSet<string> _first = new(StringComparer.Ordinal);

    internal long Count { get; private set; }

    internal void Add(string file, string path)
    {
        lock (_gate)
        {
            Count++;
            if (_first.Count < MaxListed)
                _first.Add($"{file}/{path}".Shown());
        }
    }

    public override string ToString() => string.Join(", ", _first) + (Count > _first.Count ? ", and more" : "");
}
