using System.Data.Common;
using System.Globalization;
using Librarian.Domain.Catalog;

namespace Librarian.Adopt;

/// <summary>
/// One row of the source. SQLite stores any value in any column, so every value is checked: the first one that the catalog cannot hold is
/// recorded in <see cref="Problem"/>, and the row is then left out for that reason.
/// </summary>
internal sealed class UpstreamRow
{
    private readonly DbDataReader _reader;
    private readonly Dictionary<string, int> _ordinals = new(StringComparer.Ordinal);

    public UpstreamRow(DbDataReader reader)
    {
        _reader = reader;
        for (var i = 0; i < reader.FieldCount; i++)
            _ordinals[reader.GetName(i)] = i;
    }

    /// <summary>Why the row cannot be adopted; null when all values read so far can.</summary>
    public string? Problem { get; private set; }

    /// <summary>Clears the problem of the previous row.</summary>
    public void Begin() => Problem = null;

    /// <summary>A required text.</summary>
    public string Text(string column, int max = CatalogContext.MaxText) => TextOrNull(column, max) ?? Refuse(column, "is missing", "");

    /// <summary>An optional text.</summary>
    public string? TextOrNull(string column, int max = CatalogContext.MaxText)
    {
        if (Value(column) is not { } value)
            return null;
        var text = value as string ?? Convert.ToString(value, CultureInfo.InvariantCulture)!;
        if (text.Length > max && text.EnumerateRunes().Count() > max)
            return Refuse(column, $"is longer than {max} characters", "");
        return text.Contains('\0', StringComparison.Ordinal) ? Refuse(column, "has a NUL character", "") : text;
    }

    /// <summary>A required number.</summary>
    public long Number(string column) => NumberOrNull(column) ?? Refuse(column, "is missing", 0L);

    /// <summary>An optional number.</summary>
    public long? NumberOrNull(string column) =>
        Value(column) switch
        {
            null => null,
            long number => number,
            int number => number,
            short number => number,
            decimal number when decimal.IsInteger(number) && number is >= long.MinValue and <= long.MaxValue => (long)number,
            double number when double.IsInteger(number) && Math.Abs(number) < 1L << 53 => (long)number,
            string text when long.TryParse(text, CultureInfo.InvariantCulture, out var number) => number,
            _ => Refuse<long?>(column, "is not a whole number", null),
        };

    /// <summary>A number of 32 bits, with a default.</summary>
    public int Small(string column, int otherwise) =>
        (NumberOrNull(column) ?? otherwise) is >= int.MinValue and <= int.MaxValue and var number
            ? (int)number
            : Refuse(column, "is out of range", otherwise);

    /// <summary>A required floating-point number; some releases stored integers.</summary>
    public double Fraction(string column) =>
        Value(column) switch
        {
            null => Refuse(column, "is missing", 0d),
            string text => double.TryParse(text, CultureInfo.InvariantCulture, out var number)
                ? number
                : Refuse(column, "is not a number", 0d),
            var value => Convert.ToDouble(value, CultureInfo.InvariantCulture),
        };

    /// <summary>A Boolean value, with a default.</summary>
    public bool Flag(string column, bool otherwise) =>
        Value(column) switch
        {
            null => otherwise,
            bool flag => flag,
            long number => number != 0,
            string text when bool.TryParse(text, out var flag) => flag,
            _ => Refuse(column, "is neither true nor false", otherwise),
        };

    /// <summary>A required time; upstream stores UTC without a zone.</summary>
    public DateTime Time(string column) => TimeOrNull(column) ?? Refuse(column, "is missing", DateTime.UnixEpoch);

    /// <inheritdoc cref="Time" />
    public DateTime? TimeOrNull(string column) =>
        Value(column) switch
        {
            null => null,
            DateTime { Kind: DateTimeKind.Unspecified } time => DateTime.SpecifyKind(time, DateTimeKind.Utc),
            DateTime time => time.ToUniversalTime(),
            string text
                when DateTime.TryParse(
                    text,
                    CultureInfo.InvariantCulture,
                    DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
                    out var time
                ) => time,
            _ => Refuse<DateTime?>(column, "is not a time", null),
        };

    /// <summary>An enum stored by its member's name (docs/spec/upstream.md#storage-conventions).</summary>
    public T Member<T>(string column, T? otherwise = null)
        where T : struct, Enum
    {
        if (TextOrNull(column) is not { } text)
            return otherwise ?? Refuse(column, "is missing", default(T));
        return
            Enum.TryParse<T>(text.Replace("_", "", StringComparison.Ordinal), ignoreCase: true, out var member)
            && Enum.IsDefined(member)
            && !char.IsAsciiDigit(text.FirstOrDefault())
            ? member
            : Refuse(column, "is a word that is not known", default(T));
    }

    private object? Value(string column) => _reader.GetValue(_ordinals[column]) is var value && value is DBNull ? null : value;

    private T Refuse<T>(string column, string what, T instead)
    {
        Problem ??= $"{column} {what}";
        return instead;
    }
}
