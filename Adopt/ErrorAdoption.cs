using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts the errors that the Python site had recorded.</summary>
internal sealed class ErrorAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db, DateTime now)
{
    public Task RunAsync(CancellationToken cancellationToken)
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
        return tables.AdoptAsync(
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
                        RaisedTime = row.TimeOrNull("raised_time") ?? now,
                        ClearedTime = row.TimeOrNull("cleared_time"),
                        Cleared = row.Flag("cleared", false),
                        Caller = row.TextOrNull("caller"),
                    };
                    return new Candidate<ErrorRecord>($"{error.Id}", error);
                },
                rows =>
                {
                    var ids = rows.Select(e => e.Id).ToList();
                    return db.Errors.Where(e => EF.Parameter(ids).Contains(e.Id)).ToListAsync(cancellationToken);
                },
                error => error.Id,
                nameof(ErrorRecord.Category),
                nameof(ErrorRecord.Message)
            ),
            cancellationToken
        );
    }
}
