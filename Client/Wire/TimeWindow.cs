using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>A time window that includes both ends; on the wire an array of exactly two times (docs/spec/wire.md#time-windows).</summary>
/// <param name="Start">First time, UTC.</param>
/// <param name="End">Last time, UTC.</param>
[JsonConverter(typeof(TimeWindowConverter))]
public readonly record struct TimeWindow(DateTime Start, DateTime End)
{
    /// <summary>The value that Python's client sends for an open start: year 1.</summary>
    public static DateTime Earliest { get; } = new(1, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    /// <summary>The value that Python's client sends for an open end: the last microsecond of year 9999.</summary>
    public static DateTime Latest { get; } = new DateTime(9999, 12, 31, 23, 59, 59, 999, 999, DateTimeKind.Utc);
}
