using Microsoft.DurableTask.Converters;

namespace Librarian.Durable.Worker;

/// <summary>Rejects payloads that would bloat the tables.</summary>
internal sealed class LimitedDataConverter(DataConverter inner, int limit) : DataConverter
{
    /// <summary>
    /// Wraps the converter of the worker or client options. They contain Microsoft's default if none was set; then the host's converter is
    /// used.
    /// </summary>
    public static LimitedDataConverter Of(DataConverter fromOptions, DataConverter ofHost, int limit) =>
        new(ReferenceEquals(fromOptions, JsonDataConverter.Default) ? ofHost : fromOptions, limit);

    public override string? Serialize(object? value)
    {
        if (value is null)
            return null;
        var text = inner.Serialize(value);
        var bytes = System.Text.Encoding.UTF8.GetByteCount(text);
        return bytes <= limit ? text : throw new PayloadTooLargeException(bytes, limit);
    }

    public override object? Deserialize(string? data, Type targetType) => inner.Deserialize(data, targetType);

    // Microsoft's converter casts null to T, which throws if T is a value type.
    public override T? Deserialize<T>(string? data)
        where T : default => Deserialize(data, typeof(T)) is T value ? value : default;
}
