namespace Librarian.Domain.Catalog;

/// <summary>An entry of the error log (table <c>errors</c>; docs/spec/wire.md#search-error).</summary>
public sealed class ErrorRecord
{
    public long Id { get; init; }

    /// <summary>How grave; stored in lower case.</summary>
    public required ErrorSeverity Severity { get; init; }

    /// <summary>What it is about; stored in lower case with underscores.</summary>
    public required ErrorCategory Category { get; init; }

    public required string Message { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime RaisedTime { get; init; }

    /// <summary>UTC.</summary>
    public DateTime? ClearedTime { get; set; }

    public bool Cleared { get; set; }

    /// <summary>What raised it and about what, such as <c>ingest obs/1.bin</c>; category and caller are the error key.</summary>
    public string? Caller { get; init; }
}
