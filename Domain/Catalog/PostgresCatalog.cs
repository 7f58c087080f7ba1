using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Catalog;

/// <summary>The catalog on PostgreSQL, for production and for several workers.</summary>
public sealed class PostgresCatalog(DbContextOptions<PostgresCatalog> options) : CatalogContext(options);
