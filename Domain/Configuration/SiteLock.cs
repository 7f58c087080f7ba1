using Librarian.Domain.Catalog;
using Librarian.Domain.Security;

namespace Librarian.Domain.Configuration;

/// <summary>An embedded catalog serves one process: the process that works on it holds <c>site.lock</c> in the data directory.</summary>
public static class SiteLock
{
    /// <summary>
    /// Takes the lock before anything is changed; null on PostgreSQL, which needs none. The kernel releases it when the process ends.
    /// </summary>
    /// <exception cref="InvalidOperationException">Another process holds it.</exception>
    public static IDisposable? Take(DatabaseKind kind, SiteOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (kind != DatabaseKind.Sqlite)
            return null;
        var path = Path.Combine(options.DataDirectory, "site.lock");
        try
        {
            return PrivateFile.Lock(path);
        }
        catch (IOException e)
        {
            throw new InvalidOperationException(
                $"Another process holds {path}: a catalog on SQLite serves one process. Nothing was changed. "
                    + $"Stop the other one, or set Site:Database to a PostgreSQL server. ({e.Message})",
                e
            );
        }
    }
}
