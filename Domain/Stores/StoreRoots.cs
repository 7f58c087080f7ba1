namespace Librarian.Domain.Stores;

/// <summary>
/// Present locations of this site's stores. The catalog records a copy's path inside its store (<c>instances.path</c>, in the normal form
/// of <see cref="FileName"/>); the wire and people use its absolute path.
/// </summary>
public sealed class StoreRoots
{
    private readonly Dictionary<long, string> _roots;

    /// <param name="roots">Absolute store roots by store id.</param>
    public StoreRoots(IEnumerable<KeyValuePair<long, string>> roots)
    {
        _roots = roots.ToDictionary(r => r.Key, r => r.Value.TrimEnd('/'));
    }

    /// <summary>Absolute path of a copy.</summary>
    /// <param name="storeId">The copy's store.</param>
    /// <param name="path">
    /// The copy's path in the catalog. An absolute path, which an older release recorded for data below no store, is returned unchanged.
    /// </param>
    public string Locate(long storeId, string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return IsAbsolute(path) || !_roots.TryGetValue(storeId, out var root) ? path : $"{root}/{path}";
    }

    /// <summary>The possible catalog paths of a copy at an absolute path, by store; none if it is below no store.</summary>
    public IEnumerable<(long StoreId, string Path)> Find(string absolute)
    {
        ArgumentNullException.ThrowIfNull(absolute);
        return from root in _roots where IsBelow(absolute, root.Value) select (root.Key, absolute[(root.Value.Length + 1)..]);
    }

    /// <summary>Whether a catalog path is absolute, and therefore below no store.</summary>
    public static bool IsAbsolute(string path) => path is ['/', ..];

    /// <summary>The part of an absolute path inside a store; null if it is not below the store root.</summary>
    public static string? Inside(string root, string absolute)
    {
        ArgumentNullException.ThrowIfNull(root);
        ArgumentNullException.ThrowIfNull(absolute);
        var trimmed = root.TrimEnd('/');
        return IsBelow(absolute, trimmed) ? absolute[(trimmed.Length + 1)..] : null;
    }

    private static bool IsBelow(string absolute, string root) =>
        absolute.Length > root.Length + 1 && absolute[root.Length] == '/' && absolute.StartsWith(root, StringComparison.Ordinal);
}
