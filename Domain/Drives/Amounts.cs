using System.Globalization;

namespace Librarian.Domain.Drives;

/// <summary>Formats numbers for people.</summary>
internal static class Amounts
{
    private static readonly string[] s_units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];

    /// <summary><c>1,234 files</c>, <c>1 file</c>.</summary>
    internal static string Count(long number, string one, string many) => $"{Number(number)} {(number == 1 ? one : many)}";

    /// <summary><c>1,234,567</c>.</summary>
    internal static string Number(long number) => number.ToString("#,0", CultureInfo.InvariantCulture);

    /// <summary>Three digits with decimal units: <c>17 bytes</c>, <c>1.23 GB</c>.</summary>
    internal static string Bytes(long bytes)
    {
        if (bytes < 1000)
            return Count(bytes, "byte", "bytes");
        var (value, unit) = ((decimal)bytes, 0);
        while (value >= 999.5m)
        {
            value /= 1000;
            unit++;
        }

        return value.ToString(
                value < 9.995m ? "0.00"
                    : value < 99.95m ? "0.0"
                    : "0",
                CultureInfo.InvariantCulture
            )
            + " "
            + s_units[unit];
    }

    /// <summary><c>24 November 2026, 22:55 UTC</c>.</summary>
    internal static string Time(DateTime utc) => utc.ToString("d MMMM yyyy, HH:mm 'UTC'", CultureInfo.InvariantCulture);
}
