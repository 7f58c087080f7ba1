using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Librarian.Domain.Catalog.Conversions;

/// <summary>
/// Reads every time as UTC (SQLite has no time zones) and keeps whole microseconds, as PostgreSQL and the wire do: a time that a client
/// received matches by equality on either database.
/// </summary>
internal sealed class UtcTime()
    : ValueConverter<DateTime, DateTime>(
        value => Whole(value.Kind == DateTimeKind.Unspecified ? DateTime.SpecifyKind(value, DateTimeKind.Utc) : value.ToUniversalTime()),
        value => DateTime.SpecifyKind(value, DateTimeKind.Utc)
    )
{
    private static DateTime Whole(DateTime utc) => new(utc.Ticks - (utc.Ticks % TimeSpan.TicksPerMicrosecond), DateTimeKind.Utc);
}
