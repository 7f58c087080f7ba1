using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts the files.</summary>
internal sealed class FileAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db)
{
    public Task RunAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns("files", "f", "name", "create_time", "size", "checksum", "uploader", "source");
        var collation = source.Kind == DatabaseKind.PostgreSql ? " COLLATE \"C\"" : "";
        return tables.AdoptAsync(
            new Kind<FileRecord>(
                "files",
                $"SELECT {columns} FROM files f ORDER BY f.name{collation}",
                row =>
                {
                    var created = row.TimeOrNull("create_time");
                    var file = new FileRecord
                    {
                        Name = row.Text("name", int.MaxValue),
                        CreateTime = created ?? DateTime.UnixEpoch,
                        Size = row.Number("size"),
                        Checksum = row.Text("checksum"),
                        Uploader = row.Text("uploader"),
                        Source = row.Text("source"),
                    };
                    var candidate = new Candidate<FileRecord>(file.Name, file);
                    if (UpstreamName.Unservable(file.Name) is { } why)
                        candidate.Skip(why);
                    if (file.Size < 0)
                        candidate.Skip("size is negative");
                    if (created is null)
                        candidate.Remark(AdoptEffect.Noted, "it has no create_time, which becomes 1970-01-01");
                    return candidate;
                },
                rows =>
                {
                    var names = rows.Select(f => f.Name).ToList();
                    return db.Files.Where(f => EF.Parameter(names).Contains(f.Name)).ToListAsync(cancellationToken);
                },
                file => file.Name,
                nameof(FileRecord.Size),
                nameof(FileRecord.Checksum)
            ),
            cancellationToken
        );
    }
}
