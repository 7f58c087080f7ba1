using Microsoft.AspNetCore.Authorization;

namespace Librarian.Functions.Security;

/// <summary>The lowest level that a caller needs for a function (docs/spec/wire.md#level-of-each-endpoint).</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class RequiresAttribute(AuthLevel level) : AuthorizeAttribute($"level:{level}")
{
    public AuthLevel Level { get; } = level;
}
