using Librarian.Domain.Configuration;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>Whether and how a directory becomes a store that is new to the catalog.</summary>
/// <param name="StoreId">Its identity; null if it is refused.</param>
/// <param name="TakenOver">Whether it had that identity already.</param>
/// <param name="Refusal">Why it is refused.</param>
public readonly record struct StoreClaim(Guid? StoreId, bool TakenOver, string? Refusal)
{
    private const string Unchanged = "Nothing was lost and nothing was changed.";

    /// <summary>
    /// Creates the directories of a store and gives it an identity, or takes over the existing one, if the catalog was lost or is older
    /// than the store. A crash before the catalog knows the store leaves an identity, which the next start takes over.
    /// </summary>
    /// <param name="configured">The store.</param>
    /// <param name="site">This site's name.</param>
    /// <param name="nameOf">Returns the name under which the catalog knows an identity.</param>
    public static StoreClaim Make(StoreOptions configured, string site, Func<Guid, string?> nameOf)
    {
        ArgumentNullException.ThrowIfNull(configured);
        ArgumentNullException.ThrowIfNull(nameOf);
        try
        {
            if (Examine(configured, site, nameOf) is { } there)
            {
                if (there.Refusal is null)
                    MakeDurably(configured.StagingPath);
                return there;
            }

            MakeDurably(configured.StagingPath);
            MakeDurably(configured.StorePath);
            var made = Guid.NewGuid();
            using (var root = PosixDirectory.Open(configured.StorePath))
            {
                if (new StoreIdentity(made, site, configured.Name).Write(root, replace: false))
                    return new StoreClaim(made, TakenOver: false, null);
            }

            // Another process of this site, or another site, has created an identity meanwhile.
            return Examine(configured, site, nameOf)
                ?? throw new IOException($"{configured.StorePath} loses its identity file while it is made.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new StoreClaim(
                null,
                false,
                $"Store '{configured.Name}' cannot be made: {e.Message}. {Unchanged} "
                    + $"Let the account of the site write to {configured.StagingPath} and {configured.StorePath}, "
                    + "or correct the paths in Site:Stores."
            );
        }
    }

    /// <summary>
    /// What the identity at a store's path means for a catalog that does not know the store; null if there is no identity.
    /// </summary>
    internal static StoreClaim? Examine(StoreOptions configured, string site, Func<Guid, string?> nameOf)
    {
        using var root = PosixDirectory.TryOpen(configured.StorePath);
        if (root is null)
            return null;
        var found = StoreIdentity.Read(root, null, out _, out var problem);
        var (name, path) = (configured.Name, configured.StorePath);
        if (found is null)
        {
            return problem is null
                ? null
                : new StoreClaim(
                    null,
                    false,
                    $"{path}/{StoreIdentity.MarkerFileName} does not say which store this is: {problem}. {Unchanged} "
                        + $"Store '{name}' is new here: put the right file back, or give it another directory in Site:Stores."
                );
        }

        if (found.Site is not null && found.Site != site)
        {
            return new StoreClaim(
                null,
                false,
                $"{path} is store '{found.Store}' of site '{found.Site}' ({found.StoreId:D}). {Unchanged} "
                    + $"Two sites cannot share a store: give store '{name}' another directory in Site:Stores. "
                    + $"If that site is gone for good and this one shall have its files, delete {path}/{StoreIdentity.MarkerFileName} "
                    + "and catalogue them with admin/add_file."
            );
        }

        if (nameOf(found.StoreId) is { } known)
            return new StoreClaim(
                null,
                false,
                $"{path} is this site's store '{known}' ({found.StoreId:D}), and is configured as '{name}'. {Unchanged} "
                    + "A store keeps its name: correct the Name or the StorePath in Site:Stores."
            );
        return new StoreClaim(found.StoreId, TakenOver: true, null);
    }

    /// <summary>Creates a directory and its parents; all of their names are on disk afterwards.</summary>
    private static void MakeDurably(string path)
    {
        var made = new Stack<string>();
        for (var at = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)); at is not null; at = Path.GetDirectoryName(at))
        {
            made.Push(at);
            if (Directory.Exists(at))
                break;
        }

        // The first directory exists, but an interrupted start may have created it without flushing.
        foreach (var directory in made)
        {
            Directory.CreateDirectory(directory);
            if (Path.GetDirectoryName(directory) is not { } above)
                continue;
            try
            {
                using var parent = PosixDirectory.Open(above);
                parent.Sync();
            }
            catch (PosixException e) when (e.Errno is Errno.AccessDenied)
            {
                // This process may not list the directory, so it has created nothing in it.
            }
        }
    }
}
