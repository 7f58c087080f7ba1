using Microsoft.AspNetCore.Http.Metadata;

namespace Librarian.Functions.Documentation;

/// <summary>An answer of a function without a body, for the API description. What every function may answer (401, 422, 500) is added by itself.</summary>
/// <param name="status">HTTP status.</param>
/// <param name="meaning">What has happened when a caller sees it.</param>
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

/// <summary>An answer of a function, for the API description.</summary>
/// <typeparam name="T">Its body.</typeparam>
/// <param name="status">HTTP status.</param>
/// <param name="meaning">What has happened when a caller sees it.</param>
public sealed class RespondsAttribute<T>(int status, string meaning) : RespondsAttribute(status, meaning)
{
    /// <inheritdoc />
    public override Type Type => typeof(T);
}

/// <summary>A refusal of a function, for the API description. The tests compare every refusal they see with these.</summary>
/// <typeparam name="T">Its body.</typeparam>
/// <param name="status">HTTP status.</param>
/// <param name="reasons">Every text of <c>reason</c>; what varies stands in braces, as <c>{name}</c>.</param>
public sealed class RefusesAttribute<T>(int status, params string[] reasons)
    : RespondsAttribute(status, reasons.Length == 1 ? $"`{reasons[0]}`" : string.Join('\n', reasons.Select(r => $"- `{r}`")))
{
    /// <inheritdoc />
    public override Type Type => typeof(T);
}

/// <summary>A body that has one of two shapes.</summary>
/// <typeparam name="TFirst">One.</typeparam>
/// <typeparam name="TSecond">The other.</typeparam>
public sealed class Either<TFirst, TSecond>;

/// <summary>A header of an answer, for the API description.</summary>
/// <param name="status">Of which answer.</param>
/// <param name="name">Its name.</param>
/// <param name="meaning">What it says.</param>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
public sealed class RespondsHeaderAttribute(int status, string name, string meaning) : Attribute
{
    /// <summary>HTTP status of the answer.</summary>
    public int StatusCode { get; } = status;

    /// <summary>The header's name.</summary>
    public string Name { get; } = name;

    /// <summary>What it says.</summary>
    public string Description { get; } = meaning;
}
