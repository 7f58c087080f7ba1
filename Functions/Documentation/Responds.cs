using Microsoft.AspNetCore.Http.Metadata;

namespace Librarian.Functions.Documentation;

/// <summary>
/// Documents an answer without a body. Answers that every function may give (401, 413, 422, 500) are added automatically.
/// </summary>
/// <param name="status">HTTP status.</param>
/// <param name="meaning">The meaning of the answer for the caller.</param>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
public class RespondsAttribute(int status, string meaning) : Attribute, IProducesResponseTypeMetadata
{
    /// <inheritdoc />
    public int StatusCode { get; } = status;

    /// <inheritdoc />
    public string? Description { get; } = meaning;

    /// <inheritdoc />
    public virtual Type Type => typeof(void);

    /// <inheritdoc />
    public IEnumerable<string> ContentTypes => Type == typeof(void) ? [] : ["application/json"];
}

/// <summary>Documents an answer with a body.</summary>
/// <typeparam name="T">Type of the body.</typeparam>
/// <param name="status">HTTP status.</param>
/// <param name="meaning">The meaning of the answer for the caller.</param>
public sealed class RespondsAttribute<T>(int status, string meaning) : RespondsAttribute(status, meaning)
{
    /// <inheritdoc />
    public override Type Type => typeof(T);
}

/// <summary>Documents a refusal. The tests compare every refusal they see with these.</summary>
/// <typeparam name="T">Type of the body.</typeparam>
/// <param name="status">HTTP status.</param>
/// <param name="reasons">Every text of <c>reason</c>; the parts that vary stand in braces, as <c>{name}</c>.</param>
public sealed class RefusesAttribute<T>(int status, params string[] reasons)
    : RespondsAttribute(status, reasons.Length == 1 ? $"`{reasons[0]}`" : string.Join('\n', reasons.Select(r => $"- `{r}`")))
{
    /// <inheritdoc />
    public override Type Type => typeof(T);
}

/// <summary>A body of one of two types.</summary>
public sealed class Either<TFirst, TSecond>;

/// <summary>Documents a header of an answer.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
public sealed class RespondsHeaderAttribute(int status, string name, string meaning) : Attribute
{
    /// <summary>HTTP status of the answer.</summary>
    public int StatusCode { get; } = status;

    public string Name { get; } = name;

    public string Description { get; } = meaning;
}
