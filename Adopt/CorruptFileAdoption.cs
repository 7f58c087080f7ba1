using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts the corrupt copies that the Python site had found.</summary>
internal sealed class CorruptFileAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db, DateTime now)
{
    private readonly CatalogLookups _lookups = new(db);

    public Task RunAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns(
            "corrupt_files",
            "c",
            "id",
            "file_name",
            "file_source",
            "instance_id",
            "instance_path",
            "corrupt_time",
            "size",
            "checksum",
            "replacement_requested",
            "incoming_transfer_id"
        );
        var count = source.Has("corrupt_files", "corrupt_count") ? "corrupt_count" : "count";
        var times = source.Column("corrupt_files", "c", count);
        return tables.AdoptAsync(
            new Kind<CorruptFile>(
                "corrupt_files",
                $"""
                SELECT {columns}, {times} AS times
                FROM corrupt_files c ORDER BY c.id
                """,
                Read,
                rows =>
                {
                    var ids = rows.Select(c => c.Id).ToList();
                    return db.CorruptFiles.Where(c => EF.Parameter(ids).Contains(c.Id)).ToListAsync(cancellationToken);
                },
                corrupt => corrupt.Id,
                nameof(CorruptFile.FileName),
                nameof(CorruptFile.CopyId)
            )
            {
                Prepare = chunk => PrepareAsync(chunk, cancellationToken),
            },
            cancellationToken
        );
    }

    private Candidate<CorruptFile> Read(UpstreamRow row)
    {
        var corrupt = new CorruptFile
        {
            Id = row.Number("id"),
            FileName = row.Text("file_name"),
            FileSource = row.TextOrNull("file_source") ?? "",
            CopyId = row.Number("instance_id"),
            CopyPath = row.Text("instance_path", 4096),
            CorruptTime = row.TimeOrNull("corrupt_time") ?? now,
            Size = row.NumberOrNull("size") ?? 0,
            Checksum = row.TextOrNull("checksum") ?? "",
            Count = row.Small("times", 1),
            ReplacementRequested = row.Flag("replacement_requested", false),
            IncomingTransferId = row.NumberOrNull("incoming_transfer_id"),
        };
        return new Candidate<CorruptFile>($"{corrupt.Id} {corrupt.FileName} of {corrupt.FileSource}", corrupt);
    }

    private async Task PrepareAsync(IReadOnlyList<Candidate<CorruptFile>> chunk, CancellationToken cancellationToken)
    {
        var known = await _lookups.KnownFilesAsync(
            [.. chunk.Select(c => c.Row.FileName).Distinct(StringComparer.Ordinal)],
            cancellationToken
        );
        foreach (var candidate in chunk.Where(c => !known.Contains(c.Row.FileName)))
            candidate.Remark(
                AdoptEffect.Noted,
                "the Python site deleted the file before it asked for a replacement (W8); unless a transfer brings it, "
                    + "ask its source to send it again"
            );
    }
}
