namespace Librarian.Domain.Catalog.Migrations;

/// <summary>
/// SQL that makes the paths of copies relative to their stores, and back. A store's directory is in <c>store_metadata.store_data</c>, a
/// drive's is its mount path. A path outside its store's directory stays as it is, because nothing says where the copy belongs.
/// </summary>
internal static class CopyPaths
{
    internal const string BecomeRelativeOnSqlite = $"""
        UPDATE instances SET path = ltrim(substr(path, length(r.root) + 2), '/') FROM ({RootsOnSqlite}) AS r
        WHERE r.id = instances.store_id AND substr(path, 1, length(r.root) + 1) = r.root || '/' AND ltrim(substr(path, length(r.root) + 2), '/') <> '';
        """;

    internal const string BecomeAbsoluteOnSqlite = $"""
        UPDATE instances SET path = r.root || '/' || path FROM ({RootsOnSqlite}) AS r WHERE r.id = instances.store_id AND substr(path, 1, 1) <> '/';
        """;

    internal const string BecomeRelativeOnPostgres = $"""
        UPDATE instances SET path = ltrim(substr(path, length(r.root) + 2), '/') FROM ({RootsOnPostgres}) AS r
        WHERE r.id = instances.store_id AND substr(path, 1, length(r.root) + 1) = r.root || '/' AND ltrim(substr(path, length(r.root) + 2), '/') <> '';
        """;

    internal const string BecomeAbsoluteOnPostgres = $"""
        UPDATE instances SET path = r.root || '/' || path FROM ({RootsOnPostgres}) AS r WHERE r.id = instances.store_id AND substr(path, 1, 1) <> '/';
        """;

    private const string RootsOnSqlite = """
        SELECT s.id, rtrim(COALESCE((SELECT rtrim(d.mount_path, '/') || '/data' FROM drives d WHERE d.store_id = s.id),
          CASE WHEN json_valid(s.store_data) THEN json_extract(s.store_data, '$.store_path') END), '/') AS root
        FROM store_metadata s
        """;

    private const string RootsOnPostgres = """
        SELECT s.id, rtrim(COALESCE((SELECT rtrim(d.mount_path, '/') || '/data' FROM drives d WHERE d.store_id = s.id),
          s.store_data::jsonb ->> 'store_path'), '/') AS root
        FROM store_metadata s
        """;
}
