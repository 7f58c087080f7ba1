namespace Librarian.Domain.Catalog;

/// <summary>A store of this site (table <c>store_metadata</c>); paths and flags come from the configuration at each start.</summary>
public sealed class StoreRecord
{
    /// <summary>Row id; peers know stores by it.</summary>
    public long Id { get; init; }

    /// <summary>Unique name.</summary>
    public required string Name { get; init; }

    /// <summary>May receive uploads and clones directly.</summary>
    public required bool Ingestable { get; set; }

    /// <summary>Switched on by the administrator.</summary>
    public required bool Enabled { get; set; }

    /// <summary>1 = local POSIX store (the only kind, docs/spec/upstream.md#store-types).</summary>
    public int StoreType { get; init; } = 1;

    /// <summary>The configured paths, as a JSON document, for people and dashboards that read the database.</summary>
    public string StoreData { get; set; } = "{}";
}
