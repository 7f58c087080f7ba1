using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace Librarian.Durable;

/// <summary>Turns inputs, outputs, events and statuses into text and back.</summary>
public abstract class DataConverter
{
    /// <summary>Text of a value; null for null.</summary>
    [return: NotNullIfNotNull(nameof(value))]
    public abstract string? Serialize(object? value);

    /// <summary>Value of a text; null for null.</summary>
    public abstract object? Deserialize(string? data, Type targetType);

    /// <summary>Value of a text; the default value for null.</summary>
    public T? Deserialize<T>(string? data) => Deserialize(data, typeof(T)) is T value ? value : default;
}

/// <summary>System.Text.Json with the host's options (for example source-generated resolvers).</summary>
/// <param name="options">Options; null: web defaults.</param>
public sealed class JsonDataConverter(JsonSerializerOptions? options = null) : DataConverter
{
    private readonly JsonSerializerOptions _options = options ?? JsonSerializerOptions.Web;

    /// <inheritdoc/>
    public override string? Serialize(object? value) => value is null ? null : JsonSerializer.Serialize(value, value.GetType(), _options);

    /// <inheritdoc/>
    public override object? Deserialize(string? data, Type targetType) => data is null ? null : JsonSerializer.Deserialize(data, targetType, _options);
}
