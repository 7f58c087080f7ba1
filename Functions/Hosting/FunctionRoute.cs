using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Hosting;

/// <summary>
/// Rules that make routes mean the same stand-alone, where ASP.NET Core takes the most specific route, and behind the Functions host, which
/// takes the first match in alphabetical order of the function names.
/// </summary>
public static class FunctionRoute
{
    /// <summary>Route that serves exactly <c>/</c>. To the Functions host, an empty route means "the function's name".</summary>
    public const string Root = "{ignored:maxlength(0)?}";

    private static readonly string[] Reserved = ["admin", "runtime"];

    private static readonly DefaultInlineConstraintResolver Constraints = new(
        Options.Create(new RouteOptions()),
        new ServiceCollection().BuildServiceProvider()
    );

    /// <summary>Returns the mistake in a route and its correction, or null.</summary>
    internal static string? Check(string route)
    {
        if (string.Equals(route, Root, StringComparison.Ordinal))
            return null;
        if (route.StartsWith('/') || route.EndsWith('/'))
            return "starts or ends with '/'; drop it";
        RoutePattern pattern;
        try
        {
            pattern = RoutePatternFactory.Parse(route);
        }
        catch (RoutePatternException exception)
        {
            return $"is not a route template ({exception.Message})";
        }

        if (FirstSegment(pattern) is not { } first)
            return "does not start with a fixed segment, so it would claim addresses of the Functions host; "
                + "put one in front, such as 'api/v2/'";
        if (Reserved.Contains(first, StringComparer.OrdinalIgnoreCase))
            return $"starts with '{first}', which the Functions host keeps for itself; choose another first segment";
        return null;
    }

    /// <summary>Returns why two functions cannot exist side by side, or null if every request means the same in both modes.</summary>
    internal static string? Conflict(HttpFunction left, HttpFunction right)
    {
        var shared = left.Methods.Intersect(right.Methods, StringComparer.OrdinalIgnoreCase).ToArray();
        if (shared.Length == 0)
            return null;
        var a = RoutePatternFactory.Parse(left.Route);
        var b = RoutePatternFactory.Parse(right.Route);
        if (!CanMatchSamePath(a.PathSegments, b.PathSegments, 0))
            return null;

        var requests =
            $"{string.Join('/', shared)} requests can match both "
            + $"'{left.Route}' of {left.Describe()} and '{right.Route}' of {right.Describe()}";
        if (a.InboundPrecedence == b.InboundPrecedence)
            return $"{requests}, and neither is more specific; give one of them another fixed segment or method";

        var (specific, general) = a.InboundPrecedence < b.InboundPrecedence ? (left, right) : (right, left);
        return StringComparer.OrdinalIgnoreCase.Compare(specific.Name, general.Name) < 0
            ? null
            : $"{requests}; the Functions host takes the first name in alphabetical order, "
                + $"so rename '{specific.Name}' to sort before '{general.Name}'";
    }

    private static string? FirstSegment(RoutePattern pattern) =>
        pattern.PathSegments is [{ IsSimple: true } first, ..] && first.Parts[0] is RoutePatternLiteralPart literal
            ? literal.Content
            : null;

    private static bool CanMatchSamePath(IReadOnlyList<RoutePatternPathSegment> a, IReadOnlyList<RoutePatternPathSegment> b, int from)
    {
        for (var i = from; ; i++)
        {
            var left = i < a.Count ? a[i] : null;
            var right = i < b.Count ? b[i] : null;
            if (left is null && right is null)
                return true;
            if (IsCatchAll(left) || IsCatchAll(right))
                return true;
            if (left is null)
                return IsOptional(right!);
            if (right is null)
                return IsOptional(left);
            if (!CanMatchSameText(left, right))
                return false;
        }
    }

    private static bool CanMatchSameText(RoutePatternPathSegment left, RoutePatternPathSegment right)
    {
        if (!left.IsSimple || !right.IsSimple)
            return true;
        return (left.Parts[0], right.Parts[0]) switch
        {
            (RoutePatternLiteralPart a, RoutePatternLiteralPart b) => string.Equals(
                a.Content,
                b.Content,
                StringComparison.OrdinalIgnoreCase
            ),
            (RoutePatternLiteralPart literal, RoutePatternParameterPart parameter) => Accepts(parameter, literal.Content),
            (RoutePatternParameterPart parameter, RoutePatternLiteralPart literal) => Accepts(parameter, literal.Content),
            _ => true,
        };
    }

    private static bool Accepts(RoutePatternParameterPart parameter, string text) =>
        parameter.ParameterPolicies.All(policy =>
            policy.Content is null
            || Constraints.ResolveConstraint(policy.Content) is not { } constraint
            || constraint.Match(
                null,
                null,
                parameter.Name,
                new RouteValueDictionary { [parameter.Name] = text },
                RouteDirection.IncomingRequest
            )
        );

    private static bool IsCatchAll(RoutePatternPathSegment? segment) =>
        segment?.Parts[^1] is RoutePatternParameterPart { IsCatchAll: true };

    private static bool IsOptional(RoutePatternPathSegment segment) =>
        segment.IsSimple && segment.Parts[0] is RoutePatternParameterPart { IsOptional: true };
}
