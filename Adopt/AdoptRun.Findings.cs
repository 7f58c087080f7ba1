using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <content>Corrupt copies and errors that the Python site had found.</content>
internal sealed partial class AdoptRun
{
    private Task AdoptCorruptAsync(CancellationToken cancellationToken)
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
        return AdoptAsync(
            new Kind<CorruptFile>(
                "corrupt_files",
                $"""
                SELECT {columns}, {times} AS times
                FROM corrupt_files c ORDER BY c.id
                """,
                row =>
                {
                    var corrupt = new CorruptFile
                    {
                        Id = row.Number("id"),
                        FileName = row.Text("file_name"),
                        FileSource = row.TextOrNull("file_source") ?? "",
                        CopyId = row.Number("instance_id"),
                        CopyPath = row.Text("instance_path", 4096),
                        CorruptTime = row.TimeOrNull("corrupt_time") ?? _now,
                        Size = row.NumberOrNull("size") ?? 0,
                        Checksum = row.TextOrNull("checksum") ?? "",
                        Count = row.Small("times", 1),
                        ReplacementRequested = row.Flag("replacement_requested", false),
                        IncomingTransferId = row.NumberOrNull("incoming_transfer_id"),
                    };
                    return new Candidate<CorruptFile>($"{corrupt.Id} {corrupt.FileName} of {corrupt.FileSource}", corrupt);
                },
                rows =>
                {
                    var ids = rows.Select(c => c.Id).ToList();
                    return _db.CorruptFiles.Where(c => EF.Parameter(ids).Contains(c.Id)).ToListAsync(cancellationToken);
                },
                corrupt => corrupt.Id,
                nameof(CorruptFile.FileName),
                nameof(CorruptFile.CopyId)
            )
            {
                Prepare = async chunk =>
                {
                    var known = await KnownFilesAsync(
                        [.. chunk.Select(c => c.Row.FileName).Distinct(StringComparer.Ordinal)],
                        cancellationToken
                    );
                    foreach (var candidate in chunk.Where(c => !known.Contains(c.Row.FileName)))
                        candidate.Remark(
                            AdoptEffect.Noted,
                            "the Python site deleted the file before it asked for a replacement (W8); unless a transfer brings it, "
                                + "ask its source to send it again"
                        );
                },
            },
            cancellationToken
        );
    }

    private Task AdoptErrorsAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns(
            "errors",
            "e",
            "id",
            "severity:text",
            "category:text",
            "message",
            "raised_time",
            "cleared_time",
            "cleared",
            "caller"
        );
        return AdoptAsync(
            new Kind<ErrorRecord>(
                "errors",
                $"SELECT {columns} FROM errors e ORDER BY e.id",
                row =>
                {
                    var error = new ErrorRecord
                    {
                        Id = row.Number("id"),
                        Severity = row.Member<ErrorSeverity>("severity", ErrorSeverity.Error),
                        Category = row.Member<ErrorCategory>("category", ErrorCategory.Programming),
                        Message = row.TextOrNull("message", int.MaxValue) ?? "",
                        RaisedTime = row.TimeOrNull("raised_time") ?? _now,
                        ClearedTime = row.TimeOrNull("cleared_time"),
                        Cleared = row.Flag("cleared", false),
                        Caller = row.TextOrNull("caller"),
                    };
                    return new Candidate<ErrorRecord>($"{error.Id}", error);
                },
                rows =>
                {
                    var ids = rows.Select(e => e.Id).ToList();
                    return _db.Errors.Where(e => EF.Parameter(ids).Contains(e.Id)).ToListAsync(cancellationToken);
                },
                error => error.Id,
                nameof(ErrorRecord.Category),
                nameof(ErrorRecord.Message)
            ),
            cancellationToken
        );
    }
}
