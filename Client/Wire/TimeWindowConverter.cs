using System.Text.Json;
using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Converts <see cref="TimeWindow"/> to and from an array of two times.</summary>
public sealed class TimeWindowConverter : JsonConverter<TimeWindow>
{
    private static readonly WireTimeConverter s_time = new();

    /// <inheritdoc/>
    public override bool HandleNull => true;

    /// <inheritdoc/>
    public override TimeWindow Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Malformed();
        var start = Next(ref reader, options);
        var end = Next(ref reader, options);
        if (!reader.Read() || reader.TokenType != JsonTokenType.EndArray)
            throw Malformed();
        return new TimeWindow(start, end);
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, TimeWindow value, JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.WriteStartArray();
        s_time.Write(writer, value.Start, options);
        s_time.Write(writer, value.End, options);
        writer.WriteEndArray();
    }

    private static DateTime Next(ref Utf8JsonReader reader, JsonSerializerOptions options)
    {
        if (!reader.Read() || reader.TokenType is JsonTokenType.EndArray)
            throw Malformed();
        return s_time.Read(ref reader, typeof(DateTime), options);
    }

    private static JsonException Malformed() => new("A time window should be an array of exactly 2 datetimes.");
}
