using System.Globalization;
using System.Text;

namespace Librarian.Durable.Stores;

/// <summary>The end of a page as a time and an id, opaque to callers.</summary>
internal static class PageToken
{
    public static string Of(DateTimeOffset at, string instanceId) =>
        Convert.ToBase64String(
            Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{at.ToUnixTimeMilliseconds()}|{instanceId}"))
        );

    /// <summary>Returns null for no token; throws <see cref="FormatException"/> for a malformed one.</summary>
    public static (long At, string InstanceId)? Parse(string? token)
    {
        if (string.IsNullOrEmpty(token))
            return null;
        var bytes = new byte[token.Length];
        if (
            Convert.TryFromBase64String(token, bytes, out var length)
            && Encoding.UTF8.GetString(bytes, 0, length).Split('|', 2) is [var at, var id]
            && long.TryParse(at, NumberStyles.None, CultureInfo.InvariantCulture, out var parsed)
        )
            return (parsed, id);
        throw new FormatException("InvalidContinuationToken: this is not a token given by an earlier page. Start again without one.");
    }
}
