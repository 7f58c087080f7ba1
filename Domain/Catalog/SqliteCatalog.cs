using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Catalog;

/// <summary>The catalog on SQLite, the embedded default.</summary>
public sealed class SqliteCatalog(DbContextOptions<SqliteCatalog> options) : CatalogContext(options);
